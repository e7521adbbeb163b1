//! What we know of a peer that is connected.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::backlog::backlog;
use crate::bitfield::Bitfield;
use crate::choker::{Candidate, PeerKey};
use crate::handshake::PeerId;
use crate::link::Link;
use crate::meter::Meter;
use crate::requests::Requests;
use crate::wire::Message;

#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    pub(crate) id: PeerId,
    pub(crate) link: Rc<Link>,
    pub(crate) has: Bitfield,
    /// How many of those pieces we do not have.
    pub(crate) useful: u32,
    /// What we have told it.
    is_wanted: bool,
    /// What it has told us.
    pub(crate) is_interested: bool,
    chokes_us: bool,
    /// Since when it may ask us, and when it last might not any more, or came.
    unchoked: Option<Instant>,
    waits_since: Instant,
    pub(crate) down: Meter,
    pub(crate) up: Meter,
    /// When it last sent a block, or began to owe us some.
    last_block: Instant,
    is_snubbing: bool,
    last_sent: Instant,
}

impl Peer {
    pub(crate) fn new(
        address: SocketAddr,
        id: PeerId,
        link: Rc<Link>,
        pieces: u32,
        now: Instant,
    ) -> Peer {
        Peer {
            address,
            id,
            link,
            has: Bitfield::new(pieces),
            useful: 0,
            is_wanted: false,
            is_interested: false,
            chokes_us: true,
            unchoked: None,
            waits_since: now,
            down: Meter::new(now),
            up: Meter::new(now),
            last_block: now,
            is_snubbing: false,
            last_sent: now,
        }
    }

    /// For the choker. What counts is what it gives.
    pub(crate) fn candidate(&self, key: PeerKey, now: Instant) -> Candidate {
        Candidate {
            key,
            is_interested: self.is_interested,
            is_snubbing: self.is_snubbing,
            rate: self.down.rate(now),
            unchoked: self.unchoked,
            waits_since: self.waits_since,
        }
    }

    pub(crate) fn is_unchoked(&self) -> bool {
        self.unchoked.is_some()
    }

    pub(crate) fn set_unchoked(&mut self, is_unchoked: bool, now: Instant) {
        if is_unchoked == self.is_unchoked() {
            return;
        }
        self.unchoked = is_unchoked.then_some(now);
        self.waits_since = now;
        self.link.set_unchoked(is_unchoked);
        self.last_sent = now;
    }

    /// It tells whether we may ask. If not, it has forgotten what we asked for.
    pub(crate) fn chokes(&mut self, key: PeerKey, chokes_us: bool, requests: &mut Requests) {
        self.chokes_us = chokes_us;
        if chokes_us {
            requests.release(key);
        }
    }

    /// Tells it whether it has anything for us, if that has changed.
    pub(crate) fn update_interest(&mut self, now: Instant) {
        let is_wanted = self.useful > 0;
        if is_wanted == self.is_wanted {
            return;
        }
        self.is_wanted = is_wanted;
        self.send(
            if is_wanted {
                &Message::Interested
            } else {
                &Message::NotInterested
            },
            now,
        );
    }

    /// Asks for as many blocks as it can be asked for.
    pub(crate) fn ask(&mut self, key: PeerKey, requests: &mut Requests, now: Instant) {
        if self.chokes_us || self.useful == 0 {
            return;
        }
        let owed = requests.owed_by(key);
        let wanted = backlog(self.down.rate(now), self.is_snubbing);
        if owed == 0 {
            self.last_block = now;
        }
        for block in requests.next(key, &self.has, wanted.saturating_sub(owed)) {
            self.send(&Message::Request(block), now);
        }
    }

    /// It has sent a block that we asked for.
    pub(crate) fn gave(&mut self, bytes: u64, now: Instant) {
        self.down.add(bytes, now);
        self.last_block = now;
        self.is_snubbing = false;
    }

    /// If it has owed us blocks for long, others are asked for them; it will be asked for one at a
    /// time. Returns whether that is so from now on.
    pub(crate) fn notice_snub(
        &mut self,
        key: PeerKey,
        requests: &mut Requests,
        now: Instant,
    ) -> bool {
        let is_late = now.saturating_duration_since(self.last_block) >= SNUB;
        if self.is_snubbing || !is_late || requests.owed_by(key) == 0 {
            return false;
        }
        self.is_snubbing = true;
        for block in requests.release(key) {
            self.send(&Message::Cancel(block), now);
        }
        true
    }

    pub(crate) fn send(&mut self, message: &Message, now: Instant) {
        self.link.send(message);
        self.last_sent = now;
    }

    /// A peer that hears nothing takes us for dead.
    pub(crate) fn keep_alive(&mut self, now: Instant) {
        if now.saturating_duration_since(self.last_sent) >= KEEP_ALIVE {
            self.send(&Message::KeepAlive, now);
        }
    }
}

/// Who owes blocks for so long is not waited for.
const SNUB: Duration = Duration::from_secs(30);

/// Peers close what is silent for two minutes; this is looked at every ten seconds.
const KEEP_ALIVE: Duration = Duration::from_secs(100);
