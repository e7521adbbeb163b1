//! A torrent's bytes in its files. Everything here blocks: it is for the pool of threads.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use examples::metainfo::Metainfo;
use sha1::{Digest as _, Sha1};

use crate::blame::Digest;
use crate::layout::{BLOCK, Layout};

/// Files whose bytes follow one another.
#[derive(Debug)]
pub(crate) struct Storage {
    layout: Layout,
    hashes: Vec<[u8; 20]>,
    parts: Vec<Part>,
    /// Those used last, the newest at the end, by number.
    open: Mutex<Vec<(usize, Arc<File>)>>,
}

#[derive(Debug)]
struct Part {
    path: PathBuf,
    offset: u64,
    length: u64,
    /// Zeros that are not on disk.
    is_padding: bool,
}

/// What came of checking a piece that has just arrived.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) is_right: bool,
    /// Of each block, if they were asked for or the piece is wrong.
    pub(crate) digests: Vec<Digest>,
}

impl Storage {
    /// The files of `torrent` below `folder`. Nothing is made yet.
    ///
    /// # Errors
    /// If a file is longer than it should be: it is then likely another one, and not ours to
    /// overwrite.
    pub(crate) fn open(torrent: &Metainfo, layout: Layout, folder: &Path) -> io::Result<Storage> {
        let mut offset = 0;
        let mut parts = Vec::new();
        for file in &torrent.files {
            let part = Part {
                path: folder.join(&file.path),
                offset,
                length: file.length,
                is_padding: file.is_padding,
            };
            offset += file.length;
            part.check_length()?;
            parts.push(part);
        }
        Ok(Storage {
            layout,
            hashes: torrent.pieces.clone(),
            parts,
            open: Mutex::default(),
        })
    }

    /// Where its files are.
    #[cfg(test)]
    pub(crate) fn paths(&self) -> impl Iterator<Item = &Path> {
        self.parts.iter().map(|part| part.path.as_path())
    }

    /// Makes the files that have no bytes: nothing will be written to them.
    pub(crate) fn make_empty_files(&self) -> io::Result<()> {
        let is_missing = |part: &&Part| part.length == 0 && !part.is_padding && !part.path.exists();
        for part in self.parts.iter().filter(is_missing) {
            part.open_for_writing()
                .map_err(|error| part.explain(&error))?;
        }
        Ok(())
    }

    /// Whether a piece is here and right.
    pub(crate) fn is_right(&self, piece: u32) -> bool {
        let mut hash = Sha1::new();
        let mut buffer = vec![0; usize::min(CHUNK, self.layout.piece_length(piece) as usize)];
        let mut rest = self.layout.piece_length(piece);
        let mut offset = self.layout.offset(piece);
        while rest > 0 {
            let length = buffer.len().min(rest as usize);
            if self.read_into(offset, &mut buffer[..length]).is_err() {
                return false;
            }
            hash.update(&buffer[..length]);
            offset += length as u64;
            rest -= length as u32;
        }
        self.hashes.get(piece as usize) == Some(&hash.finalize().into())
    }

    /// Bytes of a piece, of which there are so many.
    pub(crate) fn read(&self, piece: u32, begin: u32, length: u32) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length as usize];
        let offset = self.layout.offset(piece) + u64::from(begin);
        self.read_into(offset, &mut bytes)?;
        Ok(bytes)
    }

    /// Compares a piece with its hash, and writes it if it is right.
    pub(crate) fn check_and_write(
        &self,
        piece: u32,
        blocks: &[Vec<u8>],
        wants_digests: bool,
    ) -> io::Result<Checked> {
        let mut hash = Sha1::new();
        blocks.iter().for_each(|block| hash.update(block));
        let is_right = self.hashes.get(piece as usize) == Some(&hash.finalize().into());
        if is_right {
            let mut offset = self.layout.offset(piece);
            for block in blocks {
                self.write(offset, block)?;
                offset += block.len() as u64;
            }
        }
        let digests = blocks.iter().filter(|_| wants_digests || !is_right);
        let digests = digests.map(|block| Sha1::digest(block).into()).collect();
        Ok(Checked { is_right, digests })
    }

    fn read_into(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        let mut rest = bytes;
        for (number, within, length) in self.spans(offset, rest.len() as u64) {
            let (now, later) = rest.split_at_mut(length);
            let part = &self.parts[number];
            if part.is_padding {
                now.fill(0);
            } else {
                let read = self.file(number, false)?.read_exact_at(now, within);
                read.map_err(|error| part.explain(&error))?;
            }
            rest = later;
        }
        Ok(())
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut rest = bytes;
        for (number, within, length) in self.spans(offset, rest.len() as u64) {
            let (now, later) = rest.split_at(length);
            let part = &self.parts[number];
            if !part.is_padding {
                let written = self.file(number, true)?.write_all_at(now, within);
                written.map_err(|error| part.explain(&error))?;
            }
            rest = later;
        }
        Ok(())
    }

    /// The files that these bytes lie in: number, where in it, how many.
    fn spans(&self, offset: u64, length: u64) -> impl Iterator<Item = (usize, u64, usize)> {
        let end = offset + length;
        let first = self
            .parts
            .partition_point(|part| part.offset + part.length <= offset);
        let parts = self.parts.iter().enumerate().skip(first);
        let parts = parts.take_while(move |(_, part)| part.offset < end);
        parts.map(move |(number, part)| {
            let from = offset.max(part.offset);
            let to = end.min(part.offset + part.length);
            (number, from - part.offset, (to - from) as usize)
        })
    }

    /// A file, open. One that only reads may be there for us to read only.
    fn file(&self, number: usize, for_writing: bool) -> io::Result<Arc<File>> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = open.iter().position(|(other, _)| *other == number) {
            let entry = open.remove(place);
            let file = Arc::clone(&entry.1);
            open.push(entry);
            return Ok(file);
        }
        let part = &self.parts[number];
        let file = if for_writing {
            part.open_for_writing()
        } else {
            part.open_for_reading()
        };
        let file = Arc::new(file.map_err(|error| part.explain(&error))?);
        if open.len() >= OPEN_MAX {
            open.remove(0);
        }
        open.push((number, Arc::clone(&file)));
        Ok(file)
    }
}

impl Part {
    fn check_length(&self) -> io::Result<()> {
        match fs::metadata(&self.path) {
            Ok(found) if !self.is_padding && found.is_file() && found.len() > self.length => {
                Err(self.explain(&io::Error::other("longer than in the torrent")))
            }
            Ok(found) if !self.is_padding && !found.is_file() => {
                Err(self.explain(&io::Error::other("not a file")))
            }
            _ => Ok(()),
        }
    }

    fn open_for_reading(&self) -> io::Result<File> {
        let both = OpenOptions::new().read(true).write(true).open(&self.path);
        both.or_else(|_| File::open(&self.path))
    }

    fn open_for_writing(&self) -> io::Result<File> {
        if let Some(folder) = self.path.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        options.open(&self.path)
    }

    fn explain(&self, error: &io::Error) -> io::Error {
        io::Error::new(error.kind(), format!("{}: {error}", self.path.display()))
    }
}

/// How much is read at a time to be hashed.
const CHUNK: usize = 16 * BLOCK as usize;

/// Files of one torrent that are kept open: opening is cheap, descriptors are for peers.
const OPEN_MAX: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder of our own, gone at the end.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Folder {
            let name = format!("peer-storage-{name}-{}", std::process::id());
            let path = std::env::temp_dir().join(name);
            fs::create_dir_all(&path).unwrap();
            Folder(path)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn content() -> Vec<u8> {
        (0..100_000_u32)
            .map(|number| (number * 7 % 251) as u8)
            .collect()
    }

    /// Three files, one of them empty and one of zeros that are not stored, in pieces of 40,000.
    fn torrent(content: &[u8]) -> (Metainfo, Layout) {
        let file = |path: &str, length, is_padding| examples::metainfo::File {
            path: path.into(),
            length,
            is_padding,
        };
        let hashes = content
            .chunks(40_000)
            .map(|piece| Sha1::digest(piece).into());
        let torrent = Metainfo {
            info_hash: examples::info_hash::InfoHash([0; 20]),
            name: "t".into(),
            piece_length: 40_000,
            pieces: hashes.collect(),
            files: vec![
                file("t/a", 10_000, false),
                file("t/empty", 0, false),
                file("t/folder/b", 60_000, false),
                file("t", 10_000, true),
                file("t/c", 20_000, false),
            ],
            length: 100_000,
            is_private: true,
            trackers: Vec::new(),
        };
        (torrent, Layout::new(100_000, 40_000).unwrap())
    }

    fn blocks(content: &[u8], piece: usize) -> Vec<Vec<u8>> {
        let piece = content.chunks(40_000).nth(piece).unwrap();
        piece.chunks(BLOCK as usize).map(<[u8]>::to_vec).collect()
    }

    #[test]
    fn what_was_written_across_files_is_not_read_back_otherwise() {
        let folder = Folder::new("across");
        let mut content = content();
        content[70_000..80_000].fill(0);
        let (torrent, layout) = torrent(&content);
        let storage = Storage::open(&torrent, layout, &folder.0).unwrap();
        storage.make_empty_files().unwrap();
        for piece in [2, 0, 1] {
            assert!(!storage.is_right(piece));
            let checked = storage.check_and_write(piece, &blocks(&content, piece as usize), false);
            assert!(checked.unwrap().is_right);
            assert!(storage.is_right(piece));
        }
        assert_eq!(
            storage.read(1, 39_000, 1_000).unwrap(),
            content[79_000..80_000]
        );
        assert_eq!(
            storage.read(0, 9_999, 20_000).unwrap(),
            content[9_999..29_999]
        );
        let read = |name: &str| fs::read(folder.0.join(name)).unwrap();
        assert_eq!(read("t/folder/b"), content[10_000..70_000]);
        assert_eq!([read("t/empty").len(), read("t/c").len()], [0, 20_000]);
    }

    #[test]
    fn a_wrong_piece_is_not_written() {
        let folder = Folder::new("wrong");
        let content = content();
        let (torrent, layout) = torrent(&content);
        let storage = Storage::open(&torrent, layout, &folder.0).unwrap();
        let mut wrong = blocks(&content, 0);
        wrong[1][5] ^= 1;
        let checked = storage.check_and_write(0, &wrong, false).unwrap();
        assert!(!checked.is_right);
        let right: Vec<Digest> = blocks(&content, 0)
            .iter()
            .map(|b| Sha1::digest(b).into())
            .collect();
        let differ: Vec<bool> = checked
            .digests
            .iter()
            .zip(&right)
            .map(|(a, b)| a != b)
            .collect();
        assert_eq!(differ, [false, true, false]);
        assert!(!folder.0.join("t").exists());
        assert!(!storage.is_right(0));
    }

    #[test]
    fn a_file_that_is_too_long_is_not_taken_for_ours() {
        let folder = Folder::new("long");
        let (torrent, layout) = torrent(&content());
        fs::create_dir_all(folder.0.join("t")).unwrap();
        fs::write(folder.0.join("t/a"), vec![0; 10_001]).unwrap();
        let error = Storage::open(&torrent, layout, &folder.0).unwrap_err();
        assert!(
            error
                .to_string()
                .ends_with("t/a: longer than in the torrent"),
            "{error}"
        );
    }
}
