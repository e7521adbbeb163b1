//! What the servers speak, and who is compared in it.

use std::process::{Command, Stdio};

use crate::Outcome;
use crate::subject::Subject;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    Echo,
    Frames,
    Http,
    /// HTTP, one request on each connection; the server has to close it.
    HttpOnce,
    /// Bytes without end, of which nobody asks what they are.
    Bulk,
}

impl Kind {
    pub fn named(name: &str) -> Outcome<Kind> {
        match name {
            "echo" => Ok(Kind::Echo),
            "frames" => Ok(Kind::Frames),
            "http" => Ok(Kind::Http),
            _ => Err("no such protocol".into()),
        }
    }

    /// The hand-written server, which the others are held against.
    pub fn reference(self, name: &str) -> Outcome<Subject> {
        let program = match self {
            Kind::Echo => "raw_echo",
            Kind::Frames => "raw_frames",
            Kind::Http | Kind::HttpOnce => "raw_http",
            Kind::Bulk => "raw_bulk",
        };
        Subject::built(program, name)
    }

    /// The toolkit's server, from its examples.
    pub fn toolkit(self) -> Outcome<Subject> {
        match self {
            Kind::Echo => Subject::built("echo", "echo"),
            Kind::Frames => Ok(Subject::built("framed", "framed")?.with_argument("serve")),
            Kind::Http | Kind::HttpOnce => Subject::built("hello", "hello"),
            Kind::Bulk => Subject::built("squall_bulk", "iostream"),
        }
    }

    /// Those of `names` that there are for this protocol. One that is not installed is left out.
    pub fn peers(self, names: &[&'static str]) -> Outcome<Vec<Subject>> {
        let mut found = Vec::new();
        for peer in PEERS.iter().filter(|peer| names.contains(&peer.name)) {
            match peer.program {
                Program::Built(programs) => {
                    let mut programs = programs.iter();
                    if let Some((_, program)) = programs.find(|(kind, _)| *kind == self) {
                        found.push(Subject::built(program, peer.name)?);
                    }
                }
                Program::Installed if matches!(self, Kind::Http | Kind::HttpOnce) => {
                    match peer.version() {
                        Some(_) => found.push(Subject::installed(&script(peer.name), peer.name)?),
                        None => println!("left out: {}, which is not installed.\n", peer.name),
                    }
                }
                Program::Installed => {}
            }
        }
        Ok(found)
    }
}

/// A server that others wrote, or wrote for their runtime.
pub struct Peer {
    pub name: &'static str,
    program: Program,
}

enum Program {
    /// Here: what it speaks, and what it is called for each.
    Built(&'static [(Kind, &'static str)]),
    /// On this machine, perhaps: `peers/installed/NAME` starts it, or says its `--version`.
    Installed,
}

impl Peer {
    /// None if it is not installed, or was built here.
    pub fn version(&self) -> Option<String> {
        if !matches!(self.program, Program::Installed) {
            return None;
        }
        let mut command = Command::new(script(self.name));
        let output = command
            .arg("--version")
            .stdin(Stdio::null())
            .output()
            .ok()?;
        let version = [output.stdout, output.stderr].concat();
        let version = String::from_utf8_lossy(&version).trim().to_string();
        output.status.success().then_some(version)
    }
}

fn script(name: &str) -> String {
    format!("{}/peers/installed/{name}", env!("CARGO_MANIFEST_DIR"))
}

pub const PEERS: [Peer; 6] = [
    Peer {
        name: "raw",
        program: Program::Built(&[(Kind::Http, "raw_http_canned")]),
    },
    Peer {
        name: "tokio",
        program: Program::Built(&[
            (Kind::Http, "tokio_hello"),
            (Kind::Echo, "tokio_echo"),
            (Kind::Bulk, "tokio_bulk"),
        ]),
    },
    Peer {
        name: "hyper",
        program: Program::Built(&[(Kind::Http, "hyper_hello"), (Kind::HttpOnce, "hyper_hello")]),
    },
    Peer {
        name: "nginx",
        program: Program::Installed,
    },
    Peer {
        name: "tornado",
        program: Program::Installed,
    },
    Peer {
        name: "node",
        program: Program::Installed,
    },
];
