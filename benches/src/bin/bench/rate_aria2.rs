//! aria2 as a rate-limited sender: it seeds a file of zeros, and is asked for its blocks for ever.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{self, Command};

use squall_benches::client;

use crate::Outcome;
use crate::rate_trace::Clients;
use crate::server::Server;
use crate::subject::Subject;

/// What the program is called, and so a subject that is measured in this way.
pub const PROGRAM: &str = "aria2c";

pub struct Aria2 {
    // Ended before its files go.
    server: Server,
    torrent: Torrent,
}

impl Aria2 {
    pub fn is_installed(subject: &Subject) -> bool {
        Command::new(subject.program())
            .arg("--version")
            .output()
            .is_ok()
    }

    pub fn start(subject: &Subject, rate: u64) -> Outcome<Aria2> {
        let torrent = Torrent::make(subject)?;
        // Free a moment ago.
        let address = TcpListener::bind((ADDRESS, 0))?.local_addr()?;
        let mut command = Command::new(subject.program());
        command.args(FLAGS).args([
            format!("--interface={ADDRESS}"),
            format!("--listen-port={}", address.port()),
            format!("--dir={}", torrent.folder.display()),
            format!("--max-overall-upload-limit={rate}"),
        ]);
        command.arg(torrent.folder.join("torrent"));
        Ok(Aria2 {
            server: Server::start_that_accepts(command, address)?,
            torrent,
        })
    }

    /// A client that wants blocks and may have them, but has asked for none yet.
    pub fn connect(&self) -> Outcome<TcpStream> {
        let mut stream = client::connect(self.server.address, 0)?;
        let greeting: [&[u8]; 3] = [
            b"\x13BitTorrent protocol\0\0\0\0\0\0\0\0",
            &self.torrent.hash,
            b"-SQ0000-000000000000",
        ];
        stream.write_all(&greeting.concat())?;
        stream.read_exact(&mut [0; 68])?;
        // Not before: what comes behind a greeting in one piece ends the connection.
        stream.write_all(&[0, 0, 0, 1, INTERESTED])?;
        loop {
            let mut length = [0; 4];
            stream.read_exact(&mut length)?;
            let mut message = vec![0; u32::from_be_bytes(length) as usize];
            stream.read_exact(&mut message)?;
            if message == [UNCHOKE] {
                return Ok(stream);
            }
        }
    }
}

/// Asks for as many blocks as come.
pub struct Requests {
    /// Of the blocks that were asked for, in bytes, with their heads.
    came: usize,
    next: usize,
}

impl Requests {
    /// Asks for the first ones.
    pub fn begin(stream: &mut TcpStream) -> Outcome<Requests> {
        let mut requests = Requests { came: 0, next: 0 };
        requests.go_on(stream, REQUESTS_OUT * (BLOCK + BLOCK_HEAD))?;
        Ok(requests)
    }

    /// So many bytes came.
    pub fn go_on(&mut self, stream: &mut TcpStream, count: usize) -> Outcome<()> {
        self.came += count;
        let mut requests = Vec::new();
        while self.came >= BLOCK + BLOCK_HEAD {
            self.came -= BLOCK + BLOCK_HEAD;
            let (piece, begin) = (self.next / PIECE % PIECES, self.next % PIECE);
            self.next += BLOCK;
            requests.extend([0, 0, 0, 13, REQUEST]);
            for number in [piece, begin, BLOCK] {
                requests.extend((number as u32).to_be_bytes());
            }
        }
        Ok(stream.write_all(&requests)?)
    }
}

/// The files that it needs, until dropped.
struct Torrent {
    folder: PathBuf,
    hash: [u8; 20],
}

impl Torrent {
    fn make(subject: &Subject) -> Outcome<Torrent> {
        let folder = std::env::temp_dir().join(format!("squall-bench-{}", process::id()));
        fs::create_dir(&folder)?;
        let mut torrent = Torrent {
            folder,
            hash: [0; 20],
        };
        File::create(torrent.folder.join("zeros"))?.set_len((PIECE * PIECES) as u64)?;
        fs::write(torrent.folder.join("torrent"), description())?;
        torrent.hash = torrent.hash_by(subject)?;
        Ok(torrent)
    }

    /// It says so itself, which saves us a hash function.
    fn hash_by(&self, subject: &Subject) -> Outcome<[u8; 20]> {
        let mut command = Command::new(subject.program());
        let command = command.args(["--no-conf=true", "--show-files=true"]);
        let output = command.arg(self.folder.join("torrent")).output()?;
        let printed = String::from_utf8_lossy(&output.stdout);
        let mut lines = printed.lines();
        let digits = lines.find_map(|line| line.strip_prefix("Info Hash: "));
        let digits = digits.filter(|digits| digits.len() == 40 && digits.is_ascii());
        let digits = digits.ok_or_else(|| format!("aria2 does not know the torrent: {printed}"))?;
        let mut hash = [0; 20];
        for (index, byte) in hash.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&digits[2 * index..2 * index + 2], 16)?;
        }
        Ok(hash)
    }
}

impl Drop for Torrent {
    fn drop(&mut self) {
        // There is nobody to tell that it could not be removed.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Its hashes are wrong, and nobody looks at them.
fn description() -> Vec<u8> {
    let length = PIECE * PIECES;
    let hashes = 20 * PIECES;
    let before =
        format!("d4:infod6:lengthi{length}e4:name5:zeros12:piece lengthi{PIECE}e6:pieces{hashes}:");
    let after = b"7:privatei1eee";
    [before.as_bytes(), &vec![0; hashes], after].concat()
}

impl Clients {
    /// A client of aria2's, from its first request on.
    pub fn of_aria2(mut stream: TcpStream) -> Outcome<Clients> {
        let requests = Requests::begin(&mut stream)?;
        let mut clients = Clients::of(vec![stream], Vec::new())?;
        clients.requests = Some(requests);
        Ok(clients)
    }
}

/// No one else in the measurements is there: clients of one address would be taken for one.
const ADDRESS: &str = "127.0.77.1";

const FLAGS: [&str; 15] = [
    "--no-conf=true",
    "--enable-dht=false",
    "--enable-dht6=false",
    "--enable-peer-exchange=false",
    "--bt-enable-lpd=false",
    "--disable-ipv6=true",
    "--allow-overwrite=true",
    "--file-allocation=none",
    "--bt-require-crypto=false",
    "--bt-min-crypto-level=plain",
    "--follow-torrent=false",
    "--summary-interval=0",
    "--show-console-readout=false",
    "--bt-seed-unverified=true",
    "--seed-ratio=0.0",
];

const UNCHOKE: u8 = 1;

const INTERESTED: u8 = 2;

const REQUEST: u8 = 6;

/// What clients ask for at a time.
const BLOCK: usize = 16 * 1024;

/// Length, kind, piece and where it begins.
const BLOCK_HEAD: usize = 13;

const PIECE: usize = 16 * 1024 * 1024;

const PIECES: usize = 4;

/// A megabyte: aria2 has always something to send.
const REQUESTS_OUT: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn description_says_how_long_its_hashes_are() {
        let text = description();
        let text = String::from_utf8_lossy(&text);
        let (_, hashes) = text.split_once("6:pieces80:").unwrap();
        assert_eq!(hashes.find("7:private"), Some(80));
    }
}
