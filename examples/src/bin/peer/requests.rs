//! Which blocks to ask whom for, and what becomes of those that come.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;

use fastrand::Rng;

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

/// A piece of which blocks were asked for.
#[derive(Debug)]
struct Begun {
    slots: Vec<Slot>,
    /// How many slots have no data and were asked of nobody.
    unasked: usize,
    /// No slot before this one is unasked.
    first_unasked: usize,
    /// How many slots have no data.
    missing: usize,
    source: Source,
}

/// Who may be asked for a piece.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Source {
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
        let slot = &mut begun.slots[number as usize];
        slot.data = Some(Received { sender, data });
        let mut others = std::mem::take(&mut slot.asked);
        others.retain(|other| *other != peer);
        begun.missing -= 1;
        let whole = (begun.missing == 0).then(|| {
            let slots = begun.slots.iter_mut();
            slots.filter_map(|slot| slot.data.take()).collect()
        });
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
            if begun.source == Source::Alone(Some(peer)) && begun.missing > 0 {
                *begun = Begun::new(begun.slots.len(), Source::Alone(None));
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
        self.picker.is_empty() && self.begun.values().all(|begun| begun.unasked == 0)
    }

    /// The begun pieces that this peer could be asked for more of, rarest first: the sooner they
    /// are whole, the sooner they are of use, and the less memory is taken.
    fn begun_for(&self, peer: PeerKey, theirs: &Bitfield) -> Vec<u32> {
        let open = self.begun.iter().filter(|(piece, begun)| {
            begun.unasked > 0 && begun.is_open_to(peer) && theirs.has(**piece)
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
            self.picker.holders(**piece) == 0 && begun.missing > 0
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
        let slots = begun.slots.iter().enumerate().skip(begun.first_unasked);
        let unasked = slots.filter(|(_, slot)| slot.is_unasked());
        let blocks = unasked.map(|(number, _)| self.layout.block(piece, number as u32));
        chosen.extend(blocks.take(count - chosen.len()));
    }

    /// In random order: else all would send us the same block next.
    fn asked_of_others(&mut self, peer: PeerKey, theirs: &Bitfield) -> Vec<Block> {
        let mut blocks = Vec::new();
        for (piece, begun) in &self.begun {
            if theirs.has(*piece) && begun.is_open_to(peer) {
                let slots = begun.slots.iter().enumerate();
                let missing =
                    slots.filter(|(_, slot)| slot.data.is_none() && !slot.asked.contains(&peer));
                if begun.missing > 0 {
                    blocks.extend(
                        missing.map(|(number, _)| self.layout.block(*piece, number as u32)),
                    );
                }
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

impl Begun {
    fn new(slots: usize, source: Source) -> Begun {
        Begun {
            slots: vec![Slot::default(); slots],
            unasked: slots,
            first_unasked: 0,
            missing: slots,
            source,
        }
    }

    fn is_open_to(&self, peer: PeerKey) -> bool {
        match self.source {
            Source::Anybody | Source::Alone(None) => true,
            Source::Alone(Some(owner)) => owner == peer,
        }
    }

    fn ask(&mut self, number: usize, peer: PeerKey) {
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

    fn release(&mut self, number: usize, peer: PeerKey) {
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

/// How many blocks a peer may owe us that sends so many bytes per second: what it sends in some
/// seconds, so that it never waits for us; less of that for a fast one, whose way is short too.
pub(crate) fn backlog(rate: f64, is_snubbing: bool) -> usize {
    if is_snubbing {
        return 1;
    }
    let blocks = 2 + (4.0 * rate / f64::from(crate::layout::BLOCK)) as usize;
    if blocks <= 50 {
        blocks
    } else {
        (blocks * 3 / 40).clamp(50, BACKLOG_MAX)
    }
}

/// How many pieces may be in memory, being gathered or verified.
fn begun_max(layout: &Layout) -> usize {
    let length = layout.piece_length(0).max(1) as usize;
    (MEMORY_MAX / length).max(BEGUN_MIN)
}

/// What peers queue that do not say (BEP 10's `reqq`).
const BACKLOG_MAX: usize = 250;

/// Of pieces that are gathered in memory: enough that a fast download need not wait for the disk.
const MEMORY_MAX: usize = 64 * 1024 * 1024;

/// However large pieces are, slow peers must not be in the way of all others.
const BEGUN_MIN: usize = 4;

/// So many pieces are chosen at random before rare ones are.
const RANDOM_FIRST: u32 = 4;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::BLOCK;

    const PIECES: u32 = 10;
    const ANNA: PeerKey = 1;
    const BERT: PeerKey = 2;

    fn requests() -> Requests {
        let layout = Layout::new(u64::from(PIECES * 4 * BLOCK) - 5, (4 * BLOCK).into()).unwrap();
        Requests::new(layout, Bitfield::new(PIECES), Rng::with_seed(1))
    }

    fn all() -> Bitfield {
        some(0..PIECES)
    }

    fn some(pieces: impl IntoIterator<Item = u32>) -> Bitfield {
        let mut some = Bitfield::new(PIECES);
        pieces
            .into_iter()
            .for_each(|piece| assert!(some.add(piece)));
        some
    }

    fn send(requests: &mut Requests, peer: PeerKey, block: Block) -> Arrival {
        let sender = IpAddr::from([127, 0, 0, peer as u8]);
        requests.received(peer, sender, block, vec![peer as u8; block.length as usize])
    }

    #[test]
    fn nothing_is_asked_twice_before_everything_was_asked_once() {
        let mut requests = requests();
        let mut asked = Vec::new();
        for round in 0..PIECES * 4 {
            assert!(!requests.is_endgame());
            let peer = PeerKey::from(round % 3);
            asked.extend(requests.next(peer, &all(), 1));
        }
        assert!(requests.is_endgame());
        asked.sort();
        asked.dedup();
        assert_eq!(asked.len(), (PIECES * 4) as usize);
        assert_eq!(asked.last().unwrap().length, BLOCK - 5);
    }

    #[test]
    fn a_second_piece_is_not_begun_while_the_first_has_unasked_blocks() {
        let mut requests = requests();
        let first = requests.next(ANNA, &all(), 3)[0].piece;
        let then = requests.next(BERT, &all(), 2);
        assert_eq!(then[0].piece, first);
        assert_ne!(then[1].piece, first);
        let elsewhere = some((0..PIECES).filter(|piece| *piece != then[1].piece));
        assert!(
            requests
                .next(3, &elsewhere, 5)
                .iter()
                .all(|block| block.piece != first)
        );
    }

    #[test]
    fn the_rarest_piece_is_not_left_for_later_once_there_is_something_to_exchange() {
        let layout = requests().layout;
        let mut requests = Requests::new(layout, some(0..4), Rng::with_seed(1));
        for piece in 4..PIECES {
            (0..=PIECES - piece).for_each(|_| requests.gained(piece));
        }
        let asked = requests.next(ANNA, &all(), 8);
        assert!(asked[..4].iter().all(|block| block.piece == 9));
        assert!(asked[4..].iter().all(|block| block.piece == 8));
    }

    #[test]
    fn what_nobody_asked_for_is_not_taken() {
        let mut requests = requests();
        let block = requests.next(ANNA, &all(), 1)[0];
        assert!(matches!(send(&mut requests, BERT, block), Arrival::Unasked));
        let shorter = Block { length: 5, ..block };
        assert!(matches!(
            send(&mut requests, ANNA, shorter),
            Arrival::Unasked
        ));
        assert!(matches!(
            send(&mut requests, ANNA, block),
            Arrival::Block(_)
        ));
        assert!(matches!(send(&mut requests, ANNA, block), Arrival::Unasked));
    }

    #[test]
    fn a_piece_is_not_whole_before_its_last_block_and_not_out_of_order() {
        let mut requests = requests();
        let mut blocks = requests.next(ANNA, &some([3]), 100);
        assert_eq!(blocks.len(), 4);
        blocks.reverse();
        for block in &blocks[..3] {
            assert!(matches!(
                send(&mut requests, ANNA, *block),
                Arrival::Block(_)
            ));
        }
        let Arrival::Piece(_, data) = send(&mut requests, ANNA, blocks[3]) else {
            panic!("four of four");
        };
        assert_eq!(data.len(), 4);
        assert!(!requests.have().has(3));
        assert!(requests.next(ANNA, &some([3]), 100).is_empty());
        requests.verified(3);
        assert!(requests.have().has(3));
        assert!(requests.next(ANNA, &some([3]), 100).is_empty());
    }

    #[test]
    fn what_a_peer_that_left_was_asked_for_is_not_lost() {
        let mut requests = requests();
        let first = requests.next(ANNA, &some([3]), 4);
        assert!(matches!(
            send(&mut requests, ANNA, first[1]),
            Arrival::Block(_)
        ));
        assert_eq!(requests.owed_by(ANNA), 3);
        requests.release(ANNA);
        assert_eq!(requests.owed_by(ANNA), 0);
        assert!(matches!(
            send(&mut requests, ANNA, first[0]),
            Arrival::Unasked
        ));
        let again = requests.next(BERT, &some([3]), 4);
        assert_eq!(again, [first[0], first[2], first[3]]);
    }

    #[test]
    fn in_the_endgame_the_slow_one_is_not_waited_for_and_is_told() {
        let mut requests = requests();
        let slow = requests.next(ANNA, &all(), 40);
        assert_eq!(slow.len(), 40);
        let mut fast = requests.next(BERT, &all(), 100);
        assert_eq!(fast.len(), 40);
        assert!(requests.next(BERT, &all(), 100).is_empty());
        assert_ne!(fast, slow);
        fast.truncate(39);
        for block in fast {
            match send(&mut requests, BERT, block) {
                Arrival::Block(cancel) => assert_eq!(cancel, [ANNA]),
                Arrival::Piece(cancel, _) => {
                    assert_eq!(cancel, [ANNA]);
                    requests.verified(block.piece);
                }
                Arrival::Unasked => panic!("it was asked for"),
            }
            assert!(matches!(send(&mut requests, ANNA, block), Arrival::Unasked));
        }
        assert_eq!((requests.owed_by(ANNA), requests.owed_by(BERT)), (1, 1));
    }

    #[test]
    fn a_piece_that_came_wrong_from_several_is_not_asked_of_several_again() {
        let mut requests = requests();
        let wrong = [
            requests.next(ANNA, &some([3]), 2),
            requests.next(BERT, &some([3]), 2),
        ];
        for (peer, blocks) in [ANNA, BERT].into_iter().zip(&wrong) {
            blocks
                .iter()
                .for_each(|block| drop(send(&mut requests, peer, *block)));
        }
        requests.failed(3, false);
        assert_eq!(requests.next(BERT, &some([3]), 1).len(), 1);
        assert!(requests.next(ANNA, &some([3]), 4).is_empty());
        let rest = requests.next(BERT, &some([3]), 4);
        assert_eq!(rest.len(), 3);
        // Who has begun it and stops does not leave halves to the next.
        assert!(matches!(
            send(&mut requests, BERT, rest[0]),
            Arrival::Block(_)
        ));
        requests.release(BERT);
        assert_eq!(requests.next(ANNA, &some([3]), 5).len(), 4);
    }

    #[test]
    fn a_piece_whose_liar_is_known_is_not_lost() {
        let mut requests = requests();
        for block in requests.next(ANNA, &some([3]), 4) {
            send(&mut requests, ANNA, block);
        }
        requests.failed(3, true);
        assert_eq!(requests.next(BERT, &some([3]), 3).len(), 3);
        assert_eq!(requests.next(7, &some([3]), 3).len(), 1);
    }

    #[test]
    fn pieces_that_nobody_has_any_more_do_not_fill_the_memory() {
        let piece_length = u64::try_from(MEMORY_MAX / 4).unwrap();
        let layout = Layout::new(piece_length * 10, piece_length).unwrap();
        let mut requests = Requests::new(layout, Bitfield::new(10), Rng::with_seed(1));
        let few = some(0..4);
        few.iter().for_each(|piece| requests.gained(piece));
        requests.gained(9);
        let blocks = layout.blocks(0) as usize;
        assert_eq!(requests.next(ANNA, &few, 5 * blocks).len(), 4 * blocks);
        assert!(requests.next(BERT, &some([9]), 1).is_empty());
        requests.left(ANNA, &few);
        assert_eq!(requests.next(BERT, &some([9]), 1).len(), 1);
    }

    #[test]
    fn a_fast_peer_does_not_wait_for_requests_and_a_slow_one_does_not_hold_many() {
        assert_eq!(backlog(0.0, false), 2);
        assert_eq!(backlog(20_000.0, false), 6);
        assert_eq!(backlog(1e6, false), 50);
        assert_eq!(backlog(1e9, false), 250);
        assert_eq!(backlog(1e9, true), 1);
    }
}
