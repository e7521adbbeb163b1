//! The latest of a sequence, read from any position: the memory that all readers share.
//!
//! Who follows a sequence holds a position in it instead of a queue of its own. A slow reader then
//! costs nothing, and one that has fallen too far behind can tell how much it has missed.

use std::collections::VecDeque;

/// The last `max` items of a sequence, numbered from nought.
pub(crate) struct Recent<T> {
    max: usize,
    /// Never more than `max`.
    kept: VecDeque<T>,
    /// How many were there before those, which is the position of the first.
    forgotten: u64,
}

impl<T> Recent<T> {
    pub(crate) fn new(max: usize) -> Recent<T> {
        Recent {
            max,
            kept: VecDeque::new(),
            forgotten: 0,
        }
    }

    /// Adds an item, and forgets the oldest if there are too many.
    pub(crate) fn push(&mut self, item: T) {
        if self.kept.len() == self.max {
            self.kept.pop_front();
            self.forgotten += 1;
        }
        self.kept.push_back(item);
    }

    /// The position behind the last item: how many there have ever been.
    pub(crate) fn end(&self) -> u64 {
        self.forgotten + self.kept.len() as u64
    }

    /// How many items after `position` are lost to somebody who stands there.
    pub(crate) fn missed(&self, position: u64) -> u64 {
        self.forgotten.saturating_sub(position)
    }

    /// What is kept after `position`, the oldest first.
    pub(crate) fn since(&self, position: u64) -> impl Iterator<Item = &T> {
        let known = position.saturating_sub(self.forgotten);
        self.kept
            .iter()
            .skip(usize::try_from(known).unwrap_or(usize::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The numbers below `end`, of which three are kept.
    fn numbers(end: u64) -> Recent<u64> {
        let mut recent = Recent::new(3);
        (0..end).for_each(|number| recent.push(number));
        recent
    }

    fn since(recent: &Recent<u64>, position: u64) -> Vec<u64> {
        recent.since(position).copied().collect()
    }

    #[test]
    fn no_more_is_kept_than_was_agreed() {
        let recent = numbers(100);
        assert_eq!(recent.kept.len(), 3);
        assert_eq!(recent.end(), 100);
        assert_eq!(since(&recent, 0), [97, 98, 99]);
    }

    #[test]
    fn a_reader_misses_nothing_that_is_kept_and_reads_nothing_twice() {
        let recent = numbers(5);
        assert_eq!(since(&recent, 2), [2, 3, 4]);
        assert_eq!(since(&recent, 4), [4]);
        assert!(since(&recent, 5).is_empty());
        assert!(since(&recent, u64::MAX).is_empty());
    }

    #[test]
    fn a_reader_that_fell_behind_is_not_told_that_it_has_everything() {
        let recent = numbers(5);
        assert_eq!(recent.missed(0), 2);
        assert_eq!(recent.missed(2), 0);
        assert_eq!(recent.missed(5), 0);
    }
}
