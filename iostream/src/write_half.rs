//! The writing side of a stream.

use std::fmt;
use std::io::IoSlice;
use std::rc::Rc;
use std::time::{Duration, Instant};

use ioloop::IoLoop;

use crate::error::Error;
use crate::shared::Shared;

/// A handle that writes to a stream; clones write to the same.
///
/// What was written is sent by the loop: dropping every handle loses nothing. When the last write
/// half is gone, the peer is told that no more will come.
///
/// ```
/// use iostream::IoStream;
///
/// # ioloop::testing::run(async {
/// let (mut client, server) = IoStream::pair();
/// let (_reader, writer) = server.split();
/// let room = vec![writer.clone(), writer];
/// for member in &room {
///     member.queue(b"hello\n").unwrap();
/// }
/// assert_eq!(client.read_bytes(12).await.unwrap(), b"hello\nhello\n");
/// # });
/// ```
pub struct WriteHalf {
    shared: Rc<Shared>,
}

impl WriteHalf {
    /// Takes over a writer that the stream counts already.
    pub(crate) fn new(shared: Rc<Shared>) -> WriteHalf {
        WriteHalf { shared }
    }

    /// One writer more.
    pub(crate) fn another(shared: &Rc<Shared>) -> WriteHalf {
        shared.writers.set(shared.writers.get() + 1);
        WriteHalf::new(shared.clone())
    }

    /// Takes all of `data` without waiting; it is sent at the end of the turn, together with
    /// whatever else this turn queues.
    ///
    /// # Errors
    /// [`Error::BufferFull`] if the peer is so slow that `data` does not fit into the stream's
    /// [write buffer limit](crate::IoStream::set_max_write_buffer_size): nothing was taken.
    /// [`Error::Closed`] if the connection broke or this side was shut down.
    ///
    /// ```
    /// # ioloop::testing::run(async {
    /// let (mut client, server) = iostream::IoStream::pair();
    /// server.queue(b"one ").unwrap();
    /// server.queue(b"two").unwrap();
    /// assert_eq!(client.read_bytes(7).await.unwrap(), b"one two");
    /// # });
    /// ```
    pub fn queue(&self, data: &[u8]) -> Result<(), Error> {
        self.shared.queue(data)
    }

    /// Waits until there is room, then takes all of `data`: sends at once what the transport
    /// takes, and leaves the rest to the loop. To wait until it has left, [`flush`].
    ///
    /// There is room while less is queued than the stream's
    /// [write buffer limit](crate::IoStream::set_max_write_buffer_size); a single write may go
    /// beyond it.
    ///
    /// # Errors
    /// [`Error::Closed`] if the connection broke or this side was shut down; [`Error::TimedOut`]
    /// if the stream's deadline passes first. Nothing was taken then.
    ///
    /// # Cancel safety
    /// Either all of `data` was taken or nothing: nothing, if it is dropped while it waits.
    ///
    /// ```
    /// # ioloop::testing::run(async {
    /// let (mut client, server) = iostream::IoStream::pair();
    /// server.write(b"hello").await.unwrap();
    /// assert_eq!(client.read_bytes(5).await.unwrap(), b"hello");
    /// # });
    /// ```
    ///
    /// [`flush`]: WriteHalf::flush
    pub fn write<'a>(&'a self, data: &'a [u8]) -> impl Future<Output = Result<(), Error>> + 'a {
        self.shared.write(data)
    }

    /// As [`write`](WriteHalf::write), for a message in parts: they leave in one system call.
    ///
    /// # Errors
    /// As [`write`](WriteHalf::write).
    ///
    /// # Cancel safety
    /// As [`write`](WriteHalf::write).
    ///
    /// ```
    /// use std::io::IoSlice;
    ///
    /// # ioloop::testing::run(async {
    /// let (mut client, server) = iostream::IoStream::pair();
    /// let parts = [IoSlice::new(b"\x00\x05"), IoSlice::new(b"hello")];
    /// server.write_vectored(&parts).await.unwrap();
    /// assert_eq!(client.read_bytes(7).await.unwrap(), b"\x00\x05hello");
    /// # });
    /// ```
    pub fn write_vectored<'a>(
        &'a self,
        parts: &'a [IoSlice<'a>],
    ) -> impl Future<Output = Result<(), Error>> + 'a {
        self.shared.write_vectored(parts)
    }

    /// Waits until the transport has taken everything that was written.
    ///
    /// # Errors
    /// [`Error::Closed`] if the connection broke first: how much the peer has got is unknown.
    /// [`Error::TimedOut`] if the stream's deadline passes first; the loop goes on sending.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    ///
    /// ```
    /// # ioloop::testing::run(async {
    /// let (_client, server) = iostream::IoStream::pair();
    /// server.queue(b"hello").unwrap();
    /// server.flush().await.unwrap();
    /// # });
    /// ```
    pub fn flush(&self) -> impl Future<Output = Result<(), Error>> {
        self.shared.flush()
    }

    /// How many bytes were written that the transport has not taken.
    ///
    /// ```
    /// # ioloop::testing::run(async {
    /// let (_client, server) = iostream::IoStream::pair();
    /// let writer = server.writer();
    /// writer.queue(b"hello").unwrap();
    /// assert_eq!(writer.queued(), 5);
    /// writer.flush().await.unwrap();
    /// assert_eq!(writer.queued(), 0);
    /// # });
    /// ```
    pub fn queued(&self) -> usize {
        self.shared.queued_len()
    }

    /// When every wait of this stream ends, of both halves; see
    /// [`IoStream::set_deadline`](crate::IoStream::set_deadline).
    ///
    /// ```
    /// # ioloop::testing::run(async {
    /// let (_client, server) = iostream::IoStream::pair();
    /// server.writer().set_deadline(None);
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
    /// server.writer().set_deadline_after(std::time::Duration::from_secs(60));
    /// # });
    /// ```
    pub fn set_deadline_after(&self, delay: Duration) {
        self.shared.set_deadline_after(delay);
    }

    /// Throws away what is unsent and ends the stream at once, for every handle of it. The peer
    /// sees a reset; over Unix sockets and pipes, which know none, the end of the stream. The
    /// descriptor is closed with the last handle, and only that ends a pipe.
    ///
    /// ```
    /// # ioloop::testing::run(async {
    /// let (mut client, server) = iostream::IoStream::pair();
    /// let (mut reader, writer) = server.split();
    /// writer.abort();
    /// assert!(reader.read_bytes(1).await.is_err());
    /// # });
    /// ```
    pub fn abort(&self) {
        self.shared.abort();
    }

    /// The loop that the stream lives on.
    ///
    /// ```
    /// # ioloop::testing::run(async {
    /// let (_client, server) = iostream::IoStream::pair();
    /// server.writer().io_loop().add_callback(|| {});
    /// # });
    /// ```
    pub fn io_loop(&self) -> &IoLoop {
        self.shared.io_loop()
    }

    pub(crate) fn shared(&self) -> &Rc<Shared> {
        &self.shared
    }
}

impl Clone for WriteHalf {
    fn clone(&self) -> WriteHalf {
        WriteHalf::another(&self.shared)
    }
}

impl Drop for WriteHalf {
    fn drop(&mut self) {
        self.shared.writer_dropped();
    }
}

impl fmt::Debug for WriteHalf {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_tuple("WriteHalf")
            .field(&self.shared)
            .finish()
    }
}
