//! One receive buffer per thread, lent to whichever stream is reading right now.

use std::cell::Cell;
use std::mem;
use std::ops::{Deref, DerefMut};

thread_local! {
    static BUFFER: Cell<Option<Box<[u8]>>> = const { Cell::new(None) };
}

/// The buffer, until it is dropped. Who finds it lent out, which takes a parser that reads another
/// stream, gets one of their own.
pub(crate) struct ReceiveBuffer(Box<[u8]>);

impl ReceiveBuffer {
    pub(crate) fn take() -> ReceiveBuffer {
        let buffer = BUFFER.try_with(Cell::take).ok().flatten();
        ReceiveBuffer(buffer.unwrap_or_else(|| vec![0; RECEIVE_BUFFER].into_boxed_slice()))
    }
}

impl Deref for ReceiveBuffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl DerefMut for ReceiveBuffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

impl Drop for ReceiveBuffer {
    fn drop(&mut self) {
        let buffer = mem::take(&mut self.0);
        // While the thread ends there is nowhere to put it back.
        let _ = BUFFER.try_with(|slot| slot.set(Some(buffer)));
    }
}

/// What one system call can bring: Tornado's chunk, and what keeps a fast sender from holding the
/// loop for more than some tens of microseconds per call.
const RECEIVE_BUFFER: usize = 64 * 1024;
