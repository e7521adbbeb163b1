//! A running tracker, and a client that asks one thing at a time.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use examples::bencode::{Value, parse};
use test_support::Server;

/// Longer than anything here takes: who waits for it has found a bug.
pub(crate) const TOO_LONG: Duration = Duration::from_secs(20);

pub(crate) struct Tracker {
    pub(crate) program: Server,
}

impl Tracker {
    pub(crate) fn start(flags: &[&str]) -> Tracker {
        Tracker::start_at("127.0.0.1", flags)
    }

    pub(crate) fn start_at(ip: &str, flags: &[&str]) -> Tracker {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tracker"));
        command.args(["--address", ip]).args(flags);
        Tracker {
            program: Server::start(&mut command),
        }
    }

    /// What `GET target` is answered with: status and body.
    pub(crate) fn get(&self, target: &str) -> (u16, Vec<u8>) {
        let answer = self.send(format!("GET {target} HTTP/1.0\r\n\r\n").as_bytes());
        let end = answer
            .windows(4)
            .position(|bytes| bytes == b"\r\n\r\n")
            .unwrap();
        let head = std::str::from_utf8(&answer[..end]).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, answer[end + 4..].to_vec())
    }

    /// What comes back over a connection of its own, to its end.
    pub(crate) fn send(&self, request: &[u8]) -> Vec<u8> {
        let mut stream = TcpStream::connect(self.program.address()).unwrap();
        stream.set_read_timeout(Some(TOO_LONG)).unwrap();
        stream.write_all(request).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        answer
    }

    /// What an announce or a scrape is answered with.
    pub(crate) fn ask(&self, target: &str) -> Answer {
        let (status, body) = self.get(target);
        assert_eq!(status, 200, "{target}: {}", body.escape_ascii());
        Answer(body)
    }

    /// A number of `/metrics`.
    pub(crate) fn metric(&self, name: &str) -> u64 {
        let (_, page) = self.get("/metrics");
        let page = String::from_utf8(page).unwrap();
        let line = page
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .unwrap();
        line.trim().parse().unwrap()
    }
}

/// A bencoded answer.
pub(crate) struct Answer(Vec<u8>);

impl Answer {
    pub(crate) fn value(&self) -> Value<'_> {
        parse(&self.0).unwrap_or_else(|error| panic!("{error}: {}", self.0.escape_ascii()))
    }

    pub(crate) fn number(&self, key: &str) -> u64 {
        let value = self.value();
        value
            .get(key)
            .and_then(Value::integer)
            .unwrap_or_else(|| panic!("{value:?}"))
    }

    /// Why it was refused.
    pub(crate) fn failure(&self) -> Option<String> {
        let value = self.value();
        let reason = value.get("failure reason")?.text().map(str::to_owned);
        assert_eq!(value.dictionary().map(<[_]>::len), Some(1), "{value:?}");
        reason
    }

    /// The last numbers of the addresses of compact peers, sorted.
    pub(crate) fn peers(&self) -> Vec<u8> {
        let value = self.value();
        let peers = value.get("peers").and_then(Value::bytes);
        let peers = peers.unwrap_or_else(|| panic!("{value:?}")).chunks_exact(6);
        let mut numbers: Vec<u8> = peers.map(|peer| peer[5]).collect();
        numbers.sort_unstable();
        numbers
    }
}

/// The target of an announce: peer `peer` of torrent `torrent`, which listens on port `peer`.
pub(crate) fn announce(torrent: char, peer: u8, more: &str) -> String {
    let hash = torrent.to_string().repeat(20);
    let id = format!("%{peer:02x}").repeat(20);
    format!("/announce?info_hash={hash}&peer_id={id}&port={peer}&{more}")
}

/// A folder that is removed when it goes out of scope.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Folder {
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
        let path = path.join(format!("{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
