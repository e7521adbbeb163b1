//! The reading side of a stream.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use std::{fmt, io};

use crate::error::{CloseReason, Error};
use crate::frame;
use crate::peer_closed::PeerClosed;
use crate::reads::{ReadUntil, ReadWith};
use crate::receive::ReceiveBuffer;
use crate::shared::{COST_OF_CALL, COST_OF_MESSAGE, Shared, Waiter};
use crate::stream::IoStream;
use crate::unread::Unread;
use crate::write_half::WriteHalf;

/// The half of a stream that reads; [`IoStream::split`](crate::IoStream::split) gives it.
///
/// Reads take `&mut self`, so there is one at a time, and lose nothing when they are dropped.
///
/// ```
/// use iostream::IoStream;
///
/// # ioloop::testing::run(async {
/// let (client, server) = IoStream::pair();
/// let (mut reader, writer) = server.split();
/// let echo = ioloop::IoLoop::current().spawn(async move {
///     let line = reader.read_until(b"\n", 100).await?;
///     writer.write(&line).await
/// });
/// client.write(b"hello\n").await.unwrap();
/// echo.await.unwrap();
/// # });
/// ```
pub struct ReadHalf {
    shared: Rc<Shared>,
    /// Unread bytes while `AsyncBufRead` shows them. Every other read gives them back first.
    shown: Option<Box<Unread>>,
}

impl ReadHalf {
    pub(crate) fn new(shared: Rc<Shared>) -> ReadHalf {
        ReadHalf {
            shared,
            shown: None,
        }
    }

    /// Reads one message: gives `parser` all bytes that have arrived, again each time there are
    /// more, until it answers with a message and the count of bytes that this took.
    ///
    /// It is the primitive that the other reads are made of. The parser is a pure function of the
    /// bytes; [`frame`] has stock ones. It should have a limit of its own; without one, the
    /// stream's [read buffer limit](crate::IoStream::set_max_buffer_size) ends it.
    ///
    /// # Errors
    /// What the parser says; nothing is consumed then. [`Error::Closed`] if the stream ends first:
    /// `unread` says how many bytes of a message had come. [`Error::TimedOut`] at the stream's
    /// deadline, [`Error::BufferFull`] at its limit.
    ///
    /// # Cancel safety
    /// Nothing is lost: bytes that arrived stay for the next read.
    ///
    /// ```
    /// use iostream::{Error, IoStream};
    ///
    /// /// A byte that says how many follow.
    /// fn short_string(bytes: &[u8]) -> Result<Option<(String, usize)>, Error> {
    ///     let Some((&length, rest)) = bytes.split_first() else { return Ok(None) };
    ///     let Some(text) = rest.get(..length.into()) else { return Ok(None) };
    ///     Ok(Some((String::from_utf8_lossy(text).into(), 1 + text.len())))
    /// }
    ///
    /// # ioloop::testing::run(async {
    /// let (client, mut server) = IoStream::pair();
    /// client.write(b"\x05hello\x05world").await.unwrap();
    /// assert_eq!(server.read_with(short_string).await.unwrap(), "hello");
    /// assert_eq!(server.read_with(short_string).await.unwrap(), "world");
    /// # });
    /// ```
    pub fn read_with<T, E: From<Error>, P>(
        &mut self,
        parser: P,
    ) -> impl Future<Output = Result<T, E>>
    where
        P: FnMut(&[u8]) -> Result<Option<(T, usize)>, E>,
    {
        self.give_back();
        ReadWith::new(&self.shared, parser)
    }

    /// Reads through the first `delimiter`, which is included.
    ///
    /// # Errors
    /// [`Error::DelimiterNotFound`] as soon as it is not within the first `max` bytes, delimiter
    /// included; nothing is consumed then. A `max` of more than 2^32 - 1 is taken for that.
    /// Otherwise as [`read_with`](ReadHalf::read_with).
    ///
    /// # Cancel safety
    /// Nothing is lost.
    ///
    /// ```
    /// # ioloop::testing::run(async {
    /// let (client, mut server) = iostream::IoStream::pair();
    /// client.write(b"GET /\r\nrest").await.unwrap();
    /// assert_eq!(server.read_until(b"\r\n", 4096).await.unwrap(), b"GET /\r\n");
    /// # });
    /// ```
    pub fn read_until<'a>(
        &'a mut self,
        delimiter: &'a [u8],
        max: usize,
    ) -> impl Future<Output = Result<Vec<u8>, Error>> + 'a {
        self.give_back();
        ReadUntil::new(&self.shared, delimiter, max)
    }

    /// Reads exactly `count` bytes.
    ///
    /// # Errors
    /// As [`read_with`](ReadHalf::read_with).
    ///
    /// # Cancel safety
    /// Nothing is lost.
    ///
    /// ```
    /// # ioloop::testing::run(async {
    /// let (client, mut server) = iostream::IoStream::pair();
    /// client.write(b"abcdef").await.unwrap();
    /// assert_eq!(server.read_bytes(4).await.unwrap(), b"abcd");
    /// # });
    /// ```
    pub fn read_bytes(&mut self, count: usize) -> impl Future<Output = Result<Vec<u8>, Error>> {
        self.read_with(frame::exactly(count))
    }

    /// Reads what there is, at least one byte and at most `max`; nothing if `max` is zero.
    ///
    /// # Errors
    /// As [`read_with`](ReadHalf::read_with).
    ///
    /// # Cancel safety
    /// Nothing is lost.
    ///
    /// ```
    /// # ioloop::testing::run(async {
    /// let (client, mut server) = iostream::IoStream::pair();
    /// client.write(b"abc").await.unwrap();
    /// assert_eq!(server.read_some(1024).await.unwrap(), b"abc");
    /// # });
    /// ```
    pub fn read_some(&mut self, max: usize) -> impl Future<Output = Result<Vec<u8>, Error>> {
        self.read_with(move |bytes: &[u8]| {
            let some = &bytes[..bytes.len().min(max)];
            Ok((!some.is_empty() || max == 0).then(|| (some.to_vec(), some.len())))
        })
    }

    /// Reads into `buffer`, and says how many bytes: at least one, unless `buffer` is empty. It
    /// does not wait until the buffer is full.
    ///
    /// # Errors
    /// As [`read_with`](ReadHalf::read_with).
    ///
    /// # Cancel safety
    /// Nothing is lost.
    ///
    /// ```
    /// # ioloop::testing::run(async {
    /// let (client, mut server) = iostream::IoStream::pair();
    /// client.write(b"abc").await.unwrap();
    /// let mut buffer = [0; 16];
    /// assert_eq!(server.read_into(&mut buffer).await.unwrap(), 3);
    /// # });
    /// ```
    pub async fn read_into(&mut self, buffer: &mut [u8]) -> Result<usize, Error> {
        poll_fn(|context| self.poll_read_into(context, buffer)).await
    }

    /// Reads everything until the peer closes, which is success here.
    ///
    /// # Errors
    /// [`Error::BufferFull`] if that is more than `max` bytes; they can still be read. A broken
    /// connection is [`Error::Closed`]. Otherwise as [`read_with`](ReadHalf::read_with).
    ///
    /// # Cancel safety
    /// Nothing is lost.
    ///
    /// ```
    /// # ioloop::testing::run(async {
    /// let (client, mut server) = iostream::IoStream::pair();
    /// client.write(b"all of it").await.unwrap();
    /// drop(client);
    /// assert_eq!(server.read_until_close(1024).await.unwrap(), b"all of it");
    /// # });
    /// ```
    pub async fn read_until_close(&mut self, max: usize) -> Result<Vec<u8>, Error> {
        let too_much = |bytes: &[u8]| match bytes.len() > max {
            true => Err(Error::BufferFull { limit: max }),
            false => Ok(None::<((), usize)>),
        };
        match self.read_with(too_much).await {
            Err(Error::Closed {
                reason: CloseReason::EndOfStream,
                unread,
            }) => self.read_bytes(unread).await,
            Err(error) => Err(error),
            Ok(()) => unreachable!("the parser never finds a message"),
        }
    }

    /// Waits until the peer has closed its side or the connection broke, and says which. It eats
    /// no data: what arrives meanwhile is kept for the next read, up to 64 KiB.
    ///
    /// For handlers that send for long and read nothing, to notice that nobody listens any more.
    /// With more than 64 KiB unread it goes on waiting when those are read. The stream's deadline
    /// does not end it. The future borrows nothing and does not keep the stream open: when that
    /// is gone, it says [`CloseReason::Local`].
    ///
    /// # Cancel safety
    /// Nothing is lost.
    ///
    /// ```
    /// use iostream::{CloseReason, IoStream};
    ///
    /// # ioloop::testing::run(async {
    /// let (client, server) = IoStream::pair();
    /// drop(client);
    /// assert_eq!(server.peer_closed().await, CloseReason::EndOfStream);
    /// # });
    /// ```
    pub fn peer_closed(&self) -> PeerClosed {
        PeerClosed::new(&self.shared)
    }

    /// How many bytes have arrived that nobody has read, in bytes. Only what the stream has taken
    /// from the system counts: there may be more.
    ///
    /// ```
    /// # ioloop::testing::run(async {
    /// let (client, server) = iostream::IoStream::pair();
    /// let (mut reader, _writer) = server.split();
    /// client.write(b"one\ntwo\n").await.unwrap();
    /// reader.read_until(b"\n", 10).await.unwrap();
    /// assert_eq!(reader.buffered(), 4);
    /// # });
    /// ```
    pub fn buffered(&self) -> usize {
        let shown = self.shown.as_ref().map_or(0, |shown| shown.len());
        shown + self.shared.unread_len()
    }

    /// When every wait of this stream ends, of both halves; see
    /// [`IoStream::set_deadline`](crate::IoStream::set_deadline).
    ///
    /// ```
    /// # ioloop::testing::run(async {
    /// let (_client, server) = iostream::IoStream::pair();
    /// let (reader, _writer) = server.split();
    /// reader.set_deadline(None);
    /// # });
    /// ```
    pub fn set_deadline(&self, deadline: Option<Instant>) {
        self.shared.set_deadline(deadline);
    }

    /// As [`set_deadline`](Self::set_deadline), that long from now; `Duration::MAX` means never.
    ///
    /// ```
    /// # ioloop::testing::run(async {
    /// let (_client, server) = iostream::IoStream::pair();
    /// let (reader, _writer) = server.split();
    /// reader.set_deadline_after(std::time::Duration::from_secs(60));
    /// # });
    /// ```
    pub fn set_deadline_after(&self, delay: Duration) {
        self.shared.set_deadline_after(delay);
    }

    /// Puts a stream together again.
    ///
    /// # Panics
    /// If `writer` writes to another stream.
    ///
    /// ```
    /// # ioloop::testing::run(async {
    /// let (_client, server) = iostream::IoStream::pair();
    /// let (reader, writer) = server.split();
    /// let server = reader.unsplit(writer);
    /// # });
    /// ```
    pub fn unsplit(self, writer: WriteHalf) -> IoStream {
        assert!(
            Rc::ptr_eq(&self.shared, writer.shared()),
            "the two halves are of different streams"
        );
        // The writer that is dropped here is the one that the whole stream counts as.
        self.shared.writers.set(self.shared.writers.get() + 1);
        self.shared.is_whole.set(true);
        IoStream { read: self }
    }

    pub(crate) fn shared(&self) -> &Rc<Shared> {
        &self.shared
    }

    pub(crate) fn poll_read_into(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<Result<usize, Error>> {
        self.give_back();
        if buffer.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let cost = match self.shared.unread_len() {
            0 => COST_OF_CALL,
            _ => COST_OF_MESSAGE,
        };
        if self.shared.must_yield(cost, context) {
            return Poll::Pending;
        }
        if let Some(mut unread) = self.shared.unread.take() {
            let count = unread.read_into(buffer);
            self.shared
                .unread
                .set(Some(unread).filter(|unread| !unread.is_empty()));
            self.shared.wake_watchers();
            return Poll::Ready(Ok(count));
        }
        if let Some(reason) = self.shared.read_end.get() {
            return Poll::Ready(Err(self.shared.closed(reason)));
        }
        self.shared
            .poll_receive_or_end(Waiter::Reader, context, buffer)
    }

    /// Shows the unread bytes, receiving some if there are none. Empty at the end of the stream.
    pub(crate) fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        if self.shown.is_none() {
            self.shown = self.shared.unread.take();
        }
        if self.shown.is_none() {
            match self.poll_receive_some(context) {
                Poll::Ready(Ok(())) => self.shown = self.shared.unread.take(),
                Poll::Ready(Err(Error::Closed {
                    reason: CloseReason::EndOfStream,
                    ..
                })) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error.into())),
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(Ok(self
            .shown
            .as_ref()
            .map_or(&[], |shown| shown.as_slice())))
    }

    /// Consumes bytes that were shown.
    pub(crate) fn consume(&mut self, count: usize) {
        if let Some(shown) = &mut self.shown {
            shown.consume(count);
            if shown.is_empty() {
                self.shown = None;
            }
            self.shared.wake_watchers();
        }
    }

    fn poll_receive_some(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        if let Some(reason) = self.shared.read_end.get() {
            return Poll::Ready(Err(self.shared.closed(reason)));
        }
        if self.shared.must_yield(COST_OF_CALL, context) {
            return Poll::Pending;
        }
        let mut buffer = ReceiveBuffer::take();
        let received = self
            .shared
            .poll_receive_or_end(Waiter::Reader, context, &mut buffer);
        received.map(|result| result.map(|count| self.shared.keep(&buffer[..count])))
    }

    /// Puts shown bytes back before those that arrived meanwhile.
    #[inline]
    fn give_back(&mut self) {
        if let Some(shown) = self.shown.take() {
            self.shared.put_before(shown);
        }
    }
}

impl Drop for ReadHalf {
    fn drop(&mut self) {
        self.shared.reader_dropped();
    }
}

impl fmt::Debug for ReadHalf {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_tuple("ReadHalf")
            .field(&self.shared)
            .finish()
    }
}
