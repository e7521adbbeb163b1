//! Which blocks to ask whom for, and what becomes of those that come.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;

use fastrand::Rng;

use crate::begun::{Begun, Received, Source};
use crate::bitfield::Bitfield;
use crate::choker::PeerKey;
use crate::layout::{Block, Layout};
use crate::picker::Picker;

/// The pieces of a torrent on their way: begun ones first, then the rarest; in the end, when
/// everything that is missing has been asked for, of everybody who has it.
#[derive(Debug)]
pub(crate) struct Requests {
    layout: Layout,
    /// What is here and verified.
    have: Bitfield,
    picker: Picker,
    begun: BTreeMap<u32, Begun>,
    /// What each peer was asked for, in that order, and has not sent.
    asked: BTreeMap<PeerKey, VecDeque<Block>>,
    rng: Rng,
}

/// What a block that came is.
#[derive(Debug)]
pub(crate) enum Arrival {
    /// Nobody has asked for it, or not any more.
    Unasked,
    /// One block more. These others were asked for it as well.
    Block(Vec<PeerKey>),
    /// As `Block`, and the last of its piece.
    Piece(Vec<PeerKey>, Vec<Received>),
}

impl Requests {
    pub(crate) fn new(layout: Layout, have: Bitfield, mut rng: Rng) -> Requests {
        Requests {
            layout,
            picker: Picker::new(layout.pieces(), &have, &mut rng),
            have,
            begun: BTreeMap::new(),
            asked: BTreeMap::new(),
            rng,
        }
    }

    /// The pieces that are here.
    pub(crate) fn have(&self) -> &Bitfield {
        &self.have
    }

    /// A peer has got a piece.
    pub(crate) fn gained(&mut self, piece: u32) {
        self.picker.gained(piece, &mut self.rng);
    }

    /// A peer with these pieces has left.
    pub(crate) fn left(&mut self, peer: PeerKey, theirs: &Bitfield) {
        self.release(peer);
        for piece in theirs.iter() {
            self.picker.lost(piece, &mut self.rng);
        }
    }

    /// How many blocks a peer still owes us.
    pub(crate) fn owed_by(&self, peer: PeerKey) -> usize {
        self.asked.get(&peer).map_or(0, VecDeque::len)
    }

    /// Chooses up to `count` blocks to ask a peer for that has the pieces `theirs`.
    pub(crate) fn next(&mut self, peer: PeerKey, theirs: &Bitfield, count: usize) -> Vec<Block> {
        let mut chosen = Vec::new();
        if count == 0 {
            return chosen;
        }
        for piece in self.begun_for(peer, theirs) {
            self.take_unasked(piece, peer, count, &mut chosen);
        }
        while chosen.len() < count {
            let Some(piece) = self.begin(theirs) else {
                break;
            };
            self.take_unasked(piece, peer, count, &mut chosen);
        }
        if chosen.is_empty() && self.is_endgame() {
            chosen = self.asked_of_others(peer, theirs);
            chosen.truncate(count);
        }
        for block in &chosen {
            self.ask(peer, *block);
        }
        chosen
    }

    /// A block has come.
    pub(crate) fn received(
        &mut self,
        peer: PeerKey,
        sender: IpAddr,
        block: Block,
        data: Vec<u8>,
    ) -> Arrival {
        if !self.forget_asked(peer, block) {
            return Arrival::Unasked;
        }
        // Whoever is asked for a block is asked for one that exists in a piece that is begun.
        let number = self.layout.number(block);
        let begun = self.begun.get_mut(&block.piece);
        let (Some(begun), Some(number)) = (begun, number) else {
            return Arrival::Unasked;
        };
        let (mut others, whole) = begun.receive(number, Received { sender, data });
        others.retain(|other| *other != peer);
        for other in &others {
            self.forget_asked(*other, block);
        }
        match whole {
            Some(blocks) => Arrival::Piece(others, blocks),
            None => Arrival::Block(others),
        }
    }

    /// A peer will not send what it was asked for: it chokes us, is gone, or does not answer. What
    /// that was can be asked of others.
    pub(crate) fn release(&mut self, peer: PeerKey) -> Vec<Block> {
        let asked = self.asked.remove(&peer).unwrap_or_default();
        for block in &asked {
            let begun = self.begun.get_mut(&block.piece);
            if let (Some(begun), Some(number)) = (begun, self.layout.number(*block)) {
                begun.release(number as usize, peer);
            }
        }
        for begun in self.begun.values_mut() {
            // Half of a piece from one and half from another would prove nothing again.
            if begun.source == Source::Alone(Some(peer)) && !begun.is_whole() {
                begun.start_over();
            }
        }
        asked.into()
    }

    /// A piece that was whole is what it should be.
    pub(crate) fn verified(&mut self, piece: u32) {
        self.begun.remove(&piece);
        self.have.add(piece);
    }

    /// A piece that was whole is wrong. If it is not known who lied, it comes from one peer alone
    /// next time.
    pub(crate) fn failed(&mut self, piece: u32, is_known: bool) {
        self.begun.remove(&piece);
        if is_known {
            self.picker.put_back(piece, &mut self.rng);
        } else {
            let begun = Begun::new(self.layout.blocks(piece) as usize, Source::Alone(None));
            self.begun.insert(piece, begun);
        }
    }

    /// Everything that is missing was asked for.
    pub(crate) fn is_endgame(&self) -> bool {
        self.picker.is_empty() && !self.begun.values().any(Begun::has_unasked)
    }

    /// The begun pieces that this peer could be asked for more of, rarest first: the sooner they
    /// are whole, the sooner they are of use, and the less memory is taken.
    fn begun_for(&self, peer: PeerKey, theirs: &Bitfield) -> Vec<u32> {
        let open = self.begun.iter().filter(|(piece, begun)| {
            begun.has_unasked() && begun.is_open_to(peer) && theirs.has(**piece)
        });
        let mut pieces: Vec<u32> = open.map(|(piece, _)| *piece).collect();
        pieces.sort_by_key(|piece| self.picker.holders(*piece));
        pieces
    }

    /// Begins another piece, if there is memory for it.
    fn begin(&mut self, theirs: &Bitfield) -> Option<u32> {
        if self.begun.len() >= begun_max(&self.layout) && !self.forget_one() {
            return None;
        }
        let piece = if self.have.count() < RANDOM_FIRST {
            self.picker.pick_any(theirs, &mut self.rng)?
        } else {
            self.picker.pick(theirs)?
        };
        let begun = Begun::new(self.layout.blocks(piece) as usize, Source::Anybody);
        self.begun.insert(piece, begun);
        Some(piece)
    }

    /// Gives up a piece that nobody here has any more: its memory is better used for others.
    fn forget_one(&mut self) -> bool {
        let is_lost = |(piece, begun): &(&u32, &Begun)| {
            self.picker.holders(**piece) == 0 && !begun.is_whole()
        };
        let Some(piece) = self.begun.iter().find(is_lost).map(|(piece, _)| *piece) else {
            return false;
        };
        self.begun.remove(&piece);
        self.picker.put_back(piece, &mut self.rng);
        true
    }

    fn take_unasked(&self, piece: u32, peer: PeerKey, count: usize, chosen: &mut Vec<Block>) {
        let Some(begun) = self
            .begun
            .get(&piece)
            .filter(|begun| begun.is_open_to(peer))
        else {
            return;
        };
        let blocks = begun
            .unasked()
            .map(|number| self.layout.block(piece, number));
        chosen.extend(blocks.take(count - chosen.len()));
    }

    /// In random order: else all would send us the same block next.
    fn asked_of_others(&mut self, peer: PeerKey, theirs: &Bitfield) -> Vec<Block> {
        let mut blocks = Vec::new();
        for (piece, begun) in &self.begun {
            if theirs.has(*piece) && begun.is_open_to(peer) {
                let missing = begun.missing_but_for(peer);
                blocks.extend(missing.map(|number| self.layout.block(*piece, number)));
            }
        }
        self.rng.shuffle(&mut blocks);
        blocks
    }

    fn ask(&mut self, peer: PeerKey, block: Block) {
        let begun = self.begun.get_mut(&block.piece);
        if let (Some(begun), Some(number)) = (begun, self.layout.number(block)) {
            begun.ask(number as usize, peer);
            self.asked.entry(peer).or_default().push_back(block);
        }
    }

    /// Whether the peer was asked for it.
    fn forget_asked(&mut self, peer: PeerKey, block: Block) -> bool {
        let Some(asked) = self.asked.get_mut(&peer) else {
            return false;
        };
        // Nearly always the first.
        let place = asked.iter().position(|other| *other == block);
        place.and_then(|place| asked.remove(place)).is_some()
    }
}

/// How many pieces may be in memory, being gathered or verified.
fn begun_max(layout: &Layout) -> usize {
    let length = layout.piece_length(0).max(1) as usize;
    (MEMORY_MAX / length).max(BEGUN_MIN)
}

/// Of pieces that are gathered in memory: enough that a fast download need not wait for the disk.
const MEMORY_MAX: usize = 64 * 1024 * 1024;

/// However large pieces are, slow peers must not be in the way of all others.
const BEGUN_MIN: usize = 4;

/// So many pieces are chosen at random before rare ones are.
const RANDOM_FIRST: u32 = 4;

#[cfg(test)]
mod tests;
