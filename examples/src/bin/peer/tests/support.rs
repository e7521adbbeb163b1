//! A torrent, a swarm that has it or does not, and peers that say what a test wants.

use std::cell::Cell;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use examples::info_hash::InfoHash;
use examples::metainfo::{File, Metainfo};
use ioloop::{IoLoop, timeout};
use iostream::{Error, IoStream};
use sha1::{Digest, Sha1};
use tcpserver::TcpServer;

use crate::bitfield::Bitfield;
use crate::connection::exchange;
use crate::handshake::{self, PeerId};
use crate::layout::{BLOCK, Block, Layout};
use crate::session::{Door, Session};
use crate::storage::Storage;
use crate::swarm::Swarm;
use crate::wire::{self, Message};

pub(super) const PIECES: u32 = 12;
const PIECE_LENGTH: u32 = 4 * BLOCK;

/// A torrent of which every piece is different, the last one shorter, and a folder for it that is
/// gone at the end.
pub(super) struct Torrent {
    pub(super) content: Vec<u8>,
    pub(super) layout: Layout,
    metainfo: Metainfo,
    folder: PathBuf,
    folders: Cell<u32>,
}

impl Torrent {
    pub(super) fn new(name: &str) -> Torrent {
        Torrent::with_piece_length(name, PIECE_LENGTH)
    }

    pub(super) fn with_piece_length(name: &str, piece_length: u32) -> Torrent {
        let length = PIECES * piece_length - 1_000;
        let content: Vec<u8> = (0..length)
            .map(|n| (n * 7 % 251 + n / piece_length) as u8)
            .collect();
        let hashes = content
            .chunks(piece_length as usize)
            .map(|piece| Sha1::digest(piece).into());
        let metainfo = Metainfo {
            info_hash: InfoHash::of(name.as_bytes()),
            name: "data".into(),
            piece_length,
            pieces: hashes.collect(),
            files: vec![File {
                path: "data".into(),
                length: length.into(),
                is_padding: false,
            }],
            length: length.into(),
            is_private: true,
            trackers: Vec::new(),
        };
        let unique = format!("peer-{name}-{}", std::process::id());
        let folder = std::env::temp_dir().join(unique);
        Torrent {
            content,
            layout: Layout::new(length.into(), piece_length.into()).unwrap(),
            metainfo,
            folder,
            folders: Cell::new(0),
        }
    }

    /// A swarm with nothing, and a folder of its own.
    pub(super) fn leech(&self, session: &Rc<Session>) -> Rc<Swarm> {
        self.swarm(session, &self.new_folder(), Bitfield::new(PIECES))
    }

    /// A swarm with everything but the first piece.
    pub(super) fn all_but_the_first(&self, session: &Rc<Session>) -> Rc<Swarm> {
        let folder = self.new_folder();
        let mut content = self.content.clone();
        content[..PIECE_LENGTH as usize].fill(0);
        fs::write(folder.join("data"), content).unwrap();
        let mut have = Bitfield::new(PIECES);
        (1..PIECES).for_each(|piece| assert!(have.add(piece)));
        self.swarm(session, &folder, have)
    }

    /// A swarm with everything.
    pub(super) fn seed(&self, session: &Rc<Session>) -> Rc<Swarm> {
        let folder = self.new_folder();
        fs::write(folder.join("data"), &self.content).unwrap();
        self.swarm(session, &folder, self.all())
    }

    pub(super) fn all(&self) -> Bitfield {
        let mut all = Bitfield::new(PIECES);
        (0..PIECES).for_each(|piece| assert!(all.add(piece)));
        all
    }

    pub(super) fn data(&self, block: Block) -> &[u8] {
        let start = (self.layout.offset(block.piece) + u64::from(block.begin)) as usize;
        &self.content[start..start + block.length as usize]
    }

    fn swarm(&self, session: &Rc<Session>, folder: &std::path::Path, have: Bitfield) -> Rc<Swarm> {
        let storage = Storage::open(&self.metainfo, self.layout, folder).unwrap();
        let hash = self.metainfo.info_hash;
        let swarm = Swarm::new(
            Rc::clone(session),
            hash,
            Arc::new(storage),
            self.layout,
            have,
        );
        session.add(&swarm);
        swarm
    }

    fn new_folder(&self) -> PathBuf {
        self.folders.set(self.folders.get() + 1);
        let folder = self.folder.join(self.folders.get().to_string());
        fs::create_dir_all(&folder).unwrap();
        folder
    }
}

impl Drop for Torrent {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Whether everything that a swarm has on disk is as it should be.
pub(super) fn is_right(swarm: &Swarm) -> bool {
    (0..PIECES).all(|piece| swarm.storage.is_right(piece))
}

pub(super) fn now() -> Instant {
    IoLoop::current().now()
}

/// Somebody else's end of a connection.
pub(super) struct Remote {
    pub(super) stream: IoStream,
    layout: Layout,
}

impl Remote {
    /// A peer at 10.0.0.`number`, which has shaken hands.
    pub(super) fn join(swarm: &Rc<Swarm>, number: u8) -> Remote {
        Remote::join_as(swarm, number, [number; 20])
    }

    pub(super) fn join_as(swarm: &Rc<Swarm>, number: u8, id: PeerId) -> Remote {
        let (theirs, ours) = IoStream::pair();
        let (swarm, address) = (
            Rc::clone(swarm),
            SocketAddr::from(([10, 0, 0, number], 6881)),
        );
        let layout = swarm.layout;
        let exchange = async move { exchange(&swarm, ours, address, id).await.ok() };
        IoLoop::current().spawn(exchange).detach();
        Remote {
            stream: theirs,
            layout,
        }
    }

    pub(super) fn say(&self, message: &Message) {
        self.stream.queue(&message.encode()).unwrap();
    }

    pub(super) async fn hear(&mut self) -> Result<Message, Error> {
        self.stream.read_with(wire::message(&self.layout)).await
    }

    /// Reads on to a message like this.
    pub(super) async fn expect(&mut self, is_meant: impl Fn(&Message) -> bool) -> Message {
        loop {
            let message = self.hear().await.unwrap();
            if is_meant(&message) {
                return message;
            }
        }
    }

    /// All messages that come within a time.
    pub(super) async fn hear_for(&mut self, time: Duration) -> Vec<Message> {
        let mut heard = Vec::new();
        let end = now() + time;
        while let Ok(message) = timeout(end - now(), self.hear()).await {
            heard.push(message.unwrap());
        }
        heard
    }

    /// What else comes until the connection ends in good order.
    pub(super) async fn rest(&mut self) -> Vec<Message> {
        let mut heard = Vec::new();
        while let Ok(message) = self.hear().await {
            heard.push(message);
        }
        heard
    }

    /// Answers every request until the connection ends. `data` makes up the blocks.
    pub(super) async fn serve(mut self, has: Bitfield, data: impl Fn(Block) -> Vec<u8>) -> u32 {
        let mut sent = 0;
        self.say(&Message::Bitfield(has));
        self.say(&Message::Unchoke);
        while let Ok(message) = self.hear().await {
            if let Message::Request(block) = message {
                let piece = Message::Piece(block, data(block)).encode();
                if self.stream.write(&piece).await.is_err() {
                    break;
                }
                sent += 1;
            }
        }
        sent
    }
}

/// A server in memory, and a client that has sent these bytes.
pub(super) async fn knock(session: &Rc<Session>, bytes: &[u8]) -> IoStream {
    let client = TcpServer::new(Door(Rc::clone(session))).connect_in_memory();
    client.write(bytes).await.unwrap();
    client
}

/// Two swarms that are connected to each other.
pub(super) fn connect(one: &Rc<Swarm>, other: &Rc<Swarm>, number: u8) {
    let (left, right) = IoStream::pair();
    for (swarm, stream, last) in [(one, left, number), (other, right, number + 100)] {
        let address = SocketAddr::from(([10, 0, 0, last], 6881));
        let (swarm, id): (_, PeerId) = (Rc::clone(swarm), [last; 20]);
        let exchange = async move { exchange(&swarm, stream, address, id).await.ok() };
        IoLoop::current().spawn(exchange).detach();
    }
}

pub(super) fn greeting(swarm: &Swarm) -> Vec<u8> {
    handshake::handshake(&swarm.info_hash, &[7; 20])
}
