//! Reading from and writing to a whole stream: the operations of its two halves.

use std::io::IoSlice;

use crate::error::Error;
use crate::peer_closed::PeerClosed;
#[cfg(doc)]
use crate::read_half::ReadHalf;
use crate::stream::IoStream;
#[cfg(doc)]
use crate::write_half::WriteHalf;

impl IoStream {
    /// Reads one message with a parser; see [`ReadHalf::read_with`].
    ///
    /// # Errors
    /// As [`ReadHalf::read_with`].
    ///
    /// # Cancel safety
    /// Nothing is lost.
    ///
    /// ```
    /// # ioloop::testing::run(async {
    /// let (client, mut server) = iostream::IoStream::pair();
    /// client.write(b"0003abc").await.unwrap();
    /// let frame = server.read_with(iostream::frame::decimal_prefixed(4, 100)).await;
    /// assert_eq!(frame.unwrap(), b"abc");
    /// # });
    /// ```
    pub fn read_with<T, E: From<Error>, P>(
        &mut self,
        parser: P,
    ) -> impl Future<Output = Result<T, E>>
    where
        P: FnMut(&[u8]) -> Result<Option<(T, usize)>, E>,
    {
        self.read.read_with(parser)
    }

    /// Reads through the first `delimiter`, which is included; see [`ReadHalf::read_until`].
    ///
    /// # Errors
    /// As [`ReadHalf::read_until`].
    ///
    /// # Cancel safety
    /// Nothing is lost.
    ///
    /// ```
    /// # ioloop::testing::run(async {
    /// let (client, mut server) = iostream::IoStream::pair();
    /// client.write(b"line\n").await.unwrap();
    /// assert_eq!(server.read_until(b"\n", 100).await.unwrap(), b"line\n");
    /// # });
    /// ```
    pub fn read_until<'a>(
        &'a mut self,
        delimiter: &'a [u8],
        max: usize,
    ) -> impl Future<Output = Result<Vec<u8>, Error>> + 'a {
        self.read.read_until(delimiter, max)
    }

    /// Reads exactly `count` bytes; see [`ReadHalf::read_bytes`].
    ///
    /// # Errors
    /// As [`ReadHalf::read_with`].
    ///
    /// # Cancel safety
    /// Nothing is lost.
    ///
    /// ```
    /// # ioloop::testing::run(async {
    /// let (client, mut server) = iostream::IoStream::pair();
    /// client.write(b"four").await.unwrap();
    /// assert_eq!(server.read_bytes(4).await.unwrap(), b"four");
    /// # });
    /// ```
    pub fn read_bytes(&mut self, count: usize) -> impl Future<Output = Result<Vec<u8>, Error>> {
        self.read.read_bytes(count)
    }

    /// Reads what there is, from one byte to `max`; see [`ReadHalf::read_some`].
    ///
    /// # Errors
    /// As [`ReadHalf::read_with`].
    ///
    /// # Cancel safety
    /// Nothing is lost.
    ///
    /// ```
    /// # ioloop::testing::run(async {
    /// let (client, mut server) = iostream::IoStream::pair();
    /// client.write(b"some").await.unwrap();
    /// assert_eq!(server.read_some(100).await.unwrap(), b"some");
    /// # });
    /// ```
    pub fn read_some(&mut self, max: usize) -> impl Future<Output = Result<Vec<u8>, Error>> {
        self.read.read_some(max)
    }

    /// Reads the first bytes that there are into `buffer`; see [`ReadHalf::read_into`].
    ///
    /// # Errors
    /// As [`ReadHalf::read_with`].
    ///
    /// # Cancel safety
    /// Nothing is lost.
    ///
    /// ```
    /// # ioloop::testing::run(async {
    /// let (client, mut server) = iostream::IoStream::pair();
    /// client.write(b"some").await.unwrap();
    /// assert_eq!(server.read_into(&mut [0; 100]).await.unwrap(), 4);
    /// # });
    /// ```
    pub async fn read_into(&mut self, buffer: &mut [u8]) -> Result<usize, Error> {
        self.read.read_into(buffer).await
    }

    /// Reads everything until the peer closes; see [`ReadHalf::read_until_close`].
    ///
    /// # Errors
    /// As [`ReadHalf::read_until_close`].
    ///
    /// # Cancel safety
    /// Nothing is lost.
    ///
    /// ```
    /// # ioloop::testing::run(async {
    /// let (client, mut server) = iostream::IoStream::pair();
    /// client.write(b"all").await.unwrap();
    /// drop(client);
    /// assert_eq!(server.read_until_close(100).await.unwrap(), b"all");
    /// # });
    /// ```
    pub async fn read_until_close(&mut self, max: usize) -> Result<Vec<u8>, Error> {
        self.read.read_until_close(max).await
    }

    /// Waits until the peer has closed or the connection broke; see [`ReadHalf::peer_closed`].
    ///
    /// # Cancel safety
    /// Nothing is lost.
    ///
    /// ```
    /// # ioloop::testing::run(async {
    /// let (client, server) = iostream::IoStream::pair();
    /// drop(client);
    /// server.peer_closed().await;
    /// # });
    /// ```
    pub fn peer_closed(&self) -> PeerClosed {
        self.read.peer_closed()
    }

    /// How many bytes have arrived that nobody has read; see [`ReadHalf::buffered`].
    ///
    /// ```
    /// # ioloop::testing::run(async {
    /// let (client, mut server) = iostream::IoStream::pair();
    /// client.write(b"one\ntwo\n").await.unwrap();
    /// server.read_until(b"\n", 10).await.unwrap();
    /// assert_eq!(server.buffered(), 4);
    /// # });
    /// ```
    pub fn buffered(&self) -> usize {
        self.read.buffered()
    }

    /// Takes all of `data` without waiting, to be sent at the end of the turn; see
    /// [`WriteHalf::queue`].
    ///
    /// # Errors
    /// As [`WriteHalf::queue`].
    ///
    /// ```
    /// # ioloop::testing::run(async {
    /// let (_client, server) = iostream::IoStream::pair();
    /// server.queue(b"hello").unwrap();
    /// # });
    /// ```
    pub fn queue(&self, data: &[u8]) -> Result<(), Error> {
        self.shared().queue(data)
    }

    /// Waits until there is room, then takes all of `data`; see [`WriteHalf::write`].
    ///
    /// # Errors
    /// As [`WriteHalf::write`].
    ///
    /// # Cancel safety
    /// Either all of `data` was taken or nothing.
    ///
    /// ```
    /// # ioloop::testing::run(async {
    /// let (_client, server) = iostream::IoStream::pair();
    /// server.write(b"hello").await.unwrap();
    /// # });
    /// ```
    pub fn write<'a>(&'a self, data: &'a [u8]) -> impl Future<Output = Result<(), Error>> + 'a {
        self.shared().write(data)
    }

    /// As [`write`](IoStream::write), for a message in parts; see [`WriteHalf::write_vectored`].
    ///
    /// # Errors
    /// As [`WriteHalf::write`].
    ///
    /// # Cancel safety
    /// Either all of the parts were taken or nothing.
    ///
    /// ```
    /// use std::io::IoSlice;
    ///
    /// # ioloop::testing::run(async {
    /// let (_client, server) = iostream::IoStream::pair();
    /// server.write_vectored(&[IoSlice::new(b"head"), IoSlice::new(b"body")]).await.unwrap();
    /// # });
    /// ```
    pub fn write_vectored<'a>(
        &'a self,
        parts: &'a [IoSlice<'a>],
    ) -> impl Future<Output = Result<(), Error>> + 'a {
        self.shared().write_vectored(parts)
    }

    /// Waits until the transport has taken everything; see [`WriteHalf::flush`].
    ///
    /// # Errors
    /// As [`WriteHalf::flush`].
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
        self.shared().flush()
    }

    /// How many bytes were written that the transport has not taken; see [`WriteHalf::queued`].
    ///
    /// ```
    /// # ioloop::testing::run(async {
    /// let (_client, server) = iostream::IoStream::pair();
    /// server.queue(b"hello").unwrap();
    /// assert_eq!(server.queued(), 5);
    /// server.flush().await.unwrap();
    /// assert_eq!(server.queued(), 0);
    /// # });
    /// ```
    pub fn queued(&self) -> usize {
        self.shared().queued_len()
    }
}
