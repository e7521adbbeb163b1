//! Torrent files: what they describe, checked before anybody trusts a path or a length of it.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fmt::{self, Display};
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

/// One element of a path, which cannot lead out of its folder, hide, or mean something to a shell.
fn element<'a>(value: Option<&Value<'a>>) -> Result<&'a Path, BadMetainfo> {
    let name = value.and_then(Value::bytes).ok_or(bad("a missing name"))?;
    let begins_well = !matches!(name.first(), None | Some(b'.' | b'~'));
    let is_safe = begins_well && !name.iter().any(|byte| matches!(byte, b'/' | b'\\' | 0));
    if !is_safe || name.len() > NAME_MAX {
        return Err(bad("a name that no file should have"));
    }
    Ok(Path::new(OsStr::from_bytes(name)))
}

/// No path twice, and none that is both a file and a folder.
fn check_distinct(files: &[File]) -> Result<(), BadMetainfo> {
    let stored = || files.iter().filter(|file| !file.is_padding);
    let mut paths = HashSet::new();
    if !stored().all(|file| paths.insert(file.path.as_path())) {
        return Err(bad("two files with one path"));
    }
    let mut folders = stored().flat_map(|file| file.path.ancestors().skip(1));
    if folders.any(|folder| paths.contains(folder)) {
        return Err(bad("a path that is both a file and a folder"));
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
/// What file systems take for one element.
const NAME_MAX: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;

    /// A torrent with these further entries of `info`, and this many pieces of 16 bytes.
    fn torrent(entries_before: &str, name: &str, pieces: usize) -> Result<Metainfo, BadMetainfo> {
        let name = format!("4:name{}:{name}", name.len());
        let pieces = format!("6:pieces{}:{}", pieces * 20, "h".repeat(pieces * 20));
        let info = format!("d{entries_before}{name}12:piece lengthi16e{pieces}e");
        let parsed = Metainfo::parse(format!("d4:info{info}e").as_bytes())?;
        assert_eq!(parsed.info_hash, InfoHash::of(info.as_bytes()));
        Ok(parsed)
    }

    fn files(entries: &[(u64, &[&str])]) -> String {
        let entry = |(length, path): &(u64, &[&str])| {
            let path = path.iter().map(|part| format!("{}:{part}", part.len()));
            format!("d6:lengthi{length}e4:pathl{}ee", path.collect::<String>())
        };
        format!("5:filesl{}e", entries.iter().map(entry).collect::<String>())
    }

    fn refusal(result: Result<Metainfo, BadMetainfo>) -> &'static str {
        match result {
            Err(BadMetainfo::Invalid(problem)) => problem,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn one_file_has_the_name_of_the_torrent() {
        let torrent = torrent("6:lengthi33e", "a b.bin", 3).unwrap();
        assert_eq!(torrent.files[0].path, Path::new("a b.bin"));
        assert_eq!((torrent.length, torrent.pieces.len()), (33, 3));
        assert_eq!(
            [0, 1, 2].map(|piece| torrent.piece_size(piece)),
            [16, 16, 1]
        );
    }

    #[test]
    fn several_files_lie_in_a_folder() {
        let files = files(&[(10, &["x"]), (0, &["d", "y"]), (6, &["d", "z"])]);
        let torrent = torrent(&files, "folder", 1).unwrap();
        let paths = torrent.files.iter().map(|file| file.path.to_str().unwrap());
        assert_eq!(
            paths.collect::<Vec<_>>(),
            ["folder/x", "folder/d/y", "folder/d/z"]
        );
        assert_eq!(torrent.piece_size(0), 16);
    }

    #[test]
    fn no_name_leads_out_of_the_folder() {
        let long = "x".repeat(256);
        for name in [
            "", ".", "..", ".hidden", "~", "~root", "a/b", "/a", "a\\b", "a\0", &long,
        ] {
            let problem = "a name that no file should have";
            assert_eq!(
                refusal(torrent("6:lengthi1e", name, 1)),
                problem,
                "{name:?}"
            );
            let within = files(&[(1, &["good", name])]);
            assert_eq!(refusal(torrent(&within, "folder", 1)), problem, "{name:?}");
        }
        assert!(torrent("6:lengthi1e", &"x".repeat(255), 1).is_ok());
    }

    #[test]
    fn one_path_is_one_file() {
        let twice = files(&[(1, &["a"]), (1, &["a"])]);
        assert_eq!(refusal(torrent(&twice, "t", 1)), "two files with one path");
        for both in [[&["a"][..], &["a", "b"]], [&["a", "b"], &["a"]]] {
            let both = files(&[(1, both[0]), (1, both[1])]);
            let problem = "a path that is both a file and a folder";
            assert_eq!(refusal(torrent(&both, "t", 1)), problem);
        }
    }

    #[test]
    fn lengths_match_the_pieces() {
        let problem = "lengths of files that do not match the number of pieces";
        for (length, pieces) in [(0, 1), (1, 0), (16, 2), (17, 1), (u64::MAX, 1)] {
            let length = format!("6:lengthi{length}e");
            assert_eq!(refusal(torrent(&length, "t", pieces)), problem);
        }
        assert!(torrent("6:lengthi0e", "t", 0).is_ok());
        let half = u64::MAX / 2 + 1;
        let beyond = files(&[(half, &["a"]), (half, &["b"])]);
        assert_eq!(refusal(torrent(&beyond, "t", 1)), "files that are too long");
    }

    #[test]
    fn what_describes_no_files_is_refused() {
        let both = format!("{}6:lengthi1e", files(&[(1, &["a"])]));
        let exactly = "not exactly one of length and files";
        assert_eq!(refusal(torrent(&both, "t", 1)), exactly);
        assert_eq!(refusal(torrent("", "t", 1)), exactly);
        assert_eq!(
            refusal(torrent("6:lengthi-1e", "t", 1)),
            "a file without a length"
        );
        assert_eq!(
            refusal(torrent(&files(&[(1, &[])]), "t", 1)),
            "a file without a path"
        );
        assert_eq!(
            refusal(torrent("5:filesi1e", "t", 1)),
            "files that are no list"
        );
        for (text, problem) in [
            ("de", "no info"),
            ("le", "no info"),
            ("d4:infodee", "a missing name"),
            ("d4:infod4:name1:aee", "a bad piece length"),
            (
                "d4:infod4:name1:a12:piece lengthi0eee",
                "a bad piece length",
            ),
            (
                "d4:infod4:name1:a12:piece lengthi268435457eee",
                "a bad piece length",
            ),
        ] {
            assert_eq!(refusal(Metainfo::parse(text.as_bytes())), problem, "{text}");
        }
        let short = b"d4:infod4:name1:a12:piece lengthi1e6:pieces3:abcee";
        assert_eq!(
            refusal(Metainfo::parse(short)),
            "pieces that are not hashes of 20 bytes"
        );
        let error = Metainfo::parse(b"d").unwrap_err();
        assert_eq!(
            error.to_string(),
            "not bencode: a key that is no string at byte 1"
        );
    }

    #[test]
    fn padding_is_not_a_file_to_store() {
        let padded = "5:filesld6:lengthi1e4:pathl1:aeed4:attr1:p6:lengthi15e4:pathl4:.pad2:15eee";
        let torrent = torrent(padded, "t", 1).unwrap();
        assert_eq!(
            torrent
                .files
                .iter()
                .map(|f| f.is_padding)
                .collect::<Vec<_>>(),
            [false, true]
        );
        assert_eq!(torrent.length, 16);
    }

    #[test]
    fn tiers_come_before_the_single_tracker() {
        let info = "4:infod6:lengthi0e4:name1:t12:piece lengthi1e6:pieces0:7:privatei1ee";
        let parse = |before: &str| Metainfo::parse(format!("d{before}{info}e").as_bytes()).unwrap();
        assert_eq!(parse("").trackers, Vec::<Vec<String>>::new());
        assert_eq!(parse("8:announce1:u").trackers, [["u"]]);
        let tiers = parse("8:announce1:u13:announce-listl1:xlel1:v1:wee");
        assert_eq!(tiers.trackers, [["v", "w"]]);
        assert!(tiers.is_private);
    }
}
