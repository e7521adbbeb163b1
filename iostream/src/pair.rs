//! Two transports that are connected in memory, for tests without a kernel.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use futures_lite::{AsyncRead, AsyncWrite};

/// Two ends; what is written to one is read from the other.
pub(crate) fn memory_pair() -> (Memory, Memory) {
    let (one, other) = (Rc::new(RefCell::default()), Rc::new(RefCell::default()));
    let first = Memory {
        incoming: Rc::clone(&one),
        outgoing: Rc::clone(&other),
    };
    (
        first,
        Memory {
            incoming: other,
            outgoing: one,
        },
    )
}

/// One end of the pair.
pub(crate) struct Memory {
    incoming: Rc<RefCell<Pipe>>,
    outgoing: Rc<RefCell<Pipe>>,
}

/// One direction.
#[derive(Default)]
struct Pipe {
    bytes: VecDeque<u8>,
    /// The writing end has said that no more will come.
    is_finished: bool,
    /// The writing end went without saying so: the peer sees a reset.
    is_broken: bool,
    /// The reading end is gone.
    is_abandoned: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl AsyncRead for Memory {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut pipe = self.incoming.borrow_mut();
        if pipe.bytes.is_empty() {
            if pipe.is_broken {
                return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
            }
            if pipe.is_finished {
                return Poll::Ready(Ok(0));
            }
            let replaced = pipe.reader.replace(context.waker().clone());
            // Wakers are foreign code: the borrow ends first.
            drop(pipe);
            drop(replaced);
            return Poll::Pending;
        }
        let result = io::Read::read(&mut pipe.bytes, buffer);
        let writer = pipe.writer.take();
        drop(pipe);
        writer.into_iter().for_each(Waker::wake);
        Poll::Ready(result)
    }
}

impl AsyncWrite for Memory {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut pipe = self.outgoing.borrow_mut();
        if pipe.is_abandoned || pipe.is_finished {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let room = CAPACITY - pipe.bytes.len();
        if room == 0 {
            let replaced = pipe.writer.replace(context.waker().clone());
            drop(pipe);
            drop(replaced);
            return Poll::Pending;
        }
        let count = room.min(buffer.len());
        pipe.bytes.extend(&buffer[..count]);
        let reader = pipe.reader.take();
        drop(pipe);
        reader.into_iter().for_each(Waker::wake);
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        end(&self.outgoing, |pipe| pipe.is_finished = true);
        Poll::Ready(Ok(()))
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        end(&self.outgoing, |pipe| pipe.is_broken = !pipe.is_finished);
        let writer = {
            let mut pipe = self.incoming.borrow_mut();
            pipe.is_abandoned = true;
            pipe.bytes = VecDeque::new();
            pipe.writer.take()
        };
        writer.into_iter().for_each(Waker::wake);
    }
}

/// Changes `pipe`, from which no more bytes will come, and tells who reads it.
fn end(pipe: &RefCell<Pipe>, change: impl FnOnce(&mut Pipe)) {
    let reader = {
        let mut pipe = pipe.borrow_mut();
        change(&mut pipe);
        pipe.reader.take()
    };
    reader.into_iter().for_each(Waker::wake);
}

/// What one direction holds, as the buffer of a socket would.
const CAPACITY: usize = 64 * 1024;
