//! A piece on its way: which of its blocks are here, and who was asked for the others.

use std::net::IpAddr;

use crate::choker::PeerKey;

/// A piece of which blocks were asked for.
#[derive(Debug)]
pub(crate) struct Begun {
    slots: Vec<Slot>,
    /// How many slots have no data and were asked of nobody.
    unasked: usize,
    /// No slot before this one is unasked.
    first_unasked: usize,
    /// How many slots have no data.
    missing: usize,
    pub(crate) source: Source,
}

/// Who may be asked for a piece.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Source {
    Anybody,
    /// It came wrong from several: one peer alone is to send it, so that it is known who lies.
    Alone(Option<PeerKey>),
}

#[derive(Clone, Debug, Default)]
struct Slot {
    asked: Vec<PeerKey>,
    data: Option<Received>,
}

/// A block, and who has sent it.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) sender: IpAddr,
    pub(crate) data: Vec<u8>,
}

impl Begun {
    pub(crate) fn new(slots: usize, source: Source) -> Begun {
        Begun {
            slots: vec![Slot::default(); slots],
            unasked: slots,
            first_unasked: 0,
            missing: slots,
            source,
        }
    }

    pub(crate) fn is_open_to(&self, peer: PeerKey) -> bool {
        match self.source {
            Source::Anybody | Source::Alone(None) => true,
            Source::Alone(Some(owner)) => owner == peer,
        }
    }

    /// Some of it can be asked for.
    pub(crate) fn has_unasked(&self) -> bool {
        self.unasked > 0
    }

    /// All of it has come.
    pub(crate) fn is_whole(&self) -> bool {
        self.missing == 0
    }

    /// The blocks, by number, that nobody was asked for.
    pub(crate) fn unasked(&self) -> impl Iterator<Item = u32> {
        let slots = self.slots.iter().enumerate().skip(self.first_unasked);
        let unasked = slots.filter(|(_, slot)| slot.is_unasked());
        unasked.map(|(number, _)| number as u32)
    }

    /// The blocks that have not come and that this peer was not asked for.
    pub(crate) fn missing_but_for(&self, peer: PeerKey) -> impl Iterator<Item = u32> {
        let slots = if self.is_whole() {
            &[][..]
        } else {
            &self.slots
        };
        let missing = slots
            .iter()
            .enumerate()
            .filter(move |(_, slot)| slot.data.is_none() && !slot.asked.contains(&peer));
        missing.map(|(number, _)| number as u32)
    }

    /// A block has come. Returns who else was asked for it, and all blocks if it was the last.
    pub(crate) fn receive(
        &mut self,
        number: u32,
        received: Received,
    ) -> (Vec<PeerKey>, Option<Vec<Received>>) {
        let slot = &mut self.slots[number as usize];
        slot.data = Some(received);
        let asked = std::mem::take(&mut slot.asked);
        self.missing -= 1;
        let blocks = self.slots.iter_mut().map(|slot| &mut slot.data);
        let whole = (self.missing == 0).then(|| blocks.filter_map(Option::take).collect());
        (asked, whole)
    }

    /// As new, for another peer to begin with: it comes from one alone.
    pub(crate) fn start_over(&mut self) {
        *self = Begun::new(self.slots.len(), Source::Alone(None));
    }

    pub(crate) fn ask(&mut self, number: usize, peer: PeerKey) {
        let slot = &mut self.slots[number];
        if slot.is_unasked() {
            self.unasked -= 1;
        }
        slot.asked.push(peer);
        if self.source == Source::Alone(None) {
            self.source = Source::Alone(Some(peer));
        }
        while self
            .slots
            .get(self.first_unasked)
            .is_some_and(|slot| !slot.is_unasked())
        {
            self.first_unasked += 1;
        }
    }

    pub(crate) fn release(&mut self, number: usize, peer: PeerKey) {
        let slot = &mut self.slots[number];
        slot.asked.retain(|other| *other != peer);
        if slot.is_unasked() {
            self.unasked += 1;
            self.first_unasked = self.first_unasked.min(number);
        }
    }
}

impl Slot {
    fn is_unasked(&self) -> bool {
        self.data.is_none() && self.asked.is_empty()
    }
}
