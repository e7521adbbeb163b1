//! The end of a stream: what was written leaves, in order, without its owner.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use ioloop::timeout;

use crate::error::{CloseReason, Error};
use crate::receive::ReceiveBuffer;
use crate::shared::{Shared, Waiter};
use crate::transport::Transport;

impl Shared {
    /// The reader is gone: input is taken only to be thrown away.
    pub(crate) fn reader_dropped(self: &Rc<Self>) {
        self.has_reader.set(false);
        if self.is_released() {
            self.released();
        }
    }

    /// A writer is gone. After the last one the peer is told that no more will come.
    pub(crate) fn writer_dropped(self: &Rc<Self>) {
        self.writers.set(self.writers.get() - 1);
        if self.is_released() {
            self.released();
        } else if self.writers.get() == 0 && !self.is_over() {
            self.start_driver();
        }
    }

    /// Closes at once and forgets what is unsent.
    pub(crate) fn abort(self: &Rc<Self>) {
        self.end_reading(CloseReason::Local);
        self.end_writing(CloseReason::Local);
        self.leave_loop();
        self.transport.abort();
        self.wake_sender();
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
        if self.io_loop().is_closed() {
            // Nobody is left who could wait: what the kernel takes now is all that it gets.
            self.flush_now();
            self.leave_loop();
            return;
        }
        let is_sent = self.queued_len() == 0 && !self.driving.get();
        if is_sent && self.is_over() {
            self.leave_loop();
        } else {
            self.start_driver();
        }
    }

    /// Sends; half-closes when no writer is left; discards input when no reader is left either.
    async fn drive(self: &Rc<Self>) {
        self.send_all().await;
        if self.writers.get() == 0 && !self.is_over() {
            poll_fn(|context| self.poll_half_close(context)).await;
        }
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
                Ok(Ok(false)) => {}
                Ok(Ok(true) | Err(_)) => return,
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
        if self.is_over() || matches!(self.transport, Transport::File(_)) {
            return;
        }
        let discard = poll_fn(|context| {
            let mut buffer = ReceiveBuffer::take();
            loop {
                if let Some(reason) = self.read_end.get() {
                    return Poll::Ready(self.closed(reason));
                }
                match self.poll_receive_or_end(Waiter::Watcher, context, &mut buffer) {
                    Poll::Ready(Ok(_)) if self.must_yield(1, context) => return Poll::Pending,
                    Poll::Ready(Ok(_)) => {}
                    Poll::Ready(Err(error)) => return Poll::Ready(error),
                    Poll::Pending => return Poll::Pending,
                }
            }
        });
        let end: Result<Error, _> = timeout(self.limits().linger, discard).await;
        if end.is_err() {
            tracing::debug!(stream = ?self, "closed without waiting longer for the peer to close");
        }
    }

    /// The peer has said its last word, or cannot be reached: closing destroys nothing.
    fn is_over(&self) -> bool {
        self.read_end.get().is_some() || self.write_end.get() == Some(CloseReason::Reset)
    }
}

/// How long a peer may take nothing of what it is owed after the handles are gone. The kernel
/// reports room only when a good part of its own buffer is free, so on a slow line this is not
/// the time between two packets: nginx's `send_timeout` is the same.
const STALL: Duration = Duration::from_secs(60);
