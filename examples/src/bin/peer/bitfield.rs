//! Which pieces somebody has: a bit for each, as the wire has it.

/// A set of pieces. The first is the highest bit of the first byte; the bits behind the last piece
/// are zero.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Bitfield {
    bytes: Vec<u8>,
    pieces: u32,
    /// How many bits are set.
    count: u32,
}

impl Bitfield {
    pub(crate) fn new(pieces: u32) -> Bitfield {
        Bitfield {
            bytes: vec![0; length(pieces)],
            pieces,
            count: 0,
        }
    }

    /// None if it has another length, or bits behind the last piece.
    pub(crate) fn from_bytes(bytes: &[u8], pieces: u32) -> Option<Bitfield> {
        let spare = bytes.len() * 8 - usize::min(pieces as usize, bytes.len() * 8);
        let is_clean = bytes
            .last()
            .is_none_or(|last| last.trailing_zeros() as usize >= spare);
        let is_sound = bytes.len() == length(pieces) && is_clean;
        is_sound.then(|| Bitfield {
            count: bytes.iter().map(|byte| byte.count_ones()).sum(),
            bytes: bytes.to_vec(),
            pieces,
        })
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn has(&self, piece: u32) -> bool {
        let byte = self.bytes.get(piece as usize / 8);
        byte.is_some_and(|byte| byte & mask(piece) != 0)
    }

    /// Returns whether it was not there before. A piece that does not exist is not added.
    pub(crate) fn add(&mut self, piece: u32) -> bool {
        if piece >= self.pieces || self.has(piece) {
            return false;
        }
        self.bytes[piece as usize / 8] |= mask(piece);
        self.count += 1;
        true
    }

    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    pub(crate) fn is_full(&self) -> bool {
        self.count == self.pieces
    }

    /// The pieces that are in it.
    pub(crate) fn iter(&self) -> impl Iterator<Item = u32> {
        (0..self.pieces).filter(|piece| self.has(*piece))
    }
}

/// How many bytes a bitfield of so many pieces has.
pub(crate) fn length(pieces: u32) -> usize {
    pieces.div_ceil(8) as usize
}

fn mask(piece: u32) -> u8 {
    0x80 >> (piece % 8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_piece_is_not_the_lowest_bit() {
        let mut pieces = Bitfield::new(10);
        assert!(pieces.add(0) && pieces.add(9) && !pieces.add(9) && !pieces.add(10));
        assert_eq!(pieces.as_bytes(), [0b1000_0000, 0b0100_0000]);
        assert_eq!(pieces.iter().collect::<Vec<_>>(), [0, 9]);
        assert_eq!(pieces.count(), 2);
        assert!(!pieces.has(10) && !pieces.has(u32::MAX));
    }

    #[test]
    fn a_bitfield_of_another_length_or_with_spare_bits_is_not_taken() {
        for (bytes, pieces) in [
            (&[0xff, 0xe0][..], 10),
            (&[0xff], 10),
            (&[0xff, 0xc0, 0], 10),
            (&[0xff, 0xc1], 10),
            (&[], 1),
            (&[0], 0),
        ] {
            assert_eq!(Bitfield::from_bytes(bytes, pieces), None, "{bytes:?}");
        }
        let full = Bitfield::from_bytes(&[0xff, 0xc0], 10).unwrap();
        assert!(full.is_full());
        assert!(Bitfield::from_bytes(&[0xff], 8).unwrap().is_full());
    }
}
