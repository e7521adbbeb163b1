//! Bytes that have arrived and that nobody has read yet, as a pure structure.

/// A queue of bytes that is consumed from the front and always in one piece.
#[derive(Debug, Default)]
pub(crate) struct Unread {
    bytes: Vec<u8>,
    /// Bytes before this were consumed. Always less than `bytes.len()`, unless both are zero.
    start: usize,
}

impl Unread {
    pub(crate) fn from_slice(bytes: &[u8]) -> Unread {
        Unread {
            bytes: bytes.to_vec(),
            start: 0,
        }
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len() - self.start
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn append(&mut self, bytes: &[u8]) {
        // The consumed bytes are squeezed out only when that moves no more than it frees, so
        // that appending stays linear in what is appended.
        if self.start > self.len() {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    #[inline]
    pub(crate) fn consume(&mut self, count: usize) {
        self.start += count.min(self.len());
        if self.start == self.bytes.len() {
            self.bytes.clear();
            self.start = 0;
        } else if self.bytes.capacity() > KEPT_MAX && self.len() < self.bytes.capacity() / 8 {
            // The beginning of a message may stay for long, and must not hold all that came before.
            *self = Unread::from_slice(self.as_slice());
        }
    }

    /// Moves as many bytes as fit into `target`, and says how many.
    pub(crate) fn read_into(&mut self, target: &mut [u8]) -> usize {
        let count = self.len().min(target.len());
        target[..count].copy_from_slice(&self.as_slice()[..count]);
        self.consume(count);
        count
    }
}

/// What little is left may stay in a buffer of this size.
const KEPT_MAX: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_queue_whatever_the_pieces() {
        let mut unread = Unread::default();
        let (mut written, mut read) = (0_u8, 0_u8);
        for step in 0..10_000_usize {
            let piece: Vec<u8> = (0..step % 7).map(|_| bump(&mut written)).collect();
            unread.append(&piece);
            let mut target = vec![0; step % 5];
            let count = unread.read_into(&mut target);
            for byte in &target[..count] {
                assert_eq!(*byte, bump(&mut read));
            }
        }
        assert_eq!(unread.as_slice().first().copied(), Some(read));
    }

    fn bump(counter: &mut u8) -> u8 {
        let value = *counter;
        *counter = counter.wrapping_add(1);
        value
    }

    #[test]
    fn consumed_bytes_do_not_pile_up() {
        let mut unread = Unread::from_slice(b"x");
        for _ in 0..100_000 {
            unread.append(b"yz");
            unread.consume(2);
        }
        assert!(unread.bytes.capacity() < 64, "{}", unread.bytes.capacity());
    }

    #[test]
    fn little_that_is_left_does_not_hold_much() {
        let mut unread = Unread::from_slice(&[7; 64 * 1024]);
        for _ in 0..64 * 1024 - 1 {
            unread.consume(1);
        }
        assert_eq!(unread.as_slice(), [7]);
        assert!(unread.bytes.capacity() <= KEPT_MAX);
    }
}
