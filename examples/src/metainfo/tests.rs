//! Torrents that are taken, and those that are not.

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
        "",
        ".",
        "..",
        ".hidden",
        "~",
        "~root",
        "a/b",
        "/a",
        "a\\b",
        "a\0",
        "a\x1b[2J",
        "a\u{9b}1m",
        &long,
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

#[test]
fn a_file_without_an_end_is_not_read_to_it() {
    let error = read(Path::new("/dev/zero")).unwrap_err();
    assert_eq!(error.to_string(), "/dev/zero: longer than any torrent");
}
