//! Which piece to begin: the rarest that a peer has.

use std::ops::Range;

use fastrand::Rng;

use crate::bitfield::Bitfield;

/// The pieces that nobody has been asked for yet, and how many peers have each piece.
///
/// A piece becoming one more or one less common moves one place or two, whatever their number.
#[derive(Debug)]
pub(crate) struct Picker {
    /// Those that can be picked, rarest first; among equally rare ones in random order.
    order: Vec<u32>,
    /// Where a piece stands in `order`; `OUT` if it does not.
    places: Vec<usize>,
    /// How many peers have a piece.
    holders: Vec<u32>,
    /// Where in `order` those begin that so many peers have. One longer than the largest count.
    starts: Vec<usize>,
}

impl Picker {
    /// All of `pieces` pieces but those of `have`.
    pub(crate) fn new(pieces: u32, have: &Bitfield, rng: &mut Rng) -> Picker {
        let mut order: Vec<u32> = (0..pieces).filter(|piece| !have.has(*piece)).collect();
        rng.shuffle(&mut order);
        let mut places = vec![OUT; pieces as usize];
        for (place, piece) in order.iter().enumerate() {
            places[*piece as usize] = place;
        }
        Picker {
            starts: vec![0, order.len()],
            order,
            places,
            holders: vec![0; pieces as usize],
        }
    }

    /// The rarest piece that is in `theirs`; taken out, as one that has been begun.
    pub(crate) fn pick(&mut self, theirs: &Bitfield) -> Option<u32> {
        let piece = self
            .order
            .iter()
            .copied()
            .find(|piece| theirs.has(*piece))?;
        self.take_out(piece);
        Some(piece)
    }

    /// Any piece that is in `theirs`; taken out. For the first few pieces: the rarest ones are
    /// slow to come by, and who has nothing has nothing to exchange.
    pub(crate) fn pick_any(&mut self, theirs: &Bitfield, rng: &mut Rng) -> Option<u32> {
        if self.order.is_empty() {
            return None;
        }
        let (before, after) = self.order.split_at(rng.usize(..self.order.len()));
        let mut around = after.iter().chain(before).copied();
        let piece = around.find(|piece| theirs.has(*piece))?;
        self.take_out(piece);
        Some(piece)
    }

    /// A piece can be picked again.
    pub(crate) fn put_back(&mut self, piece: u32, rng: &mut Rng) {
        if self.places[piece as usize] != OUT {
            return;
        }
        // From the end of the most common to the place that is its own.
        self.order.push(piece);
        self.places[piece as usize] = self.order.len() - 1;
        let classes = self.starts.len() - 1;
        self.starts[classes] = self.order.len();
        for class in (self.holders[piece as usize] as usize + 1..classes).rev() {
            self.swap(self.places[piece as usize], self.starts[class]);
            self.starts[class] += 1;
        }
        self.shuffle(piece, rng);
    }

    /// One more peer has it.
    pub(crate) fn gained(&mut self, piece: u32, rng: &mut Rng) {
        let holders = self.holders[piece as usize] as usize;
        self.holders[piece as usize] += 1;
        if holders + 2 == self.starts.len() {
            self.starts.push(self.order.len());
        }
        if self.places[piece as usize] != OUT {
            self.starts[holders + 1] -= 1;
            self.swap(self.places[piece as usize], self.starts[holders + 1]);
            self.shuffle(piece, rng);
        }
    }

    /// One peer less has it.
    pub(crate) fn lost(&mut self, piece: u32, rng: &mut Rng) {
        let holders = self.holders[piece as usize] as usize;
        self.holders[piece as usize] -= 1;
        if self.places[piece as usize] != OUT {
            self.swap(self.places[piece as usize], self.starts[holders]);
            self.starts[holders] += 1;
            self.shuffle(piece, rng);
        }
    }

    /// How many peers have it.
    pub(crate) fn holders(&self, piece: u32) -> u32 {
        self.holders[piece as usize]
    }

    /// No piece is left to begin.
    pub(crate) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    fn take_out(&mut self, piece: u32) {
        let mut class = self.holders[piece as usize] as usize + 1;
        // To the end of its class, whose end moves over it, and so on to the last.
        while class < self.starts.len() {
            self.starts[class] -= 1;
            self.swap(self.places[piece as usize], self.starts[class]);
            class += 1;
        }
        self.order.pop();
        self.places[piece as usize] = OUT;
    }

    /// Changes places with any of those that are as rare.
    fn shuffle(&mut self, piece: u32, rng: &mut Rng) {
        let class = self.class(self.holders[piece as usize] as usize);
        self.swap(self.places[piece as usize], rng.usize(class));
    }

    fn class(&self, holders: usize) -> Range<usize> {
        self.starts[holders]..self.starts[holders + 1]
    }

    fn swap(&mut self, one: usize, other: usize) {
        self.order.swap(one, other);
        for place in [one, other] {
            self.places[self.order[place] as usize] = place;
        }
    }
}

/// The place of a piece that cannot be picked.
const OUT: usize = usize::MAX;

#[cfg(test)]
mod tests {
    use super::*;

    const PIECES: u32 = 50;

    fn full() -> Bitfield {
        only(0..PIECES)
    }

    fn only(pieces: impl IntoIterator<Item = u32>) -> Bitfield {
        let mut some = Bitfield::new(PIECES);
        for piece in pieces {
            some.add(piece);
        }
        some
    }

    fn picker(rng: &mut Rng) -> Picker {
        Picker::new(PIECES, &Bitfield::new(PIECES), rng)
    }

    /// What must hold between the fields.
    fn check(picker: &Picker) {
        assert_eq!(picker.starts[0], 0);
        assert_eq!(picker.starts.last(), Some(&picker.order.len()));
        assert!(picker.starts.is_sorted());
        for (place, piece) in picker.order.iter().enumerate() {
            assert_eq!(picker.places[*piece as usize], place);
            let holders = picker.holders[*piece as usize] as usize;
            assert!(picker.class(holders).contains(&place));
        }
        let out = picker.places.iter().filter(|place| **place == OUT).count();
        assert_eq!(out + picker.order.len(), PIECES as usize);
    }

    #[test]
    fn a_common_piece_is_not_picked_before_a_rare_one() {
        let mut rng = Rng::with_seed(1);
        let mut picker = picker(&mut rng);
        for piece in 0..PIECES {
            for _ in 0..=piece % 5 {
                picker.gained(piece, &mut rng);
                check(&picker);
            }
        }
        let theirs = full();
        let picked: Vec<u32> = std::iter::from_fn(|| picker.pick(&theirs)).collect();
        assert_eq!(picked.len(), PIECES as usize);
        assert!(picked.is_sorted_by_key(|piece| piece % 5));
        assert!(picker.is_empty());
    }

    #[test]
    fn what_a_peer_does_not_have_is_not_picked() {
        let mut rng = Rng::with_seed(2);
        let mut picker = picker(&mut rng);
        let theirs = only([7, 9]);
        let mut picked = [picker.pick(&theirs), picker.pick_any(&theirs, &mut rng)];
        picked.sort();
        assert_eq!(picked, [Some(7), Some(9)]);
        assert_eq!(picker.pick(&theirs), None);
        assert_eq!(picker.pick_any(&theirs, &mut rng), None);
        picker.put_back(9, &mut rng);
        assert_eq!(picker.pick(&theirs), Some(9));
        check(&picker);
    }

    #[test]
    fn equally_rare_pieces_are_not_picked_in_one_order_by_everybody() {
        let first = |seed| {
            let mut rng = Rng::with_seed(seed);
            let mut picker = picker(&mut rng);
            for piece in 0..PIECES {
                picker.gained(piece, &mut rng);
            }
            picker.pick(&full()).unwrap()
        };
        let mut firsts: Vec<u32> = (0..40).map(first).collect();
        firsts.sort_unstable();
        firsts.dedup();
        assert!(firsts.len() > 15, "{firsts:?}");
    }

    #[test]
    fn no_order_of_events_breaks_the_order_of_pieces() {
        let mut rng = Rng::with_seed(3);
        let mut picker = Picker::new(PIECES, &only([0, 1, 2]), &mut rng);
        let mut counts = [0_u32; PIECES as usize];
        for _ in 0..20_000 {
            let piece = rng.u32(..PIECES);
            match rng.u8(..5) {
                0 | 1 => {
                    picker.gained(piece, &mut rng);
                    counts[piece as usize] += 1;
                }
                2 if counts[piece as usize] > 0 => {
                    picker.lost(piece, &mut rng);
                    counts[piece as usize] -= 1;
                }
                3 => {
                    picker.pick(&only([piece]));
                }
                _ => picker.put_back(piece, &mut rng),
            }
            assert_eq!(picker.holders(piece), counts[piece as usize]);
        }
        check(&picker);
    }
}
