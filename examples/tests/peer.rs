//! The program `peer` as other peers see it, and as its user does.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use examples::bencode_write::dictionary;
use examples::info_hash::InfoHash;
use sha1::{Digest, Sha1};
use test_support::{Server, Signal};

/// Longer than anything here takes: who waits for it has found a bug.
const TOO_LONG: Duration = Duration::from_secs(20);

const PIECE: usize = 32 * 1024;

/// A folder that is gone at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let name = format!("peer-program-{name}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    fn within(&self, name: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::create_dir_all(&path).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A torrent file and what it describes.
struct Torrent {
    file: PathBuf,
    info_hash: InfoHash,
    name: &'static str,
    info: Vec<u8>,
    content: Vec<u8>,
}

impl Torrent {
    fn new(folder: &Folder, name: &'static str, length: usize) -> Torrent {
        let content: Vec<u8> = (0..length)
            .map(|n| (n * 31 % 249 + n / PIECE) as u8)
            .collect();
        let hashes: Vec<u8> = content.chunks(PIECE).flat_map(Sha1::digest).collect();
        let mut info = Vec::new();
        dictionary(&mut info, |info| {
            info.integer("length", content.len());
            info.bytes("name", name);
            info.integer("piece length", PIECE);
            info.bytes("pieces", hashes);
        });
        let torrent = Torrent {
            file: folder.0.join(format!("{name}.torrent")),
            info_hash: InfoHash::of(&info),
            name,
            info,
            content,
        };
        torrent.write("");
        torrent
    }

    /// Writes the torrent file.
    fn write(&self, tracker: &str) {
        let mut torrent = Vec::new();
        dictionary(&mut torrent, |torrent| {
            torrent.bytes("announce", tracker);
            torrent.entry("info", |out| out.extend_from_slice(&self.info));
        });
        fs::write(&self.file, torrent).unwrap();
    }

    fn put_into(&self, folder: &Path) {
        fs::write(folder.join(self.name), &self.content).unwrap();
    }

    fn assert_is_in(&self, folder: &Path) {
        let found = fs::read(folder.join(self.name)).unwrap();
        assert!(found == self.content, "{} is another", self.name);
    }
}

fn start(flags: &[&str], torrents: &[&Torrent], folder: &Path) -> Server {
    Server::start(&mut peer(flags, torrents, folder))
}

/// A peer that has everything, and has looked at it.
fn seed(torrents: &[&Torrent], folder: &Path) -> Server {
    torrents.iter().for_each(|torrent| torrent.put_into(folder));
    let mut seed = start(&[], torrents, folder);
    torrents
        .iter()
        .for_each(|_| seed.wait_for_output("complete"));
    seed
}

fn connect(seed: &Server) -> TcpStream {
    let stream = TcpStream::connect(seed.address()).unwrap();
    stream.set_read_timeout(Some(TOO_LONG)).unwrap();
    stream.set_write_timeout(Some(TOO_LONG)).unwrap();
    stream
}

/// Interrupts it; all that it has said.
fn finish(peer: Server) -> String {
    peer.send(Signal::INT);
    let ending = peer.finish();
    assert!(ending.status.success(), "{}", ending.log);
    ending.output
}

fn peer(flags: &[&str], torrents: &[&Torrent], folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_peer"));
    command.arg("--no-announce").args(flags);
    command
        .args(torrents.iter().map(|torrent| &torrent.file))
        .arg(folder);
    command.env_remove("RUST_LOG").env("NO_COLOR", "1");
    command
}

fn download(seed: &Server, torrents: &[&Torrent], folder: &Path) -> Output {
    let seed = seed.address().to_string();
    let flags = ["--seed-time", "0", "--connect", &seed];
    let mut peer = peer(&flags, torrents, folder);
    peer.args(["--port", "0"]).output().unwrap()
}

fn handshake(info_hash: &InfoHash) -> Vec<u8> {
    [
        &b"\x13BitTorrent protocol"[..],
        &[0; 8],
        &info_hash.0,
        b"-TE0000-abcdefghijkl",
    ]
    .concat()
}

/// Everything up to an orderly end; a reset fails.
fn rest(mut stream: &TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    bytes
}

#[test]
fn a_download_is_not_another_than_its_seed() {
    let folder = Folder::new("download");
    let torrent = Torrent::new(&folder, "film.mkv", 1_000_001);
    let seed = seed(&[&torrent], &folder.within("seed"));
    let target = folder.within("target");
    let output = download(&seed, &[&torrent], &target);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}");
    torrent.assert_is_in(&target);
    assert!(
        said.contains("31/31 pieces  1000001 bytes down  0 up  0 wasted"),
        "{said}"
    );
    assert!(finish(seed).contains("1000001 up"));
}

#[test]
fn two_torrents_do_not_need_two_ports() {
    let folder = Folder::new("two");
    let torrents = [
        Torrent::new(&folder, "one", 300_000),
        Torrent::new(&folder, "other", 200_000),
    ];
    let both = [&torrents[0], &torrents[1]];
    let seed = seed(&both, &folder.within("seed"));
    let target = folder.within("target");
    let output = download(&seed, &both, &target);
    assert!(output.status.success());
    torrents
        .iter()
        .for_each(|torrent| torrent.assert_is_in(&target));
    finish(seed);
}

#[test]
fn what_is_here_and_right_is_kept_and_what_is_wrong_is_not() {
    let folder = Folder::new("resume");
    let torrent = Torrent::new(&folder, "film.mkv", 10 * PIECE);
    let seed = seed(&[&torrent], &folder.within("seed"));
    let target = folder.within("target");
    torrent.put_into(&target);
    let mut found = torrent.content.clone();
    found[3 * PIECE + 5] ^= 1;
    found.truncate(8 * PIECE - 1);
    fs::write(target.join("film.mkv"), found).unwrap();
    let output = download(&seed, &[&torrent], &target);
    torrent.assert_is_in(&target);
    let said = String::from_utf8(output.stdout).unwrap();
    let down = format!("{} bytes down", 4 * PIECE);
    assert!(said.contains(&down), "{said}");
}

#[test]
fn a_handshake_is_answered_after_its_48th_byte_and_garbage_is_not() {
    let folder = Folder::new("handshake");
    let torrent = Torrent::new(&folder, "film.mkv", 100_000);
    let seed = seed(&[&torrent], &folder.within("seed"));
    let mut probe = connect(&seed);
    probe
        .write_all(&handshake(&torrent.info_hash)[..48])
        .unwrap();
    let mut answer = [0; 68];
    probe.read_exact(&mut answer).unwrap();
    assert_eq!(answer[..20], *b"\x13BitTorrent protocol");
    assert_eq!(answer[28..48], torrent.info_hash.0);
    let unknown = handshake(&InfoHash([9; 20]));
    for garbage in [&b"\xee"[..], b"GET / HTTP/1.0\r\n\r\n", &unknown] {
        let mut stream = connect(&seed);
        stream.write_all(garbage).unwrap();
        assert!(rest(&stream).is_empty(), "{garbage:?}");
    }
    drop(probe);
    finish(seed);
}

#[test]
fn a_peer_that_breaks_the_rules_is_closed_after_what_it_was_due() {
    let folder = Folder::new("rules");
    let torrent = Torrent::new(&folder, "film.mkv", 100_000);
    let seed = seed(&[&torrent], &folder.within("seed"));
    // What a seed of four pieces says at first.
    let bitfield = [0, 0, 0, 2, 5, 0xf0];
    for wrong in [
        // An unknown kind, two gigabytes, a piece that does not exist, a request beyond the end.
        &[0, 0, 0, 1, 99][..],
        &[0x7f, 0xff, 0xff, 0xff],
        &[0, 0, 0, 5, 4, 0, 0, 0, 4],
        &[0, 0, 0, 13, 6, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0x40, 0],
    ] {
        let mut stream = connect(&seed);
        stream.write_all(&handshake(&torrent.info_hash)).unwrap();
        stream.write_all(wrong).unwrap();
        assert_eq!(rest(&stream)[68..], bitfield, "{wrong:?}");
    }
    finish(seed);
}

#[test]
fn requests_are_answered_and_not_before_we_may_ask() {
    let folder = Folder::new("requests");
    let torrent = Torrent::new(&folder, "film.mkv", 100_000);
    let seed = seed(&[&torrent], &folder.within("seed"));
    let mut stream = connect(&seed);
    stream.write_all(&handshake(&torrent.info_hash)).unwrap();
    let request = |begin: u16| {
        [
            &[0, 0, 0, 13, 6, 0, 0, 0, 1, 0, 0][..],
            &begin.to_be_bytes(),
            &[0, 0, 0, 9],
        ]
        .concat()
    };
    // Still choked: this one is ignored.
    stream.write_all(&request(7)).unwrap();
    stream.write_all(&[0, 0, 0, 1, 2]).unwrap();
    let mut said = vec![0; 68 + 6 + 5];
    stream.read_exact(&mut said).unwrap();
    assert_eq!(said[68..], [0, 0, 0, 2, 5, 0xf0, 0, 0, 0, 1, 1]);
    stream.write_all(&request(500)).unwrap();
    let mut answer = [0; 13 + 9];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(answer[..13], [0, 0, 0, 18, 7, 0, 0, 0, 1, 0, 0, 1, 244]);
    assert_eq!(answer[13..], torrent.content[PIECE + 500..][..9]);
    finish(seed);
}

/// Even if it ends before there was time to say so.
#[test]
fn a_tracker_is_told_of_the_beginning_the_end_of_the_download_and_the_end() {
    let folder = Folder::new("events");
    let torrent = Torrent::new(&folder, "film.mkv", 100_000);
    let seed = seed(&[&torrent], &folder.within("seed"));
    let tracker = TcpListener::bind("127.0.0.1:0").unwrap();
    torrent.write(&format!(
        "http://{}/announce",
        tracker.local_addr().unwrap()
    ));
    let target = folder.within("target");
    let mut leech = Command::new(env!("CARGO_BIN_EXE_peer"))
        .args(["--port", "0", "--seed-time", "0"])
        .args([&torrent.file, &target])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    for event in ["started", "completed", "stopped"] {
        let (stream, _) = tracker.accept().unwrap();
        stream.set_read_timeout(Some(TOO_LONG)).unwrap();
        let mut head = BufReader::new(&stream).lines().map(Result::unwrap);
        let request = head.next().unwrap();
        assert!(request.contains(&format!("&event={event}")), "{request}");
        head.find(String::is_empty).unwrap();
        let mut body = b"d8:intervali1800e5:peers6:\x7f\0\0\x01".to_vec();
        body.extend(seed.address().port().to_be_bytes());
        body.push(b'e');
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
        (&stream)
            .write_all(&[answer.as_bytes(), &body].concat())
            .unwrap();
    }
    assert!(leech.wait().unwrap().success());
    torrent.assert_is_in(&target);
    finish(seed);
}

#[test]
fn a_peer_that_is_not_there_is_called_again() {
    let folder = Folder::new("again");
    let torrent = Torrent::new(&folder, "film.mkv", 100_000);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let leech = start(
        &["--connect", &address],
        &[&torrent],
        &folder.within("target"),
    );
    for _ in 0..2 {
        // Each call ends without a word.
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(TOO_LONG)).unwrap();
        let mut greeting = [0; 68];
        stream.read_exact(&mut greeting).unwrap();
        assert_eq!(greeting[28..48], torrent.info_hash.0);
    }
    assert!(finish(leech).contains("0/4 pieces"));
}

#[test]
fn what_cannot_be_used_is_named() {
    let folder = Folder::new("unusable");
    let torrent = Torrent::new(&folder, "film.mkv", 100_000);
    let target = folder.within("target");
    let says = |command: &mut Command| {
        let output = command.args(["--port", "0"]).output().unwrap();
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    fs::write(target.join("film.mkv"), vec![0; 100_001]).unwrap();
    let said = says(&mut peer(&[], &[&torrent], &target));
    assert!(
        said.ends_with("film.mkv: longer than in the torrent\n"),
        "{said}"
    );
    let other = Torrent::new(&folder, "album.flac", 5);
    fs::copy(&torrent.file, &other.file).unwrap();
    fs::remove_file(target.join("film.mkv")).unwrap();
    let said = says(&mut peer(&[], &[&torrent, &other], &target));
    assert!(
        said.contains("two of the torrents are called film.mkv"),
        "{said}"
    );
    fs::write(&torrent.file, b"d4:info").unwrap();
    let said = says(&mut peer(&[], &[&torrent], &target));
    assert!(said.contains("film.mkv.torrent: not bencode"), "{said}");
    let said = says(&mut peer(&[], &[], &target));
    assert!(said.contains("one torrent or more"), "{said}");
    let said = says(&mut peer(&["--seed-time", "-1"], &[&torrent], &target));
    assert!(said.contains("peer: "), "{said}");
    let said = says(&mut peer(&["--connect", "nowhere"], &[], &target));
    assert!(said.contains("peer: "), "{said}");
}
