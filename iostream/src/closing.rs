//! The end of a stream: what was written leaves, in order, without its owner.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use ioloop::timeout;

use crate::error::CloseReason;
use crate::receive::ReceiveBuffer;
use crate::shared::{COST_OF_CALL, Shared, Waiter};
use crate::transport::Transport;

impl Shared {
    /// The reader is gone, and with it what it has not read.
    pub(crate) fn reader_dropped(self: &Rc<Self>) {
        self.has_reader.set(false);
        if self.is_whole.get() {
            self.writers.set(self.writers.get() - 1);
        }
        self.unread.set(None);
        if self.is_released() {
            self.released();
        }
    }

    /// A writer is gone. After the last one the peer is told that no more will come.
    pub(crate) fn writer_dropped(self: &Rc<Self>) {
        self.writers.set(self.writers.get() - 1);
        if self.is_released() {
            self.released();
        } else if self.writers.get() == 0 && self.write_end.get().is_none() {
            // Also if the peer has closed: it may be waiting for our end.
            self.flush_if_due();
            self.start_driver();
        }
    }

    /// Closes at once and forgets what is unsent.
    pub(crate) fn abort(self: &Rc<Self>) {
        self.end_reading(CloseReason::Local);
        self.end_writing(CloseReason::Local);
        self.leave_loop();
        self.transport.abort();
        if !self.is_released() || self.driving.get() {
            self.transport.cut();
        }
    }

    /// Starts the task that sends the queue and sees the stream to its end. One at a time.
    pub(crate) fn start_driver(self: &Rc<Self>) {
        if !self.driving.replace(true) {
            let shared = self.clone();
            self.io_loop()
                .spawn(async move { shared.drive().await })
                .detach();
        }
    }

    /// The last handle is gone.
    fn released(self: &Rc<Self>) {
        self.cancel_deadline();
        self.flush_if_due();
        if self.io_loop().is_closed() {
            // Nobody is left who could wait: what the kernel has taken is all that it gets.
            self.leave_loop();
            return;
        }
        let is_sent = self.queued_len() == 0 && !self.driving.get();
        let is_told = self.write_end.get().is_some() || self.transport.fd().is_some();
        if is_sent && is_told && (self.is_over() || self.limits().linger.is_zero()) {
            self.leave_loop();
        } else {
            self.start_driver();
            // If it waits already, it has input to throw away from now on.
            self.wake_sender();
        }
    }

    /// Sends; half-closes when no writer is left; discards input when no reader is left either.
    async fn drive(self: &Rc<Self>) {
        let _cut_short = CutShort(self);
        self.send_all().await;
        if self.is_released() {
            self.linger().await;
            self.leave_loop();
        }
        self.driving.set(false);
        self.wake_writers();
    }

    async fn send_all(self: &Rc<Self>) {
        loop {
            let some = poll_fn(|context| self.poll_send_some(context));
            match timeout(STALL, some).await {
                Ok(true) => return,
                Ok(false) => {}
                // While there are handles, their deadlines decide.
                Err(_) if !self.is_released() => {}
                Err(_) => {
                    tracing::debug!(stream = ?self, "gave up on a peer that does not read");
                    self.abort();
                    return;
                }
            }
        }
    }

    /// Reads until the peer closes too, so that bytes which it sends meanwhile do not make the
    /// kernel answer with a reset, which would destroy what the peer has not read yet.
    async fn linger(self: &Rc<Self>) {
        loop {
            let limit = self.limits().linger;
            let discard = poll_fn(|context| match self.limits().linger == limit {
                true => self.poll_discard(context).map(|()| true),
                false => Poll::Ready(false),
            });
            match timeout(limit, discard).await {
                Ok(true) => return,
                Ok(false) => {} // The limit was changed, and its time begins anew.
                Err(_) => {
                    tracing::debug!(stream = ?self, "did not wait longer for the peer to close");
                    return;
                }
            }
        }
    }

    /// Throws away what the peer sends, until it closes.
    pub(crate) fn poll_discard(self: &Rc<Self>, context: &mut Context<'_>) -> Poll<()> {
        if matches!(self.transport, Transport::File(_)) {
            return Poll::Ready(());
        }
        while !self.is_over() {
            if self.must_yield(COST_OF_CALL, context) {
                return Poll::Pending;
            }
            let mut buffer = ReceiveBuffer::take();
            match self.poll_receive_or_end(Waiter::Watcher, context, &mut buffer) {
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(_)) => break,
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(())
    }

    /// The peer has said its last word, or cannot be reached: closing destroys nothing.
    fn is_over(&self) -> bool {
        self.read_end.get().is_some() || self.write_end.get() == Some(CloseReason::Reset)
    }
}

/// Ends the stream if the driver does not come to its end, because its transport has panicked or
/// the loop was closed: nobody would send any more.
struct CutShort<'a>(&'a Shared);

impl Drop for CutShort<'_> {
    fn drop(&mut self) {
        if self.0.driving.replace(false) {
            self.0.end_writing(CloseReason::Reset);
        }
    }
}

/// How long a peer may take nothing of what it is owed after the handles are gone. The kernel
/// reports room only when a good part of its own buffer is free, so on a slow line this is not
/// the time between two packets: nginx's `send_timeout` is the same.
const STALL: Duration = Duration::from_secs(60);
