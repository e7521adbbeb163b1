//! Sending: at once what the transport takes, the rest by the loop.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::ops::{Deref, DerefMut};
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use ioloop::Interest;

use crate::error::{CloseReason, Error};
use crate::outgoing::Outgoing;
use crate::shared::{COST_OF_CALL, Shared};

impl Shared {
    /// Takes all of `data`, without waiting, or nothing.
    pub(crate) fn queue(self: &Rc<Self>, data: &[u8]) -> Result<(), Error> {
        self.check_writable()?;
        let limit = self.limits().write_buffer;
        let has_room = || data.len() <= limit.saturating_sub(self.queued_len());
        if !has_room() && self.flush_is_due.get() {
            // Much was queued in this turn, and nothing of it was offered to the transport yet:
            // that the peer is slow must not be said before it was tried.
            self.flush_now();
            self.check_writable()?;
        }
        if !has_room() {
            return Err(Error::BufferFull { limit });
        }
        self.send_at_end_of_turn(data);
        Ok(())
    }

    /// Queues `data` over any limit.
    pub(crate) fn send_at_end_of_turn(self: &Rc<Self>, data: &[u8]) {
        self.lend_queue().append(data);
        if !self.driving.get() && !self.flush_is_due.replace(true) {
            self.io_loop().notify_at_end_of_turn(self.clone());
        }
    }

    pub(crate) fn write<'a>(
        self: &'a Rc<Self>,
        data: &'a [u8],
    ) -> impl Future<Output = Result<(), Error>> + 'a {
        poll_fn(move |context| self.poll_write(context, &[IoSlice::new(data)]))
    }

    pub(crate) fn write_vectored<'a>(
        self: &'a Rc<Self>,
        parts: &'a [IoSlice<'a>],
    ) -> impl Future<Output = Result<(), Error>> + 'a {
        poll_fn(move |context| self.poll_write(context, parts))
    }

    pub(crate) fn flush(self: &Rc<Self>) -> impl Future<Output = Result<(), Error>> {
        poll_fn(|context| self.poll_flush(context))
    }

    /// Waits for room, then takes all of `parts`.
    pub(crate) fn poll_write(
        self: &Rc<Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<Result<(), Error>> {
        if let Err(error) = self.check_writable() {
            return Poll::Ready(Err(error));
        }
        let queued = self.queued_len();
        if queued > 0 && queued >= self.limits().write_buffer {
            return self.poll_progress(context);
        }
        if self.must_yield(COST_OF_CALL, context) {
            return Poll::Pending;
        }
        Poll::Ready(self.send_or_queue(parts))
    }

    /// Waits until the transport has taken everything.
    pub(crate) fn poll_flush(
        self: &Rc<Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Error>> {
        self.flush_if_due();
        if self.write_end.get().is_some() || self.queued_len() == 0 && !self.driving.get() {
            return Poll::Ready(self.check_finished());
        }
        self.poll_progress(context)
    }

    /// Sends everything, then tells the peer that no more will come. From the first call on
    /// nobody can write any more.
    pub(crate) fn poll_finish(
        self: &Rc<Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Error>> {
        self.flush_if_due();
        if self.write_end.get().is_none() {
            self.is_finishing.set(true);
            if self.queued_len() > 0 || self.driving.get() || self.transport.fd().is_none() {
                self.start_driver();
                return self.poll_progress(context);
            }
            // A descriptor is told without waiting.
            ready!(self.poll_send_end(context));
        }
        Poll::Ready(self.check_finished())
    }

    pub(crate) fn queued_len(&self) -> usize {
        let outgoing = self.outgoing.take();
        let length = outgoing.as_ref().map_or(0, |outgoing| outgoing.len());
        self.outgoing.set(outgoing);
        length
    }

    /// Sends what this turn has queued, in one piece: the loop is about to wait, or nobody is left
    /// who could queue more. A driver would come too late if this turn is the program's last.
    pub(crate) fn flush_if_due(self: &Rc<Self>) {
        if self.flush_is_due.get() {
            self.flush_now();
        }
    }

    /// Sends what it can of the queue; the driver sees to the rest.
    pub(crate) fn flush_now(self: &Rc<Self>) {
        self.flush_is_due.set(false);
        if self.driving.get() {
            return;
        }
        if self.queued_len() == 0 {
            return;
        }
        let mut queue = self.lend_queue();
        let result = self.try_send(&queue.pieces());
        if let Ok(count) = result {
            queue.sent(count);
        }
        let is_done = queue.is_empty();
        drop(queue);
        match result {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => {
                self.send_failed(error);
            }
            result => {
                if !is_done {
                    self.start_driver();
                }
                if result.is_ok() {
                    self.wake_writers();
                }
            }
        }
    }

    /// Sends once, for the driver. Ready with true when there is nothing left to do.
    pub(crate) fn poll_send_some(self: &Rc<Self>, context: &mut Context<'_>) -> Poll<bool> {
        if self.is_released() {
            // A peer that sends all it has before it reads would otherwise never come to reading.
            let _ = self.poll_discard(context);
        }
        if self.write_end.get().is_some() {
            return Poll::Ready(true);
        }
        if self.must_yield(COST_OF_CALL, context) {
            return Poll::Pending;
        }
        if self.queued_len() == 0 {
            return self.poll_send_end(context);
        }
        let mut queue = self.lend_queue();
        let result = ready!(self.poll_send(context, &queue.pieces()));
        if let Ok(count) = result {
            queue.sent(count);
        }
        drop(queue);
        Poll::Ready(match result {
            Ok(0) => self.send_failed(io::ErrorKind::WriteZero.into()),
            Ok(_) => {
                self.wake_writers();
                false
            }
            Err(error) => self.send_failed(error),
        })
    }

    /// The queue is empty: what the transport buffers itself goes next, then the end.
    fn poll_send_end(self: &Rc<Self>, context: &mut Context<'_>) -> Poll<bool> {
        if let Err(error) = ready!(self.poll_flush_transport(context)) {
            return Poll::Ready(self.send_failed(error));
        }
        if self.queued_len() > 0 {
            // The transport has written to this very stream.
            return Poll::Ready(false);
        }
        if self.writers.get() == 0 || self.is_finishing.get() {
            ready!(self.poll_half_close(context));
            self.end_writing(CloseReason::Local);
        }
        Poll::Ready(true)
    }

    /// No more bytes can be sent; those that wait are forgotten, and who waits is told.
    pub(crate) fn end_writing(&self, reason: CloseReason) {
        if self.write_end.get().is_none() {
            self.write_end.set(Some(reason));
        }
        if self.queued_len() > 0 {
            self.lend_queue().clear();
        }
        self.wake_writers();
        self.wake_sender();
    }

    /// Wakes whoever waits for room, or for everything to be sent.
    pub(crate) fn wake_writers(&self) {
        if let Some(mut outgoing) = self.outgoing.take() {
            let waiting = outgoing.take_waiting();
            self.outgoing
                .set(Some(outgoing).filter(|outgoing| !outgoing.is_idle()));
            waiting.into_iter().for_each(Waker::wake);
        }
    }

    pub(crate) fn check_writable(&self) -> Result<(), Error> {
        let finishing = self.is_finishing.get().then_some(CloseReason::Local);
        match self.write_end.get().or(finishing) {
            Some(reason) => Err(Error::Closed { reason, unread: 0 }),
            None => Ok(()),
        }
    }

    /// That writing has ended is well if everything was sent before.
    fn check_finished(&self) -> Result<(), Error> {
        match self.write_end.get() {
            Some(reason) if !self.half_closed.get() => Err(Error::Closed { reason, unread: 0 }),
            _ => Ok(()),
        }
    }

    fn send_or_queue(self: &Rc<Self>, parts: &[IoSlice<'_>]) -> Result<(), Error> {
        let mut sent = 0;
        if self.queued_len() == 0 && !self.driving.get() {
            match self.try_send(parts) {
                Ok(_) if self.is_ready(Interest::WRITE) => return Ok(()),
                Ok(count) => sent = count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(self.broken(error)),
            }
        }
        append_rest(&mut self.lend_queue(), parts, sent);
        // What was queued before goes first, and all of it in one system call.
        self.flush_now();
        Ok(())
    }

    /// Waits for anything to change in the queue, for the end, or for the deadline.
    pub(crate) fn poll_progress(self: &Rc<Self>, context: &Context<'_>) -> Poll<Result<(), Error>> {
        if self.is_expired() {
            return Poll::Ready(Err(Error::TimedOut));
        }
        self.lend_queue().wait(context.waker());
        Poll::Pending
    }

    /// Ends writing for the driver, which then has nothing left to do.
    fn send_failed(&self, error: io::Error) -> bool {
        self.broken(error);
        true
    }

    fn broken(&self, error: io::Error) -> Error {
        let error = Error::from_system(error, 0);
        let reason = match error {
            Error::Closed { reason, .. } => reason,
            // The transport is of no use any more, whatever it says.
            _ => CloseReason::Reset,
        };
        self.end_writing(reason);
        error
    }

    fn lend_queue(&self) -> LentQueue<'_> {
        LentQueue {
            shared: self,
            outgoing: Some(self.outgoing.take().unwrap_or_default()),
        }
    }
}

/// The queue while it is out of its cell, since a boxed transport may write to this very stream
/// while it is polled. It goes back also if that panics.
struct LentQueue<'a> {
    shared: &'a Shared,
    /// Some until it is dropped.
    outgoing: Option<Box<Outgoing>>,
}

impl Deref for LentQueue<'_> {
    type Target = Outgoing;

    fn deref(&self) -> &Outgoing {
        self.outgoing.as_ref().expect("it goes back only in drop")
    }
}

impl DerefMut for LentQueue<'_> {
    fn deref_mut(&mut self) -> &mut Outgoing {
        self.outgoing.as_mut().expect("it goes back only in drop")
    }
}

impl Drop for LentQueue<'_> {
    fn drop(&mut self) {
        if let Some(newer) = self.shared.outgoing.take() {
            self.absorb(*newer);
        }
        // A stream without anything queued owns no queue.
        let outgoing = self.outgoing.take().filter(|outgoing| !outgoing.is_idle());
        self.shared.outgoing.set(outgoing);
    }
}

/// Queues what is left of `parts` behind the first `sent` bytes.
fn append_rest(outgoing: &mut Outgoing, parts: &[IoSlice<'_>], mut sent: usize) {
    for part in parts {
        let skipped = sent.min(part.len());
        outgoing.append(&part[skipped..]);
        sent -= skipped;
    }
}
