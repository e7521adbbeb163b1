//! What carries a stream's bytes: a descriptor of the system's, or any futures-io type.

use std::cell::Cell;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::{fmt, time::Duration};

use futures_lite::{AsyncRead, AsyncWrite};
use ioloop::Interest;
use rustix::io::Errno;
use rustix::net::{
    RecvFlags, SendFlags, Shutdown, connect_unspec, recv, send, sendmsg, shutdown, sockopt,
};

use crate::shared::{Shared, Waiter};

pub(crate) enum Transport {
    /// Non-blocking, as the next.
    Socket(OwnedFd),
    /// A pipe, a terminal, a tunnel: what is read and written by the calls for files, which cost
    /// a few percent more, and cannot be half-closed.
    File(OwnedFd),
    /// The box keeps the common case small.
    Boxed(Box<Cell<Slot>>),
}

/// Where a boxed transport is.
pub(crate) enum Slot {
    Here(Box<dyn Duplex>),
    /// Being polled: it may be code that uses this very stream.
    Lent,
    /// The stream was aborted.
    Gone,
}

/// Any futures-io type that goes both ways.
pub(crate) trait Duplex: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> Duplex for T {}

impl Transport {
    pub(crate) fn boxed(transport: impl Duplex + 'static) -> Transport {
        Transport::Boxed(Box::new(Cell::new(Slot::Here(Box::new(transport)))))
    }

    pub(crate) fn fd(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Transport::Socket(fd) | Transport::File(fd) => Some(fd.as_fd()),
            Transport::Boxed(_) => None,
        }
    }

    /// Throws away what is on its way, in both directions.
    ///
    /// The descriptor itself is closed with the last handle. The kernel forgets unsent bytes, and
    /// says so to the peer by a reset, because of the zero linger time.
    pub(crate) fn abort(&self) {
        match self {
            Transport::Socket(fd) => {
                // It fails for Unix sockets, which keep nothing back when they are closed.
                let _ = sockopt::set_socket_linger(fd, Some(Duration::ZERO));
            }
            Transport::File(_) => {}
            Transport::Boxed(slot) => drop(slot.replace(Slot::Gone)),
        }
    }

    /// Resets a connection whose descriptor other handles keep open. To shut it down would look
    /// like an orderly end to the peer, which would take half a message for the whole.
    pub(crate) fn cut(&self) {
        if let Transport::Socket(fd) = self {
            if connect_unspec(fd).is_err() {
                // Unix sockets know no reset, and other systems none before the close.
                let _ = shutdown(fd, Shutdown::Both);
            }
        }
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Transport::Socket(fd) | Transport::File(fd) => fd.fmt(formatter),
            Transport::Boxed(_) => formatter.write_str("boxed"),
        }
    }
}

/// The four things that a stream does with its transport.
impl Shared {
    /// Receives into `buffer`, which is not empty. A short count ends the attempt: the next one
    /// waits for an event, instead of asking the system only to hear that there is nothing.
    pub(crate) fn poll_receive(
        self: &Rc<Self>,
        waiter: Waiter,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if let Transport::Boxed(slot) = &self.transport {
            let waker = combined(self.receivers(waiter, context));
            let mut context = Context::from_waker(&waker);
            let read = with_boxed(slot, |transport| transport.poll_read(&mut context, buffer));
            return self.active_if_ready(read);
        }
        loop {
            match self.poll_ready(waiter, context) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
            match self.try_receive(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return Poll::Ready(result),
            }
        }
    }

    /// Receives at once or not at all: `WouldBlock` if nothing has come. Boxed transports can only
    /// be polled: for them it is always so.
    #[inline]
    pub(crate) fn try_receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.is_ready(Interest::READ) {
            let result = match &self.transport {
                Transport::Socket(fd) => {
                    recv(fd, &mut *buffer, RecvFlags::empty()).map(|(count, _)| count)
                }
                Transport::File(fd) => rustix::io::read(fd, &mut *buffer),
                Transport::Boxed(_) => break,
            };
            match result {
                Ok(count) => {
                    if count < buffer.len() {
                        self.not_ready(Interest::READ);
                    }
                    self.was_active();
                    return Ok(count);
                }
                Err(Errno::AGAIN) => self.not_ready(Interest::READ),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(io::ErrorKind::WouldBlock.into())
    }

    /// Sends some of `pieces`, at once or not at all: `WouldBlock` if the transport takes nothing
    /// now. If it takes less than everything it is not ready any more. Boxed transports can only be
    /// polled: for them it is always `WouldBlock`.
    pub(crate) fn try_send(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        let (fd, is_socket) = match &self.transport {
            Transport::Socket(fd) => (fd, true),
            Transport::File(fd) => (fd, false),
            Transport::Boxed(_) => return Err(io::ErrorKind::WouldBlock.into()),
        };
        // The second half of a queue is mostly empty, and one piece costs the system less.
        let pieces = match pieces {
            [rest @ .., last] if last.is_empty() && !rest.is_empty() => rest,
            pieces => pieces,
        };
        let total = match pieces {
            [piece] => piece.len(),
            pieces => pieces.iter().map(|piece| piece.len()).sum(),
        };
        while self.is_ready(Interest::WRITE) {
            let result = match (pieces, is_socket) {
                ([piece], true) => send(fd, piece, SEND_FLAGS),
                ([piece], false) => rustix::io::write(fd, piece),
                (_, true) => {
                    let pieces = &pieces[..pieces.len().min(PIECES_MAX)];
                    sendmsg(fd, pieces, &mut Default::default(), SEND_FLAGS)
                }
                (_, false) => rustix::io::writev(fd, pieces),
            };
            match result {
                Ok(count) => {
                    if count < total {
                        self.not_ready(Interest::WRITE);
                    }
                    self.was_active();
                    return Ok(count);
                }
                Err(Errno::AGAIN) => self.not_ready(Interest::WRITE),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(io::ErrorKind::WouldBlock.into())
    }

    /// Sends some of `pieces`; only the driver task waits here.
    pub(crate) fn poll_send(
        self: &Rc<Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let Transport::Boxed(slot) = &self.transport {
            self.remember(Waiter::Sender, context.waker());
            let written = with_boxed(slot, |transport| {
                transport.poll_write_vectored(context, pieces)
            });
            return self.active_if_ready(written);
        }
        loop {
            match self.poll_ready(Waiter::Sender, context) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
            match self.try_send(pieces) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return Poll::Ready(result),
            }
        }
    }

    fn active_if_ready<R>(&self, result: Poll<R>) -> Poll<R> {
        if result.is_ready() {
            self.was_active();
        }
        result
    }

    /// Makes a boxed transport pass on what it buffers itself.
    pub(crate) fn poll_flush_transport(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &self.transport {
            Transport::Socket(_) | Transport::File(_) => Poll::Ready(Ok(())),
            Transport::Boxed(slot) => {
                self.remember(Waiter::Sender, context.waker());
                with_boxed(slot, |transport| transport.poll_flush(context))
            }
        }
    }

    /// Tells the peer that no more bytes will come.
    pub(crate) fn poll_half_close(&self, context: &mut Context<'_>) -> Poll<()> {
        if self.half_closed.get() {
            return Poll::Ready(());
        }
        let half_closed = match &self.transport {
            Transport::Socket(fd) => {
                // It fails only for a connection that has ended already.
                let _ = shutdown(fd, Shutdown::Write);
                Poll::Ready(())
            }
            // Closing the descriptor says it.
            Transport::File(_) => Poll::Ready(()),
            Transport::Boxed(slot) => {
                self.remember(Waiter::Sender, context.waker());
                let closed = with_boxed(slot, |transport| transport.poll_close(context));
                closed.map(|_| ())
            }
        };
        half_closed.map(|()| self.half_closed.set(true))
    }
}

/// Polls a boxed transport while it is out of its slot.
fn with_boxed<R>(
    slot: &Cell<Slot>,
    poll: impl FnOnce(Pin<&mut dyn Duplex>) -> Poll<io::Result<R>>,
) -> Poll<io::Result<R>> {
    let gone = || Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
    match slot.replace(Slot::Lent) {
        Slot::Here(mut transport) => {
            let result = poll(Pin::new(&mut *transport));
            match slot.replace(Slot::Here(transport)) {
                Slot::Gone => {
                    drop(slot.replace(Slot::Gone));
                    gone()
                }
                _ => result,
            }
        }
        other => {
            slot.set(other);
            gone()
        }
    }
}

/// One waker for several waiters: a futures-io type remembers only the last that polled it.
fn combined(mut wakers: Vec<Waker>) -> Waker {
    struct All(Vec<Waker>);

    impl Wake for All {
        fn wake(self: Arc<Self>) {
            self.0.iter().for_each(Waker::wake_by_ref);
        }
    }

    match wakers.len() {
        1 => wakers.remove(0),
        _ => Waker::from(Arc::new(All(wakers))),
    }
}

/// Writing to a peer that is gone is an error here, not the signal that ends the process. Where
/// there is no such flag the signal must be ignored, as Rust's runtime does.
#[cfg(not(target_vendor = "apple"))]
const SEND_FLAGS: SendFlags = SendFlags::NOSIGNAL;
#[cfg(target_vendor = "apple")]
const SEND_FLAGS: SendFlags = SendFlags::empty();

/// How many pieces one call takes (`UIO_MAXIOV`, `IOV_MAX`); more would be an error.
const PIECES_MAX: usize = 1024;
