//! Torrent files: what they describe, checked before anybody trusts a path or a length of it.

use std::ffi::OsStr;
use std::fmt::{self, Display};
use std::fs;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::bencode::{self, Malformed, Value};
use crate::info_hash::InfoHash;

/// What a torrent file says.
///
/// The lengths of the files add up to as many bytes as there are pieces for, and each path is
/// relative, without `..`, unlike any other, and not a folder of another.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Metainfo {
    /// The hash of the literal bytes of `info`.
    pub info_hash: InfoHash,
    /// The name of the file, or of the folder if there are several; one element of a path.
    pub name: PathBuf,
    /// Bytes of each piece but the last; 1 to 256 MiB.
    pub piece_length: u32,
    /// The SHA-1 of each piece.
    pub pieces: Vec<[u8; 20]>,
    /// In the order in which their bytes follow one another.
    pub files: Vec<File>,
    /// Of all files together.
    pub length: u64,
    /// Peers may come from the trackers only (BEP 27).
    pub is_private: bool,
    /// URLs of trackers, in tiers: the first that answers is to be used (BEP 12).
    pub trackers: Vec<Vec<String>>,
}

/// A file of a torrent.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct File {
    /// Below the folder of the download; begins with the torrent's name.
    pub path: PathBuf,
    /// In bytes.
    pub length: u64,
    /// Zeros that are not to be stored, so that the next file begins with a piece (BEP 47). Its
    /// path means nothing, and is the torrent's name.
    pub is_padding: bool,
}

impl Metainfo {
    /// Reads and checks the contents of a torrent file.
    ///
    /// # Errors
    /// What is wrong with it.
    ///
    /// ```
    /// use examples::metainfo::Metainfo;
    ///
    /// let mut file = b"d4:infod6:lengthi5e4:name5:a.txt12:piece lengthi16384e6:pieces20:".to_vec();
    /// file.extend([7; 20]);
    /// file.extend(b"ee");
    /// let torrent = Metainfo::parse(&file)?;
    /// assert_eq!(torrent.files[0].path.to_str(), Some("a.txt"));
    /// assert_eq!(torrent.piece_size(0), 5);
    /// # Ok::<(), examples::metainfo::BadMetainfo>(())
    /// ```
    pub fn parse(file: &[u8]) -> Result<Metainfo, BadMetainfo> {
        let root = bencode::parse(file).map_err(BadMetainfo::Malformed)?;
        let info = root.get("info").ok_or(bad("no info"))?;
        let name = element(info.get("name"))?;
        let piece_length = info.get("piece length").and_then(Value::integer::<u32>);
        let piece_length = piece_length.filter(|length| (1..=PIECE_LENGTH_MAX).contains(length));
        let piece_length = piece_length.ok_or(bad("a bad piece length"))?;
        let pieces = pieces(info)?;
        let files = files(info, name)?;
        let length = total(&files)?;
        if length.div_ceil(piece_length.into()) != pieces.len() as u64 {
            return Err(bad(
                "lengths of files that do not match the number of pieces",
            ));
        }
        Ok(Metainfo {
            info_hash: InfoHash::of(info.raw()),
            name: name.to_owned(),
            piece_length,
            pieces,
            files,
            length,
            is_private: info.get("private").and_then(Value::integer::<u8>) == Some(1),
            trackers: trackers(&root),
        })
    }

    /// Bytes of piece `index`: the last one may be shorter than the others.
    ///
    /// # Panics
    /// If there is no such piece.
    pub fn piece_size(&self, index: u32) -> u32 {
        assert!(
            (index as usize) < self.pieces.len(),
            "there is no such piece"
        );
        let rest = self.length - u64::from(index) * u64::from(self.piece_length);
        u32::try_from(rest).map_or(self.piece_length, |rest| rest.min(self.piece_length))
    }
}

/// Reads a torrent file: its contents, and what they say. Blocks.
///
/// # Errors
/// It cannot be read, is longer than 64 MiB, or is no torrent; each with the path.
///
/// ```
/// let error = examples::metainfo::read("no.torrent".as_ref()).unwrap_err();
/// assert!(error.to_string().starts_with("no.torrent: "));
/// ```
pub fn read(path: &Path) -> io::Result<(Vec<u8>, Metainfo)> {
    let about =
        |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    let mut contents = Vec::new();
    // Not as long as it says it is: a device has no length, and no end.
    let file = fs::File::open(path).map_err(about)?;
    file.take(TORRENT_MAX + 1)
        .read_to_end(&mut contents)
        .map_err(about)?;
    if contents.len() as u64 > TORRENT_MAX {
        return Err(about(io::Error::other("longer than any torrent")));
    }
    let metainfo = Metainfo::parse(&contents);
    let metainfo = metainfo.map_err(|error| about(io::Error::other(error)))?;
    Ok((contents, metainfo))
}

/// Why a torrent file is refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum BadMetainfo {
    /// It is not bencode.
    Malformed(Malformed),
    /// It is, but does not describe files.
    Invalid(&'static str),
}

impl Display for BadMetainfo {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BadMetainfo::Malformed(malformed) => malformed.fmt(formatter),
            BadMetainfo::Invalid(problem) => write!(formatter, "not a torrent: {problem}"),
        }
    }
}

impl std::error::Error for BadMetainfo {}

fn bad(problem: &'static str) -> BadMetainfo {
    BadMetainfo::Invalid(problem)
}

fn pieces(info: &Value<'_>) -> Result<Vec<[u8; 20]>, BadMetainfo> {
    let hashes = info.get("pieces").and_then(Value::bytes);
    let hashes = hashes.ok_or(bad(
        "no pieces; torrents of version 2 only are not supported",
    ))?;
    let (hashes, rest) = (hashes.chunks_exact(20), hashes.len() % 20);
    if rest != 0 || u32::try_from(hashes.len()).is_err() {
        return Err(bad("pieces that are not hashes of 20 bytes"));
    }
    Ok(hashes
        .map(|hash| hash.try_into().expect("chunks of 20 are 20 long"))
        .collect())
}

fn files(info: &Value<'_>, name: &Path) -> Result<Vec<File>, BadMetainfo> {
    let entries = match (info.get("length"), info.get("files")) {
        (Some(length), None) => {
            return Ok(vec![File {
                path: name.to_owned(),
                length: checked_length(Some(length))?,
                is_padding: false,
            }]);
        }
        (None, Some(entries)) => entries.list().ok_or(bad("files that are no list"))?,
        _ => return Err(bad("not exactly one of length and files")),
    };
    let files = entries.iter().map(|entry| file(entry, name));
    let files = files.collect::<Result<Vec<File>, BadMetainfo>>()?;
    check_distinct(&files)?;
    Ok(files)
}

fn file(entry: &Value<'_>, folder: &Path) -> Result<File, BadMetainfo> {
    let length = checked_length(entry.get("length"))?;
    let attributes = entry.get("attr").and_then(Value::bytes);
    let is_padding = attributes.is_some_and(|attributes| attributes.contains(&b'p'));
    let mut path = folder.to_owned();
    if !is_padding {
        let elements = entry.get("path").and_then(Value::list).unwrap_or_default();
        if elements.is_empty() {
            return Err(bad("a file without a path"));
        }
        for part in elements {
            path.push(element(Some(part))?);
        }
    }
    Ok(File {
        path,
        length,
        is_padding,
    })
}

fn checked_length(length: Option<&Value<'_>>) -> Result<u64, BadMetainfo> {
    let length = length.and_then(Value::integer::<u64>);
    length.ok_or(bad("a file without a length"))
}

/// One element of a path, which cannot lead out of its folder, hide, or mean something to a shell
/// or, when it is shown, to a terminal.
fn element<'a>(value: Option<&Value<'a>>) -> Result<&'a Path, BadMetainfo> {
    let name = value.and_then(Value::bytes).ok_or(bad("a missing name"))?;
    let begins_well = !matches!(name.first(), None | Some(b'.' | b'~'));
    let is_safe = begins_well && !name.iter().any(|byte| matches!(byte, b'/' | b'\\'));
    let is_quiet = !String::from_utf8_lossy(name).chars().any(char::is_control);
    if !is_safe || !is_quiet || name.len() > NAME_MAX {
        return Err(bad("a name that no file should have"));
    }
    Ok(Path::new(OsStr::from_bytes(name)))
}

/// No path twice, and none that is both a file and a folder.
fn check_distinct(files: &[File]) -> Result<(), BadMetainfo> {
    let stored = files.iter().filter(|file| !file.is_padding);
    let mut paths: Vec<&Path> = stored.map(|file| file.path.as_path()).collect();
    // A folder is sorted directly before what is in it.
    paths.sort_unstable();
    for pair in paths.windows(2) {
        if pair[0] == pair[1] {
            return Err(bad("two files with one path"));
        }
        if pair[1].starts_with(pair[0]) {
            return Err(bad("a path that is both a file and a folder"));
        }
    }
    Ok(())
}

fn total(files: &[File]) -> Result<u64, BadMetainfo> {
    let lengths = files.iter().map(|file| file.length);
    let total = lengths.into_iter().try_fold(0_u64, u64::checked_add);
    total.ok_or(bad("files that are too long"))
}

fn trackers(root: &Value<'_>) -> Vec<Vec<String>> {
    let url = |value: &Value<'_>| value.text().map(str::to_owned);
    let tier = |value: &Value<'_>| -> Vec<String> {
        value
            .list()
            .unwrap_or_default()
            .iter()
            .filter_map(url)
            .collect()
    };
    let tiers = root.get("announce-list").and_then(Value::list);
    let mut tiers: Vec<Vec<String>> = tiers.unwrap_or_default().iter().map(tier).collect();
    tiers.retain(|tier| !tier.is_empty());
    if tiers.is_empty() {
        tiers.extend(root.get("announce").and_then(url).map(|url| vec![url]));
    }
    tiers
}

/// A piece can be trusted only as a whole, so its length is what a peer holds before it knows.
const PIECE_LENGTH_MAX: u32 = 256 << 20;
/// Torrents of terabytes are a few megabytes.
const TORRENT_MAX: u64 = 64 << 20;
/// What file systems take for one element.
const NAME_MAX: usize = 255;

#[cfg(test)]
mod tests;
