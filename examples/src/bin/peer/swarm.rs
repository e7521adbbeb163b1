//! A torrent and the peers that share it with us: what is done with what they say.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use event_listener::Event;
use examples::info_hash::InfoHash;
use fastrand::Rng;
use ioloop::IoLoop;
use iostream::Error;

use crate::begun::Received;
use crate::bitfield::Bitfield;
use crate::blame::Blame;
use crate::candidates::Candidates;
use crate::choker::{Choker, PeerKey};
use crate::handshake::PeerId;
use crate::layout::{Block, Layout};
use crate::link::Link;
use crate::meter::Meter;
use crate::peer::Peer;
use crate::requests::{Arrival, Requests};
use crate::session::Session;
use crate::storage::Storage;
use crate::wire::Message;

pub(crate) struct Swarm {
    pub(crate) info_hash: InfoHash,
    pub(crate) layout: Layout,
    pub(crate) storage: Arc<Storage>,
    pub(crate) session: Rc<Session>,
    /// Nothing that is called while this is borrowed comes back here: messages are queued, and
    /// wake-ups wait for the next turn.
    pub(crate) state: RefCell<State>,
    /// The last piece is here, or the disk has failed.
    pub(crate) changed: Event,
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) peers: BTreeMap<PeerKey, Peer>,
    next_key: PeerKey,
    pub(crate) requests: Requests,
    pub(crate) choker: Choker,
    pub(crate) blame: Blame,
    pub(crate) candidates: Candidates,
    pub(crate) rng: Rng,
    pub(crate) down: Meter,
    pub(crate) up: Meter,
    /// Bytes of blocks that nobody had asked for, or that were wrong.
    pub(crate) wasted: u64,
    /// Connections of ours that have no handshake yet.
    pub(crate) dialling: usize,
    /// Why this torrent cannot go on.
    pub(crate) failure: Option<String>,
}

/// Why a peer is not let in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Refused {
    Ourselves,
    Twice,
    Banned,
    Full,
}

/// All blocks of a piece have come.
type Whole = Option<(u32, Vec<Received>)>;

impl Swarm {
    pub(crate) fn new(
        session: Rc<Session>,
        info_hash: InfoHash,
        storage: Arc<Storage>,
        layout: Layout,
        have: Bitfield,
    ) -> Rc<Swarm> {
        let io_loop = IoLoop::current();
        let now = io_loop.now();
        let state = State {
            peers: BTreeMap::new(),
            next_key: 0,
            requests: Requests::new(layout, have, Rng::with_seed(io_loop.random())),
            choker: Choker::new(session.slots()),
            blame: Blame::default(),
            candidates: Candidates::default(),
            rng: Rng::with_seed(io_loop.random()),
            down: Meter::new(now),
            up: Meter::new(now),
            wasted: 0,
            dialling: 0,
            failure: None,
        };
        Rc::new(Swarm {
            info_hash,
            layout,
            storage,
            session,
            state: RefCell::new(state),
            changed: Event::new(),
        })
    }

    /// A peer has shaken hands. It is told what we have.
    pub(crate) fn join(
        self: &Rc<Self>,
        address: SocketAddr,
        id: PeerId,
        link: Rc<Link>,
    ) -> Result<Membership, Refused> {
        let mut state = self.state.borrow_mut();
        let from_there = |peer: &&Peer| peer.address.ip() == address.ip();
        if id == self.session.peer_id {
            return Err(Refused::Ourselves);
        }
        if self.session.is_banned(address.ip()) {
            return Err(Refused::Banned);
        }
        if state.peers.values().any(|peer| peer.id == id)
            || state.peers.values().filter(from_there).count() >= PEERS_PER_ADDRESS
        {
            return Err(Refused::Twice);
        }
        if state.peers.len() >= PEERS_MAX {
            return Err(Refused::Full);
        }
        let now = IoLoop::current().now();
        let key = state.next_key;
        state.next_key += 1;
        let mut peer = Peer::new(address, id, link, self.layout.pieces(), now);
        let have = state.requests.have();
        if have.count() > 0 {
            peer.send(&Message::Bitfield(have.clone()), now);
        }
        state.peers.insert(key, peer);
        Ok(Membership {
            swarm: Rc::clone(self),
            key,
        })
    }

    /// A peer has said something.
    ///
    /// # Errors
    /// If it may not say that: it is to be closed.
    pub(crate) fn receive(self: &Rc<Self>, key: PeerKey, message: Message) -> Result<(), Error> {
        let now = IoLoop::current().now();
        let whole = self.state.borrow_mut().receive(key, message, now)?;
        if let Some((piece, blocks)) = whole {
            let swarm = Rc::clone(self);
            let check = async move { swarm.check(piece, blocks).await };
            IoLoop::current().spawn(check).detach();
        }
        Ok(())
    }

    /// Bytes of blocks have gone to a peer.
    pub(crate) fn sent(&self, key: PeerKey, bytes: u64) {
        let now = IoLoop::current().now();
        let mut state = self.state.borrow_mut();
        state.up.add(bytes, now);
        if let Some(peer) = state.peers.get_mut(&key) {
            peer.up.add(bytes, now);
        }
    }

    /// Waits until everything is here.
    pub(crate) async fn completed(&self) {
        loop {
            let changed = self.changed.listen();
            if self.is_complete() {
                return;
            }
            changed.await;
        }
    }

    /// Waits until it cannot go on; says why.
    pub(crate) async fn failed(&self) -> String {
        loop {
            let changed = self.changed.listen();
            let failure = self.state.borrow().failure.clone();
            if let Some(failure) = failure {
                return failure;
            }
            changed.await;
        }
    }

    /// The disk is full, or the files are gone: nothing more can be done with this torrent.
    pub(crate) fn fail(&self, why: String) {
        self.state.borrow_mut().failure.get_or_insert(why);
        self.part_from(|_| true);
        self.changed.notify(usize::MAX);
    }

    /// Everything is here.
    pub(crate) fn is_complete(&self) -> bool {
        self.state.borrow().is_complete()
    }

    /// How many bytes are missing, counting whole pieces.
    pub(crate) fn left(&self) -> u64 {
        let state = self.state.borrow();
        let have = state.requests.have().iter();
        let bytes = have.map(|piece| u64::from(self.layout.piece_length(piece)));
        self.layout.length() - bytes.sum::<u64>()
    }

    /// Ends the connections with these peers.
    pub(crate) fn part_from(&self, is_meant: impl Fn(&Peer) -> bool) {
        for peer in self.state.borrow().peers.values() {
            if is_meant(peer) {
                peer.link.end();
            }
        }
    }

    /// Cuts off whoever is at an address that has lied, and lets nobody in from there again.
    pub(crate) fn ban(&self, liar: IpAddr) {
        tracing::warn!(peer = %liar, "banned: it has sent wrong blocks");
        self.session.ban(liar);
        for peer in self.state.borrow().peers.values() {
            if peer.address.ip() == liar {
                peer.link.writer.abort();
            }
        }
    }
}

impl State {
    pub(crate) fn is_complete(&self) -> bool {
        self.requests.have().is_full()
    }

    fn receive(&mut self, key: PeerKey, message: Message, now: Instant) -> Result<Whole, Error> {
        let Some(peer) = self.peers.get_mut(&key) else {
            return Ok(None);
        };
        match message {
            Message::KeepAlive | Message::Port => {}
            // It should come first, and once. But aria2 sends one in place of many `Have`s too.
            Message::Bitfield(has) => {
                has.iter().for_each(|piece| self.gained(key, piece));
                self.has_changed(key, now);
            }
            Message::Have(piece) => {
                self.gained(key, piece);
                self.has_changed(key, now);
            }
            Message::Choke => peer.chokes(key, true, &mut self.requests),
            Message::Unchoke => {
                peer.chokes(key, false, &mut self.requests);
                peer.ask(key, &mut self.requests, now);
            }
            Message::Interested => self.set_interested(key, true, now),
            Message::NotInterested => self.set_interested(key, false, now),
            Message::Request(block) => self.wanted(key, block)?,
            Message::Cancel(block) => peer.link.cancel(block),
            Message::Piece(block, data) => return Ok(self.came(key, block, data, now)),
        }
        Ok(None)
    }

    fn gained(&mut self, key: PeerKey, piece: u32) {
        let Some(peer) = self.peers.get_mut(&key) else {
            return;
        };
        if peer.has.add(piece) {
            self.requests.gained(piece);
            peer.useful += u32::from(!self.requests.have().has(piece));
        }
    }

    fn has_changed(&mut self, key: PeerKey, now: Instant) {
        let is_complete = self.is_complete();
        if let Some(peer) = self.peers.get_mut(&key) {
            if is_complete && peer.has.is_full() {
                // Two who have everything have nothing to say to each other.
                peer.link.end();
            }
            peer.update_interest(now);
            peer.ask(key, &mut self.requests, now);
        }
    }

    fn set_interested(&mut self, key: PeerKey, is_interested: bool, now: Instant) {
        if let Some(peer) = self.peers.get_mut(&key) {
            peer.is_interested = is_interested;
            if !is_interested {
                peer.set_unchoked(false, now);
            }
        }
        self.fill_slots(now);
    }

    fn wanted(&mut self, key: PeerKey, block: Block) -> Result<(), Error> {
        if !self.requests.have().has(block.piece) {
            return Err(Error::Malformed("a request for what is not here"));
        }
        if block.length > REQUEST_MAX {
            return Err(Error::Malformed("a request for too much"));
        }
        match self.peers.get(&key) {
            Some(peer) if peer.link.want(block) => {
                Err(Error::Malformed("more requests than anybody makes"))
            }
            _ => Ok(()),
        }
    }

    fn came(&mut self, key: PeerKey, block: Block, data: Vec<u8>, now: Instant) -> Whole {
        let peer = self.peers.get_mut(&key)?;
        let bytes = data.len() as u64;
        let arrival = self.requests.received(key, peer.address.ip(), block, data);
        let (others, whole) = match arrival {
            Arrival::Unasked => {
                self.wasted += bytes;
                return None;
            }
            Arrival::Block(others) => (others, None),
            Arrival::Piece(others, blocks) => (others, Some((block.piece, blocks))),
        };
        peer.gave(bytes, now);
        self.down.add(bytes, now);
        peer.ask(key, &mut self.requests, now);
        for other in others {
            if let Some(peer) = self.peers.get_mut(&other) {
                peer.send(&Message::Cancel(block), now);
            }
        }
        whole
    }

    fn leave(&mut self, key: PeerKey, now: Instant) {
        if let Some(peer) = self.peers.remove(&key) {
            let (down, up) = (peer.down.total(), peer.up.total());
            tracing::debug!(peer = %peer.address, down, up, "out");
            self.requests.left(key, &peer.has);
            self.fill_slots(now);
            self.ask_everybody(now);
        }
    }

    /// Something can be asked for that could not be before.
    pub(crate) fn ask_everybody(&mut self, now: Instant) {
        for (key, peer) in &mut self.peers {
            peer.ask(*key, &mut self.requests, now);
        }
    }
}

/// A peer's place in the swarm, which it leaves when this is dropped.
#[derive(Debug)]
pub(crate) struct Membership {
    pub(crate) swarm: Rc<Swarm>,
    pub(crate) key: PeerKey,
}

impl Drop for Membership {
    fn drop(&mut self) {
        let now = self.swarm.session.now();
        self.swarm.state.borrow_mut().leave(self.key, now);
    }
}

impl fmt::Debug for Swarm {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut swarm = formatter.debug_struct("Swarm");
        swarm
            .field("info_hash", &self.info_hash)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Refused::Ourselves => "this is ourselves",
            Refused::Twice => "it is connected already",
            Refused::Banned => "it is banned",
            Refused::Full => "there are enough peers",
        })
    }
}

impl std::error::Error for Refused {}

/// More bring no more, and each costs messages for every piece.
const PEERS_MAX: usize = 100;

/// Two, not one: when both sides connect at the same moment, each must not refuse the other's.
const PEERS_PER_ADDRESS: usize = 2;

/// Old clients ask for 128 KiB at a time, if they are told to.
const REQUEST_MAX: u32 = 128 * 1024;
