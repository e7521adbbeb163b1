//! Who has sent wrong blocks.

use std::collections::BTreeMap;
use std::net::IpAddr;

/// The SHA-1 of a block.
pub(crate) type Digest = [u8; 20];

/// What came wrong and could not be blamed on one address, until the right bytes are known.
///
/// A piece that came from one address and is wrong needs no more: TCP has checked the way.
#[derive(Debug, Default)]
pub(crate) struct Blame {
    /// By piece: the last attempt's blocks. At most one entry for each piece.
    suspects: BTreeMap<u32, Vec<(IpAddr, Digest)>>,
}

impl Blame {
    /// A piece was wrong that these blocks made up: who has lied, if that is certain.
    pub(crate) fn failed(&mut self, piece: u32, blocks: Vec<(IpAddr, Digest)>) -> Option<IpAddr> {
        let (first, _) = *blocks.first()?;
        if blocks.iter().all(|(sender, _)| *sender == first) {
            return Some(first);
        }
        self.suspects.insert(piece, blocks);
        None
    }

    /// Whether the digests of this piece's blocks are of use once it is right.
    pub(crate) fn is_suspected(&self, piece: u32) -> bool {
        self.suspects.contains_key(&piece)
    }

    /// A piece is right, and these are its blocks: who sent others before.
    pub(crate) fn verified(&mut self, piece: u32, right: &[Digest]) -> Vec<IpAddr> {
        let suspects = self.suspects.remove(&piece).unwrap_or_default();
        let wrong = suspects
            .iter()
            .zip(right)
            .filter(|((_, sent), right)| sent != *right);
        let mut liars: Vec<IpAddr> = wrong.map(|((sender, _), _)| *sender).collect();
        liars.sort();
        liars.dedup();
        liars
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([127, 0, 0, last])
    }

    #[test]
    fn who_sent_all_of_a_wrong_piece_does_not_get_away() {
        let mut blame = Blame::default();
        let blocks = vec![(address(1), [0; 20]), (address(1), [1; 20])];
        assert_eq!(blame.failed(3, blocks), Some(address(1)));
        assert!(!blame.is_suspected(3));
    }

    #[test]
    fn who_sent_right_blocks_is_not_blamed_for_others() {
        let mut blame = Blame::default();
        let blocks = (0..4)
            .map(|number| (address(number), [number; 20]))
            .collect();
        assert_eq!(blame.failed(3, blocks), None);
        assert!(blame.is_suspected(3));
        let right = [[0; 20], [9; 20], [2; 20], [9; 20]];
        assert_eq!(blame.verified(3, &right), [address(1), address(3)]);
        assert!(!blame.is_suspected(3));
        assert!(blame.verified(3, &right).is_empty());
    }
}
