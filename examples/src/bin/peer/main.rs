//! A BitTorrent peer: it downloads and seeds what torrent files describe (BEP 3).
//!
//! ```sh
//! cargo run --release --bin peer -- --address 0.0.0.0 --port 6881 film.torrent downloads
//! ```
//!
//! Several torrents share one port, and the limits: `peer one.torrent two.torrent downloads`.
//! What is in the folder already is checked first, and kept if it is right.
//!
//! | flag | |
//! |---|---|
//! | `--upload-limit N`, `--download-limit N` | bytes per second, of all torrents together |
//! | `--seed-time S` | end so many seconds after everything is here; else it seeds until `SIGINT` |
//! | `--address A` | the address to listen at, and to connect from: 127.0.0.1, `0.0.0.0` for all |
//! | `--no-announce` | ask no tracker |
//! | `--connect HOST:PORT` | a peer to connect to, whatever trackers say; may be repeated |
//!
//! In a terminal it draws a line for each torrent, with how many of its pieces are here; else it
//! prints a plain one now and then:
//!
//! ```text
//! film.mkv    ━━━━━━━━╸────────────   39 %  182/458  ↓2.3 MB/s  ↑0 B/s  1 peer  0:16 left
//! album.flac  ━━━━━━━━━━━━━━━━━━━━━  100 %  153/153  complete  ↑0 B/s  0 peers
//! ```
//!
//! `RUST_LOG=peer=debug` says what becomes of each connection. It speaks HTTP to trackers and plain
//! BEP 3 to peers: no encryption, no extensions, no table of nodes.

mod announce;
mod announcer;
mod backlog;
mod backoff;
mod begun;
mod bitfield;
mod blame;
mod candidates;
mod choker;
mod connection;
mod dial;
mod finished;
mod handshake;
mod layout;
mod link;
mod meter;
mod peer;
mod picker;
mod progress;
mod requests;
mod rounds;
mod session;
mod storage;
mod swarm;
#[cfg(test)]
mod tests;
mod torrent;
mod tracker_http;
mod upload;
mod wire;

use std::collections::HashSet;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::Path;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use examples::Flags;
use futures_lite::future::{or, zip};
use ioloop::{IoLoop, signals};
use tcpserver::{BoxError, TcpServer, WhenFull};

use crate::session::{Door, Session};
use crate::torrent::{Plan, Torrent};

fn main() -> ExitCode {
    let flags = Flags::parse("peer", USAGE);
    match run(&flags) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("peer: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(flags: &Flags) -> Result<(), BoxError> {
    let [files @ .., folder] = flags.words() else {
        flags.fail("which torrents, and to which folder?");
    };
    if files.is_empty() {
        flags.fail("one torrent or more come first, then a folder");
    }
    let torrents = files
        .iter()
        .map(|file| Torrent::open(Path::new(file), Path::new(folder)).map(Rc::new));
    let torrents = torrents.collect::<Result<Vec<Rc<Torrent>>, BoxError>>()?;
    check_distinct(&torrents)?;
    let session = Session::new(flags.find("upload-limit"), flags.find("download-limit"));
    let server = TcpServer::new(Door(Rc::clone(&session)))
        .max_connections(INCOMING_MAX)
        .when_full(WhenFull::Close);
    let addresses = server.listen(flags.address())?;
    let listening = addresses[0].ip().ok_or("this is no address to listen at")?;
    session.address.set(listening);
    let plan = Rc::new(plan(flags));
    let interrupt = signals::Listener::new(signals::SIGINT)?;
    let terminate = signals::Listener::new(signals::SIGTERM)?;
    // Whoever has read this may send us a signal.
    println!("listening on {listening}");
    let work = async {
        let signal = async { Ok(or(interrupt.recv(), terminate.recv()).await?) };
        let sharing = or(share(&torrents, &session, &plan), signal);
        let showing = async { match progress::show(&torrents).await {} };
        let result = or(sharing, showing).await;
        zip(server.shutdown(GRACE), leave(&torrents)).await;
        progress::finish(&torrents);
        result
    };
    IoLoop::current().run_until(work)
}

/// Two torrents must not write to the same files.
fn check_distinct(torrents: &[Rc<Torrent>]) -> Result<(), BoxError> {
    let mut names = HashSet::new();
    match torrents.iter().find(|torrent| !names.insert(&torrent.name)) {
        Some(torrent) => Err(format!("two of the torrents are called {}", torrent.name).into()),
        None => Ok(()),
    }
}

/// Runs all torrents. Each failure is reported when it happens; the others go on.
async fn share(
    torrents: &[Rc<Torrent>],
    session: &Rc<Session>,
    plan: &Rc<Plan>,
) -> Result<(), BoxError> {
    let lives: Vec<_> = torrents
        .iter()
        .map(|torrent| {
            let life = Rc::clone(torrent).run(Rc::clone(session), Rc::clone(plan));
            IoLoop::current().spawn(life)
        })
        .collect();
    let mut result = Ok(());
    for life in lives {
        result = result.and(life.await);
    }
    result
}

/// Tells the trackers of all torrents, at the same time.
async fn leave(torrents: &[Rc<Torrent>]) {
    let leave = |torrent: &Rc<Torrent>| {
        let torrent = Rc::clone(torrent);
        IoLoop::current().spawn(async move { torrent.leave().await })
    };
    let leaving: Vec<_> = torrents.iter().map(leave).collect();
    for torrent in leaving {
        torrent.await;
    }
}

fn plan(flags: &Flags) -> Plan {
    let connect = flags.all("connect").flat_map(|peer| resolve(peer, flags));
    let seed_time = flags.find("seed-time").map(|seconds| {
        Duration::try_from_secs_f64(seconds)
            .unwrap_or_else(|error| flags.fail(&format!("--seed-time: {error}")))
    });
    Plan {
        announces: flags.all("no-announce").next().is_none(),
        connect: connect.collect(),
        seed_time,
    }
}

/// It blocks, before the loop runs.
fn resolve(peer: &str, flags: &Flags) -> Vec<SocketAddr> {
    match peer.to_socket_addrs() {
        Ok(addresses) => addresses.collect(),
        Err(error) => flags.fail(&format!("--connect {peer}: {error}")),
    }
}

const USAGE: &str = "--upload-limit BYTES_PER_S --download-limit BYTES_PER_S --seed-time S \
                     --no-announce --connect HOST:PORT TORRENT... FOLDER";

/// Besides those that we connect to; each swarm has a limit of its own.
const INCOMING_MAX: usize = 200;

/// Peers have nothing to finish: what they miss they get from others.
const GRACE: Duration = Duration::from_millis(500);
