//! Bytes on their way out that the transport has not taken yet, as a pure structure.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::task::Waker;

/// What a stream owes its peer, and who waits for there to be less of it.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    bytes: VecDeque<u8>,
    waiting: Vec<Waker>,
}

impl Outgoing {
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Nothing is queued and nobody waits.
    pub(crate) fn is_idle(&self) -> bool {
        self.bytes.is_empty() && self.waiting.is_empty()
    }

    pub(crate) fn append(&mut self, data: &[u8]) {
        self.bytes.extend(data);
    }

    /// Appends what another queue holds.
    pub(crate) fn absorb(&mut self, mut other: Outgoing) {
        self.bytes.append(&mut other.bytes);
        self.waiting.append(&mut other.waiting);
    }

    /// The bytes in order, in at most two pieces.
    pub(crate) fn pieces(&self) -> [IoSlice<'_>; 2] {
        let (first, second) = self.bytes.as_slices();
        [IoSlice::new(first), IoSlice::new(second)]
    }

    /// The transport has taken `count` bytes.
    pub(crate) fn sent(&mut self, count: usize) {
        self.bytes.drain(..count);
    }

    pub(crate) fn wait(&mut self, waker: &Waker) {
        if !self.waiting.iter().any(|waiting| waiting.will_wake(waker)) {
            self.waiting.push(waker.clone());
        }
    }

    /// Who is to be told of progress; woken by the caller, when no borrow is alive.
    pub(crate) fn take_waiting(&mut self) -> Vec<Waker> {
        std::mem::take(&mut self.waiting)
    }

    /// Forgets everything unsent.
    pub(crate) fn clear(&mut self) {
        self.bytes = VecDeque::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_leave_in_the_order_they_came() {
        let mut outgoing = Outgoing::default();
        let mut left = Vec::new();
        for round in 0..100_u8 {
            outgoing.append(&[round; 7]);
            let sent: Vec<u8> = outgoing
                .pieces()
                .iter()
                .flat_map(|piece| piece.iter().copied())
                .take(5)
                .collect();
            outgoing.sent(sent.len());
            left.extend(sent);
        }
        assert!(left.is_sorted());
        assert_eq!(left.len() + outgoing.len(), 700);
    }
}
