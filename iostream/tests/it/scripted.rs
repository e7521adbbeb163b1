//! A transport that does what a test tells it.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use futures_lite::{AsyncRead, AsyncWrite};

/// A transport made of closures. Without one it has nothing to read, takes nothing, and flushes at
/// once. It never gets closed.
#[derive(Default)]
pub(crate) struct Scripted {
    pub(crate) read: Option<Box<dyn Read>>,
    pub(crate) write: Option<Box<dyn Write>>,
    pub(crate) flush: Option<Box<dyn Flush>>,
    /// Held for as long as the transport lives.
    pub(crate) _alive: Rc<()>,
}

pub(crate) trait Read: FnMut(&mut [u8]) -> Poll<io::Result<usize>> {}

impl<F: FnMut(&mut [u8]) -> Poll<io::Result<usize>>> Read for F {}

pub(crate) trait Write: FnMut(&[u8]) -> Poll<io::Result<usize>> {}

impl<F: FnMut(&[u8]) -> Poll<io::Result<usize>>> Write for F {}

pub(crate) trait Flush: FnMut(&Context<'_>) -> Poll<io::Result<()>> {}

impl<F: FnMut(&Context<'_>) -> Poll<io::Result<()>>> Flush for F {}

impl AsyncRead for Scripted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.read
            .as_mut()
            .map_or(Poll::Pending, |read| read(buffer))
    }
}

impl AsyncWrite for Scripted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.write
            .as_mut()
            .map_or(Poll::Pending, |write| write(buffer))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.flush
            .as_mut()
            .map_or(Poll::Ready(Ok(())), |flush| flush(context))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}
