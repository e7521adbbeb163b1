//! Sending: at once what the transport takes, the rest by the loop.

use std::io::{self, IoSlice};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use crate::error::{CloseReason, Error};
use crate::outgoing::Outgoing;
use crate::shared::{COST_OF_CALL, Shared};

impl Shared {
    /// Takes all of `data`, without waiting, or nothing.
    pub(crate) fn queue(self: &Rc<Self>, data: &[u8]) -> Result<(), Error> {
        self.check_writable()?;
        let limit = self.limits().write_buffer;
        let mut outgoing = self.outgoing.take().unwrap_or_default();
        let has_room = outgoing.len() + data.len() <= limit;
        if has_room {
            outgoing.append(data);
        }
        self.put_back(outgoing);
        if !has_room {
            return Err(Error::BufferFull { limit });
        }
        if !self.driving.get() && !self.flush_is_due.replace(true) {
            self.io_loop().notify_at_end_of_turn(self.clone());
        }
        Ok(())
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
        if self.flush_is_due.get() {
            self.flush_now();
        }
        if let Err(error) = self.check_writable() {
            return Poll::Ready(Err(error));
        }
        if self.queued_len() == 0 && !self.driving.get() {
            return Poll::Ready(Ok(()));
        }
        self.poll_progress(context)
    }

    /// Sends everything, then tells the peer that no more will come.
    pub(crate) fn poll_finish(
        self: &Rc<Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Error>> {
        if self.write_end.get() == Some(CloseReason::Local) {
            return Poll::Ready(Ok(()));
        }
        match self.poll_flush(context) {
            Poll::Ready(Ok(())) => {}
            unfinished => return unfinished,
        }
        self.poll_half_close(context).map(|()| {
            self.end_writing(CloseReason::Local);
            Ok(())
        })
    }

    pub(crate) fn queued_len(&self) -> usize {
        let outgoing = self.outgoing.take();
        let length = outgoing.as_ref().map_or(0, |outgoing| outgoing.len());
        self.outgoing.set(outgoing);
        length
    }

    /// The loop is about to wait: what this turn has queued goes out in one piece.
    pub(crate) fn flush_at_end_of_turn(self: &Rc<Self>) {
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
        let Some(mut outgoing) = self.outgoing.take() else {
            return;
        };
        match self.try_send(&outgoing.pieces()) {
            Ok(count) => outgoing.sent(count),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => {
                self.put_back(outgoing);
                self.send_failed(error);
                return;
            }
        }
        let is_done = outgoing.is_empty();
        self.put_back(outgoing);
        if is_done {
            self.wake_writers();
        } else {
            self.start_driver();
        }
    }

    /// Sends once, for the driver. Ready with true when nothing is left.
    pub(crate) fn poll_send_some(
        self: &Rc<Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<bool, Error>> {
        let mut outgoing = self.outgoing.take().unwrap_or_default();
        if outgoing.is_empty() {
            self.put_back(outgoing);
            let flushed = self.poll_flush_transport(context);
            return flushed.map(|result| match result {
                Ok(()) => Ok(true),
                Err(error) => Err(self.send_failed(error)),
            });
        }
        let result = self.poll_send(context, &outgoing.pieces());
        if let Poll::Ready(Ok(count)) = &result {
            outgoing.sent(*count);
        }
        self.put_back(outgoing);
        result.map(|result| match result {
            Ok(_) => {
                self.wake_writers();
                Ok(false)
            }
            Err(error) => Err(self.send_failed(error)),
        })
    }

    /// No more bytes can be sent; those that wait are forgotten, and who waits is told.
    pub(crate) fn end_writing(&self, reason: CloseReason) {
        if self.write_end.get().is_none() {
            self.write_end.set(Some(reason));
        }
        if let Some(mut outgoing) = self.outgoing.take() {
            outgoing.clear();
            self.put_back(outgoing);
        }
        self.wake_writers();
    }

    /// Wakes whoever waits for room, or for everything to be sent.
    pub(crate) fn wake_writers(&self) {
        if let Some(mut outgoing) = self.outgoing.take() {
            let waiting = outgoing.take_waiting();
            self.put_back(outgoing);
            waiting.into_iter().for_each(Waker::wake);
        }
    }

    fn check_writable(&self) -> Result<(), Error> {
        self.write_end
            .get()
            .map_or(Ok(()), |reason| Err(Error::Closed { reason, unread: 0 }))
    }

    fn send_or_queue(self: &Rc<Self>, parts: &[IoSlice<'_>]) -> Result<(), Error> {
        let mut sent = 0;
        if self.queued_len() == 0 && !self.driving.get() {
            match self.try_send(parts) {
                Ok(count) => sent = count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(self.send_failed(error)),
            }
            if sent == parts.iter().map(|part| part.len()).sum() {
                return Ok(());
            }
        }
        let mut outgoing = self.outgoing.take().unwrap_or_default();
        append_rest(&mut outgoing, parts, sent);
        self.put_back(outgoing);
        // What was queued before goes first, and all of it in one system call.
        self.flush_now();
        Ok(())
    }

    fn poll_progress(&self, context: &Context<'_>) -> Poll<Result<(), Error>> {
        if self.is_expired() {
            return Poll::Ready(Err(Error::TimedOut));
        }
        let mut outgoing = self.outgoing.take().unwrap_or_default();
        outgoing.wait(context.waker());
        self.put_back(outgoing);
        Poll::Pending
    }

    fn send_failed(&self, error: io::Error) -> Error {
        let error = Error::from_system(error, 0);
        let reason = match error {
            Error::Closed { reason, .. } => reason,
            // The transport is of no use any more, whatever it says.
            _ => CloseReason::Reset,
        };
        self.end_writing(reason);
        error
    }

    /// A stream without anything queued owns no queue.
    fn put_back(&self, mut outgoing: Box<Outgoing>) {
        if let Some(newer) = self.outgoing.take() {
            // A boxed transport that was polled meanwhile has written to this very stream.
            outgoing.absorb(*newer);
        }
        self.outgoing
            .set(Some(outgoing).filter(|outgoing| !outgoing.is_idle()));
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
