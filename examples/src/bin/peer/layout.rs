//! Where pieces and blocks lie in a torrent's bytes.

/// How a torrent's bytes are cut: into pieces, which have a hash each, and those into blocks, which
/// are what peers ask one another for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    length: u64,
    piece_length: u32,
}

/// A part of a piece, as requests name it.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Block {
    pub(crate) piece: u32,
    pub(crate) begin: u32,
    pub(crate) length: u32,
}

impl Layout {
    /// None if no peer could work with it: pieces of nothing, too large, or too many.
    pub(crate) fn new(length: u64, piece_length: u64) -> Option<Layout> {
        let piece_length = u32::try_from(piece_length).ok()?;
        let is_possible = (1..=PIECE_LENGTH_MAX).contains(&piece_length)
            && length > 0
            && length.div_ceil(piece_length.into()) <= PIECES_MAX;
        is_possible.then_some(Layout {
            length,
            piece_length,
        })
    }

    /// How many bytes there are in all.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// How many pieces there are.
    pub(crate) fn pieces(&self) -> u32 {
        // `new` has seen to it that the count fits.
        self.length.div_ceil(self.piece_length.into()) as u32
    }

    /// Where a piece begins.
    pub(crate) fn offset(&self, piece: u32) -> u64 {
        u64::from(piece) * u64::from(self.piece_length)
    }

    /// How many bytes a piece has: the last may have fewer than the others, and one that does not
    /// exist has none.
    pub(crate) fn piece_length(&self, piece: u32) -> u32 {
        let rest = self.length.saturating_sub(self.offset(piece));
        rest.min(self.piece_length.into()) as u32
    }

    /// How many blocks we ask for to get a piece.
    pub(crate) fn blocks(&self, piece: u32) -> u32 {
        self.piece_length(piece).div_ceil(BLOCK)
    }

    /// The block with this number in its piece.
    pub(crate) fn block(&self, piece: u32, number: u32) -> Block {
        let begin = number * BLOCK;
        Block {
            piece,
            begin,
            length: (self.piece_length(piece) - begin).min(BLOCK),
        }
    }

    /// The number in its piece of a block that we would ask for; none for any other.
    pub(crate) fn number(&self, block: Block) -> Option<u32> {
        let number = block.begin / BLOCK;
        let exists = block.piece < self.pieces() && number < self.blocks(block.piece);
        (exists && self.block(block.piece, number) == block).then_some(number)
    }

    /// Whether there are such bytes.
    pub(crate) fn contains(&self, block: Block) -> bool {
        let end = u64::from(block.begin) + u64::from(block.length);
        block.length > 0 && end <= self.piece_length(block.piece).into()
    }
}

/// What every client asks for; larger requests are refused by many.
pub(crate) const BLOCK: u32 = 16 * 1024;

/// Pieces are gathered in memory until they are whole; makers of torrents stop at 16 MiB.
pub(crate) const PIECE_LENGTH_MAX: u32 = 64 * 1024 * 1024;

/// 1 TiB in pieces of 4 MiB. Each costs some bytes for us and a bit for every peer, and to choose
/// one all may have to be looked at.
const PIECES_MAX: u64 = 1 << 18;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_piece_and_block_are_not_longer_than_what_is_left() {
        let layout = Layout::new(100_001, 40_000).unwrap();
        assert_eq!(layout.pieces(), 3);
        assert_eq!(
            [0, 1, 2, 3].map(|piece| layout.piece_length(piece)),
            [40_000, 40_000, 20_001, 0]
        );
        assert_eq!(layout.blocks(2), 2);
        assert_eq!(layout.block(2, 1).length, 20_001 - BLOCK);
        assert_eq!(layout.offset(2), 80_000);
    }

    #[test]
    fn what_no_peer_could_serve_is_not_a_layout() {
        assert!(Layout::new(0, 16_384).is_none());
        assert!(Layout::new(1, 0).is_none());
        assert!(Layout::new(1, 1 << 40).is_none());
        assert!(Layout::new(u64::MAX, 16_384).is_none());
        assert!(Layout::new(1, 16_384).is_some());
    }

    #[test]
    fn blocks_beyond_the_end_or_of_nothing_are_not_contained() {
        let layout = Layout::new(50_000, 40_000).unwrap();
        let contains = |piece, begin, length| {
            layout.contains(Block {
                piece,
                begin,
                length,
            })
        };
        assert!(contains(0, 0, 40_000) && contains(1, 9_999, 1));
        assert!(!contains(0, 0, 40_001) && !contains(1, 10_000, 1) && !contains(2, 0, 1));
        assert!(!contains(0, 5, 0) && !contains(0, u32::MAX, u32::MAX));
    }

    #[test]
    fn only_what_we_would_ask_for_has_a_number() {
        let layout = Layout::new(50_000, 40_000).unwrap();
        for piece in 0..2 {
            for number in 0..layout.blocks(piece) {
                assert_eq!(layout.number(layout.block(piece, number)), Some(number));
            }
        }
        let number = |piece, begin, length| {
            layout.number(Block {
                piece,
                begin,
                length,
            })
        };
        assert_eq!(number(0, 1, BLOCK), None);
        assert_eq!(number(0, 0, BLOCK - 1), None);
        assert_eq!(number(0, 3 * BLOCK, BLOCK), None);
        assert_eq!(number(2, 0, BLOCK), None);
        assert_eq!(number(u32::MAX, 0, 0), None);
    }
}
