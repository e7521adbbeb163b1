//! Whose turn is next: whoever has had least, where being away earns nothing; a pure structure.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;

/// Those who wait for a turn.
///
/// Members that take whole units take turns in a circle. One that takes less has its next turn
/// sooner, so that shares are equal in bytes, however large the pieces are in which each sends.
pub(crate) struct Ring<T> {
    waiting: BTreeMap<Place, T>,
    /// How much those have had that were served last.
    served: u64,
    joined: u64,
}

/// Where somebody stands in the ring: behind those that have had less, and those that came before.
#[derive(Clone, Copy, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Place {
    had: u64,
    joined: u64,
}

/// What a member has had, in bytes. It is kept up with the others while the member is away.
#[derive(Clone)]
pub(crate) struct Share(Rc<Cell<u64>>);

impl<T> Ring<T> {
    pub(crate) fn new() -> Ring<T> {
        Ring {
            waiting: BTreeMap::new(),
            served: 0,
            joined: 0,
        }
    }

    /// A new member's share. It comes after those who wait now: coming again and again as somebody
    /// else is no way to the front.
    pub(crate) fn share(&self, unit: usize) -> Share {
        Share(Rc::new(Cell::new(self.served + unit as u64)))
    }

    /// Gets in line. A member that was away is given back at most one `unit` of its share.
    pub(crate) fn join(&mut self, share: &Share, unit: usize, who: T) -> Place {
        let had = share.0.get().max(self.served.saturating_sub(unit as u64));
        let place = Place {
            had,
            joined: self.joined,
        };
        self.joined += 1;
        self.waiting.insert(place, who);
        place
    }

    /// Joins where nobody waits, and is served at once.
    pub(crate) fn pass(&mut self, share: &Share, unit: usize) -> Place {
        let had = share.0.get().max(self.served.saturating_sub(unit as u64));
        self.served = self.served.max(had);
        let joined = self.joined;
        Place { had, joined }
    }

    pub(crate) fn leave(&mut self, place: Place) -> Option<T> {
        self.waiting.remove(&place)
    }

    pub(crate) fn take_first(&mut self) -> Option<(Place, T)> {
        let (place, who) = self.waiting.pop_first()?;
        self.served = self.served.max(place.had);
        Some((place, who))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }
}

impl Share {
    /// The member has had `bytes` more, in the turn that came at `place`.
    pub(crate) fn add(&self, place: Place, bytes: usize) {
        let had = place.had.max(self.0.get());
        self.0.set(had.saturating_add(bytes as u64));
    }

    /// Of what was counted as `bytes`, `used` were.
    pub(crate) fn correct(&self, bytes: usize, used: usize) {
        let had = self.0.get().saturating_add(used as u64);
        self.0.set(had.saturating_sub(bytes as u64));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Serves `turns` turns to members that want pieces of these sizes at a time.
    fn serve(pieces: &[usize], turns: usize) -> Vec<usize> {
        let mut ring = Ring::new();
        let shares: Vec<Share> = pieces.iter().map(|_| ring.share(UNIT)).collect();
        let mut had = vec![0; pieces.len()];
        for (member, share) in shares.iter().enumerate() {
            ring.join(share, UNIT, member);
        }
        for _ in 0..turns {
            let (place, member) = ring.take_first().unwrap();
            let piece = pieces[member].min(UNIT);
            shares[member].add(place, piece);
            had[member] += piece;
            ring.join(&shares[member], UNIT, member);
        }
        had
    }

    #[test]
    fn equals_do_not_overtake_each_other() {
        let mut ring = Ring::new();
        let shares: Vec<Share> = (0..5).map(|_| ring.share(UNIT)).collect();
        for (member, share) in shares.iter().enumerate() {
            ring.join(share, UNIT, member);
        }
        for turn in 0..50 {
            let (place, member) = ring.take_first().unwrap();
            assert_eq!(member, turn % 5);
            shares[member].add(place, UNIT);
            ring.join(&shares[member], UNIT, member);
        }
    }

    #[test]
    fn small_pieces_do_not_make_a_small_share() {
        let had = serve(&[1_000, 9_000, 1_000, 9_000, 100, 50_000], 100_000);
        let (least, most) = (had.iter().min().unwrap(), had.iter().max().unwrap());
        assert!(most - least <= UNIT, "{had:?}");
    }

    #[test]
    fn who_was_away_does_not_take_what_it_has_missed() {
        let mut ring = Ring::new();
        let (away, busy) = (ring.share(UNIT), ring.share(UNIT));
        for _ in 0..1000 {
            ring.join(&busy, UNIT, "busy");
            let (place, _) = ring.take_first().unwrap();
            busy.add(place, UNIT);
        }
        ring.join(&away, UNIT, "away");
        ring.join(&busy, UNIT, "busy");
        let mut in_turn = Vec::new();
        for _ in 0..10 {
            let (place, who) = ring.take_first().unwrap();
            let share = if who == "away" { &away } else { &busy };
            share.add(place, UNIT);
            ring.join(share, UNIT, who);
            in_turn.push(who);
        }
        let away = in_turn.iter().filter(|who| **who == "away").count();
        assert!((5..=6).contains(&away), "{in_turn:?}");
    }

    #[test]
    fn a_newcomer_does_not_go_before_those_who_wait() {
        let mut ring = Ring::new();
        let old = ring.share(UNIT);
        for _ in 0..10 {
            ring.join(&old, UNIT, "old");
            let (place, _) = ring.take_first().unwrap();
            old.add(place, UNIT);
        }
        ring.join(&old, UNIT, "old");
        for _ in 0..3 {
            let new = ring.share(UNIT);
            ring.join(&new, UNIT, "new");
        }
        assert_eq!(ring.take_first().unwrap().1, "old");
    }

    #[test]
    fn what_was_not_used_does_not_count_towards_the_share() {
        let mut ring = Ring::new();
        let (one, other) = (ring.share(UNIT), ring.share(UNIT));
        ring.join(&one, UNIT, "one");
        ring.join(&other, UNIT, "other");
        let (place, _) = ring.take_first().unwrap();
        one.add(place, UNIT);
        one.correct(UNIT, 0);
        ring.join(&one, UNIT, "one");
        assert_eq!(ring.take_first().unwrap().1, "other", "who came before");
        assert_eq!(ring.take_first().unwrap().1, "one");
    }

    const UNIT: usize = 10_000;
}
