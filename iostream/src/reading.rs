//! Receiving: from the transport through the parser to the reader, losing nothing on the way.

use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use ioloop::Interest;

use crate::error::{CloseReason, Error};
use crate::receive::ReceiveBuffer;
use crate::shared::{COST_OF_CALL, COST_OF_MESSAGE, Shared, Waiter};
use crate::unread::Unread;

impl Shared {
    /// Gives the parser what has arrived until it finds a message.
    ///
    /// `examined` is how many unread bytes the parser has seen; `usize::MAX` if it was never
    /// asked. It is not asked twice about the same bytes.
    #[inline]
    pub(crate) fn poll_message<T, E: From<Error>>(
        self: &Rc<Self>,
        context: &mut Context<'_>,
        parser: &mut impl FnMut(&[u8]) -> Result<Option<(T, usize)>, E>,
        examined: &mut usize,
    ) -> Poll<Result<T, E>> {
        match self.unread.take() {
            Some(unread) if unread.len() != *examined => {
                if self.must_yield(COST_OF_MESSAGE, context) {
                    self.unread.set(Some(unread));
                    return Poll::Pending;
                }
                if let Some(result) = self.parse(unread, parser, examined) {
                    return Poll::Ready(result);
                }
            }
            unread => self.unread.set(unread),
        }
        if *examined == usize::MAX {
            // It is asked about nothing first: a message may be empty.
            if self.must_yield(COST_OF_MESSAGE, context) {
                return Poll::Pending;
            }
            match parser(&[]) {
                Ok(None) => *examined = 0,
                Ok(Some((message, _))) => return Poll::Ready(Ok(message)),
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        if self.can_only_wait() {
            return self.poll_wait(context).map_err(E::from);
        }
        self.poll_more(context, parser, examined)
    }

    /// Whether there is nothing to receive, nor anything else to say.
    #[inline]
    fn can_only_wait(self: &Rc<Self>) -> bool {
        !self.is_ready(Interest::READ) && self.read_end.get().is_none() && !self.is_expired()
    }

    /// Waits for there to be something to receive.
    fn poll_wait<T>(self: &Rc<Self>, context: &Context<'_>) -> Poll<Result<T, Error>> {
        match self.wait_for(Waiter::Reader, context.waker()) {
            Ok(()) => Poll::Pending,
            Err(error) => Poll::Ready(Err(self.receive_failed(error))),
        }
    }

    /// Receives until the parser finds a message.
    // Apart, or what it takes to receive keeps the messages that are here from being inlined.
    #[inline(never)]
    fn poll_more<T, E: From<Error>>(
        self: &Rc<Self>,
        context: &mut Context<'_>,
        parser: &mut impl FnMut(&[u8]) -> Result<Option<(T, usize)>, E>,
        examined: &mut usize,
    ) -> Poll<Result<T, E>> {
        loop {
            let (buffer, count) = match self.poll_arrival(context) {
                Poll::Ready(Ok(arrival)) => arrival,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error.into())),
                Poll::Pending => return Poll::Pending,
            };
            let result = match self.unread.take() {
                None => self.parse_received(&buffer[..count], parser, examined),
                Some(mut unread) => {
                    unread.append(&buffer[..count]);
                    self.parse(unread, parser, examined)
                }
            };
            if let Some(result) = result {
                return Poll::Ready(result);
            }
        }
    }

    /// Receives for a reader, into a buffer of its own; says how much.
    fn poll_arrival(
        self: &Rc<Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(ReceiveBuffer, usize), Error>> {
        if let Some(reason) = self.read_end.get() {
            return Poll::Ready(Err(self.closed(reason)));
        }
        if self.must_yield(COST_OF_CALL, context) {
            return Poll::Pending;
        }
        let mut buffer = ReceiveBuffer::take();
        let received = match self.try_receive(&mut buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                ready!(self.poll_receive_or_end(Waiter::Reader, context, &mut buffer))
            }
            result => self.received(result),
        };
        Poll::Ready(received.map(|count| (buffer, count)))
    }

    /// Receives for a reader: the end of the stream and broken connections become errors, and the
    /// deadline is looked at when there is nothing to receive. The count is never zero.
    pub(crate) fn poll_receive_or_end(
        self: &Rc<Self>,
        waiter: Waiter,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<Result<usize, Error>> {
        let mut result = self.poll_receive(waiter, context, buffer);
        if result.is_pending() && waiter == Waiter::Reader && self.is_expired() {
            // The event may still wait in the kernel, behind those of this turn.
            self.assume_ready(Interest::READ);
            result = self.poll_receive(waiter, context, buffer);
            if result.is_pending() {
                return Poll::Ready(Err(Error::TimedOut));
            }
        }
        result.map(|result| self.received(result))
    }

    #[inline]
    fn received(&self, result: io::Result<usize>) -> Result<usize, Error> {
        match result {
            Ok(0) => {
                self.end_reading(CloseReason::EndOfStream);
                Err(self.closed(CloseReason::EndOfStream))
            }
            Ok(count) => Ok(count),
            Err(error) => Err(self.receive_failed(error)),
        }
    }

    /// Waits for the end of the stream. What arrives meanwhile is kept for the reader, up to a
    /// bound; above it, only a reader who takes bytes out lets this go on. Without a reader it is
    /// thrown away.
    pub(crate) fn poll_peer_closed(
        self: &Rc<Self>,
        context: &mut Context<'_>,
    ) -> Poll<CloseReason> {
        loop {
            if let Some(reason) = self.read_end.get() {
                return Poll::Ready(reason);
            }
            if self.unread_len() >= WATCHED_INPUT {
                self.receivers(Waiter::Watcher, context);
                return Poll::Pending;
            }
            if self.must_yield(COST_OF_CALL, context) {
                return Poll::Pending;
            }
            let mut buffer = ReceiveBuffer::take();
            match self.poll_receive_or_end(Waiter::Watcher, context, &mut buffer) {
                Poll::Ready(Ok(count)) if self.has_reader.get() => {
                    self.keep(&buffer[..count]);
                    self.wake_receivers();
                }
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(_)) => {
                    return Poll::Ready(self.read_end.get().unwrap_or(CloseReason::Reset));
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Puts bytes behind those that nobody has read.
    pub(crate) fn keep(&self, bytes: &[u8]) {
        let mut unread = self.unread.take().unwrap_or_default();
        unread.append(bytes);
        self.unread.set(Some(unread));
    }

    /// Puts bytes back before those that nobody has read.
    pub(crate) fn put_before(&self, mut bytes: Box<Unread>) {
        if let Some(newer) = self.unread.take() {
            bytes.append(newer.as_slice());
        }
        self.unread.set(Some(bytes));
    }

    fn put_back(&self, bytes: &[u8]) {
        self.put_before(Box::new(Unread::from_slice(bytes)));
    }

    pub(crate) fn closed(&self, reason: CloseReason) -> Error {
        Error::Closed {
            reason,
            unread: self.unread_len(),
        }
    }

    pub(crate) fn end_reading(&self, reason: CloseReason) {
        if self.read_end.get().is_none() {
            self.read_end.set(Some(reason));
        }
        self.wake_receivers();
    }

    fn receive_failed(&self, error: io::Error) -> Error {
        let error = Error::from_system(error, self.unread_len());
        match error {
            Error::Closed { reason, .. } => {
                self.end_reading(reason);
                self.end_writing(reason);
            }
            // The system tells an error once. What it says when it is asked again, that the
            // stream is at its end, would make half a message look whole.
            _ => self.end_reading(CloseReason::Reset),
        }
        error
    }

    /// Asks the parser about bytes that are in the stream's own buffer.
    // Handing each small message through a call and its return costs as much as parsing it.
    #[inline(always)]
    fn parse<T, E: From<Error>>(
        &self,
        mut unread: Box<Unread>,
        parser: &mut impl FnMut(&[u8]) -> Result<Option<(T, usize)>, E>,
        examined: &mut usize,
    ) -> Option<Result<T, E>> {
        match parser(unread.as_slice()) {
            Ok(Some((message, used))) => {
                unread.consume(used);
                self.unread
                    .set(Some(unread).filter(|unread| !unread.is_empty()));
                self.wake_watchers();
                Some(Ok(message))
            }
            Ok(None) => {
                *examined = unread.len();
                self.unread.set(Some(unread));
                self.check_unread(*examined)
                    .err()
                    .map(|error| Err(error.into()))
            }
            Err(error) => {
                self.unread.set(Some(unread));
                Some(Err(error))
            }
        }
    }

    /// Asks the parser about bytes in the shared buffer, and keeps what it leaves over.
    #[inline]
    fn parse_received<T, E: From<Error>>(
        &self,
        bytes: &[u8],
        parser: &mut impl FnMut(&[u8]) -> Result<Option<(T, usize)>, E>,
        examined: &mut usize,
    ) -> Option<Result<T, E>> {
        match parser(bytes) {
            Ok(Some((message, used))) => {
                if used < bytes.len() {
                    self.put_back(&bytes[used..]);
                }
                Some(Ok(message))
            }
            Ok(None) => {
                *examined = bytes.len();
                self.put_back(bytes);
                self.check_unread(*examined)
                    .err()
                    .map(|error| Err(error.into()))
            }
            Err(error) => {
                self.put_back(bytes);
                Some(Err(error))
            }
        }
    }

    /// An error if a parser that has found nothing in so many bytes must not have more.
    fn check_unread(&self, length: usize) -> Result<(), Error> {
        let limit = self.limits().read_buffer;
        if length > limit {
            return Err(Error::BufferFull { limit });
        }
        Ok(())
    }
}

/// What `peer_closed` takes in for a reader that does not read: enough for any request that
/// follows too early, little enough to hold for every connection.
const WATCHED_INPUT: usize = 64 * 1024;
