//! The stream itself: how it is made, set up, taken apart and ended.

use std::fmt;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::os::fd::OwnedFd;
use std::panic::Location;
use std::rc::{Rc, Weak};
use std::time::{Duration, Instant};

use futures_lite::{AsyncRead, AsyncWrite};
use ioloop::IoLoop;
use rustix::net::sockopt;
use socket2::SockRef;

use crate::address::Address;
use crate::error::{CloseReason, Error};
use crate::pair::memory_pair;
use crate::read_half::ReadHalf;
use crate::shared::{OnClose, Shared};
use crate::transport::Transport;
use crate::write_half::WriteHalf;

/// A buffered stream of bytes, both ways, on this thread's loop.
///
/// Reads take `&mut self` and lose nothing when dropped; writes take `&self` and are sent by the
/// loop. Dropping a stream sends what was written, tells the peer, and closes.
///
/// ```
/// use iostream::{Error, IoStream};
///
/// async fn echo(mut stream: IoStream) -> Result<(), Error> {
///     loop {
///         let line = stream.read_until(b"\n", 4096).await?;
///         stream.write(&line).await?;
///     }
/// }
///
/// # ioloop::testing::run(async {
/// let (mut client, server) = IoStream::pair();
/// ioloop::IoLoop::current().spawn(echo(server)).detach();
/// client.write(b"hello\n").await.unwrap();
/// assert_eq!(client.read_until(b"\n", 4096).await.unwrap(), b"hello\n");
/// # });
/// ```
#[doc(alias = "IOStream")]
pub struct IoStream {
    pub(crate) read: ReadHalf,
    pub(crate) write: WriteHalf,
}

impl IoStream {
    /// A stream over any descriptor: a connected socket, a pipe, a terminal, a tunnel. It is made
    /// non-blocking and owned by the stream.
    ///
    /// Standard input shares its flags with the shell: read it with `IoLoop::run_blocking`, since
    /// making it non-blocking would outlast the program.
    ///
    /// # Errors
    /// What the system says when it refuses to make it non-blocking.
    ///
    /// ```
    /// use std::os::unix::net::UnixStream;
    /// use iostream::IoStream;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let (ours, theirs) = UnixStream::pair()?;
    /// let stream = IoStream::from_fd(ours)?;
    /// # Ok(())
    /// # }
    /// ```
    #[track_caller]
    pub fn from_fd(fd: impl Into<OwnedFd>) -> io::Result<IoStream> {
        let fd = fd.into();
        rustix::io::ioctl_fionbio(&fd, true)?;
        let transport = match sockopt::socket_type(&fd) {
            Ok(_) => Transport::Socket(fd),
            Err(_) => Transport::File(fd),
        };
        Ok(IoStream::new(transport, Location::caller()))
    }

    /// As [`from_fd`](IoStream::from_fd), for what is known to be a socket and non-blocking: it
    /// costs no system call. A blocking one would stall the loop.
    ///
    /// ```
    /// use std::os::unix::net::UnixStream;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let (ours, _theirs) = UnixStream::pair()?;
    /// ours.set_nonblocking(true)?;
    /// let stream = iostream::IoStream::from_socket(ours);
    /// # Ok(())
    /// # }
    /// ```
    #[track_caller]
    pub fn from_socket(socket: impl Into<OwnedFd>) -> IoStream {
        IoStream::new(Transport::Socket(socket.into()), Location::caller())
    }

    /// A stream over any futures-io type, which has its own readiness: TLS, compression, a test
    /// transport.
    ///
    /// It is polled for reading by whoever reads and for writing by a task of the loop; the end of
    /// writing is `poll_close`. [`abort`](IoStream::abort) drops it without that. If it is made of
    /// another `IoStream`, that one then ends in good order: abort it too, with its own
    /// [`aborter`](IoStream::aborter).
    ///
    /// ```
    /// use futures_lite::io::Cursor;
    /// use iostream::IoStream;
    ///
    /// # ioloop::testing::run(async {
    /// let mut stream = IoStream::from_transport(Cursor::new(b"one\ntwo\n".to_vec()));
    /// assert_eq!(stream.read_until(b"\n", 10).await.unwrap(), b"one\n");
    /// # stream.abort();
    /// # });
    /// ```
    #[track_caller]
    pub fn from_transport(transport: impl AsyncRead + AsyncWrite + Unpin + 'static) -> IoStream {
        IoStream::new(Transport::boxed(transport), Location::caller())
    }

    /// Two streams that are connected in memory, for tests: no descriptor, no kernel, and virtual
    /// time works. Each direction holds up to 64 KiB, as a socket would.
    ///
    /// ```
    /// # ioloop::testing::run(async {
    /// let (client, mut server) = iostream::IoStream::pair();
    /// client.write(b"ping").await.unwrap();
    /// assert_eq!(server.read_bytes(4).await.unwrap(), b"ping");
    /// # });
    /// ```
    #[track_caller]
    pub fn pair() -> (IoStream, IoStream) {
        let (one, other) = memory_pair();
        (
            IoStream::from_transport(one),
            IoStream::from_transport(other),
        )
    }

    fn new(transport: Transport, location: &'static Location<'static>) -> IoStream {
        let shared = Shared::new(transport, location);
        IoStream {
            read: ReadHalf::new(shared.clone()),
            write: WriteHalf::new(shared),
        }
    }

    /// Takes the stream apart, so that one task can read while others write.
    ///
    /// ```
    /// # ioloop::testing::run(async {
    /// let (_client, server) = iostream::IoStream::pair();
    /// let (mut reader, writer) = server.split();
    /// # });
    /// ```
    pub fn split(self) -> (ReadHalf, WriteHalf) {
        (self.read, self.write)
    }

    /// Another handle that writes to this stream, for those who only send to it.
    ///
    /// ```
    /// # ioloop::testing::run(async {
    /// let (mut client, server) = iostream::IoStream::pair();
    /// let writer = server.writer();
    /// writer.write(b"hi").await.unwrap();
    /// assert_eq!(client.read_bytes(2).await.unwrap(), b"hi");
    /// # });
    /// ```
    pub fn writer(&self) -> WriteHalf {
        self.write.clone()
    }

    /// Sends everything, tells the peer that no more will come, and closes. The waiting for the
    /// peer to close too is left to the loop. Other handles cannot write from now on.
    ///
    /// Dropping the stream does the same without telling whether it went well.
    ///
    /// # Errors
    /// As [`flush`](IoStream::flush).
    ///
    /// # Cancel safety
    /// Dropping the future drops the stream, which sends everything as well.
    ///
    /// ```
    /// # ioloop::testing::run(async {
    /// let (mut client, server) = iostream::IoStream::pair();
    /// server.queue(b"bye").unwrap();
    /// server.shutdown().await.unwrap();
    /// assert_eq!(client.read_until_close(10).await.unwrap(), b"bye");
    /// # });
    /// ```
    pub async fn shutdown(self) -> Result<(), Error> {
        poll_fn(|context| self.shared().poll_finish(context)).await
    }

    /// Throws away what is unsent and closes at once. The peer sees a reset, if the transport knows
    /// one; see [`WriteHalf::abort`].
    ///
    /// ```
    /// # ioloop::testing::run(async {
    /// let (mut client, server) = iostream::IoStream::pair();
    /// server.queue(b"never mind").unwrap();
    /// server.abort();
    /// assert!(client.read_bytes(1).await.is_err());
    /// # });
    /// ```
    pub fn abort(self) {
        self.write.abort();
    }

    /// A handle that can abort the stream at any time, and does not keep it alive.
    ///
    /// ```
    /// # ioloop::testing::run(async {
    /// let (_client, mut server) = iostream::IoStream::pair();
    /// let aborter = server.aborter();
    /// aborter.abort();
    /// assert!(server.read_bytes(1).await.is_err());
    /// # });
    /// ```
    pub fn aborter(&self) -> Aborter {
        Aborter {
            shared: Rc::downgrade(self.shared()),
        }
    }

    /// When every wait of this stream ends with [`Error::TimedOut`]: reads, writes, flushes. None,
    /// as at first, means never. Moving it on costs next to nothing: set it before each message.
    ///
    /// It is checked when a wait begins and when the time comes, and never beats bytes that have
    /// arrived. After it has passed, operations that need not wait still succeed.
    ///
    /// ```
    /// use std::time::Duration;
    /// use iostream::{Error, IoStream};
    ///
    /// # ioloop::testing::run(async {
    /// let (_client, mut server) = IoStream::pair();
    /// let now = ioloop::IoLoop::current().now();
    /// server.set_deadline(Some(now + Duration::from_secs(60)));
    /// let line = server.read_until(b"\n", 4096).await;
    /// assert!(matches!(line, Err(Error::TimedOut)));
    /// # });
    /// ```
    pub fn set_deadline(&self, deadline: Option<Instant>) {
        self.shared().set_deadline(deadline);
    }

    /// How long the stream may go without a byte in either direction before its waits end with
    /// [`Error::TimedOut`]; none, as at first, means for ever. It works beside the deadline:
    /// whichever comes first ends a wait.
    ///
    /// ```
    /// use std::time::Duration;
    /// use iostream::{Error, IoStream};
    ///
    /// # ioloop::testing::run(async {
    /// let (_client, mut server) = IoStream::pair();
    /// server.set_idle_timeout(Some(Duration::from_secs(60)));
    /// assert!(matches!(server.read_until(b"\n", 4096).await, Err(Error::TimedOut)));
    /// # });
    /// ```
    pub fn set_idle_timeout(&self, timeout: Option<Duration>) {
        self.shared().set_idle_timeout(timeout);
    }

    /// How many bytes may be buffered for one message, in bytes: 100 MiB unless set, as in
    /// Tornado. Above it, reads fail with [`Error::BufferFull`]. The limits that are given to the
    /// reads themselves usually come first.
    ///
    /// ```
    /// # ioloop::testing::run(async {
    /// let (_client, server) = iostream::IoStream::pair();
    /// server.set_max_buffer_size(1024 * 1024);
    /// # });
    /// ```
    pub fn set_max_buffer_size(&self, bytes: usize) {
        self.shared()
            .change_limits(|limits| limits.read_buffer = bytes);
    }

    /// How many bytes may be queued for a peer that does not take them, beyond what the kernel
    /// holds: 1 MiB unless set. [`queue`](IoStream::queue) refuses what goes beyond;
    /// [`write`](IoStream::write) waits until less is queued.
    ///
    /// ```
    /// # ioloop::testing::run(async {
    /// let (_client, server) = iostream::IoStream::pair();
    /// server.set_max_write_buffer_size(64 * 1024);
    /// # });
    /// ```
    pub fn set_max_write_buffer_size(&self, bytes: usize) {
        self.shared()
            .change_limits(|limits| limits.write_buffer = bytes);
        self.shared().wake_writers();
    }

    /// How long, after everything was sent, the loop waits for the peer to close its side: 5 s
    /// unless set. What it sends meanwhile is thrown away. Closing earlier could make the kernel
    /// reset the connection and destroy what the peer has not read yet.
    ///
    /// ```
    /// # ioloop::testing::run(async {
    /// let (_client, server) = iostream::IoStream::pair();
    /// server.set_linger_timeout(std::time::Duration::from_secs(1));
    /// # });
    /// ```
    pub fn set_linger_timeout(&self, timeout: Duration) {
        self.shared()
            .change_limits(|limits| limits.linger = timeout);
    }

    /// Whether small writes are sent at once (`TCP_NODELAY`). It is on for connections that are
    /// accepted by a `TcpServer` or made by [`connect`](crate::connect).
    ///
    /// # Errors
    /// What the system says for what is no TCP socket; `Unsupported` without a descriptor.
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    /// let client = std::net::TcpStream::connect(listener.local_addr()?)?;
    /// iostream::IoStream::from_fd(client)?.set_nodelay(false)
    /// # }
    /// ```
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        let fd = self
            .shared()
            .transport
            .fd()
            .ok_or(io::ErrorKind::Unsupported)?;
        SockRef::from(&fd).set_tcp_nodelay(nodelay)
    }

    /// The address of this side.
    ///
    /// # Errors
    /// What the system says for what is no socket.
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// let (stream, _peer) = iostream::IoStream::pair();
    /// assert_eq!(stream.local_address()?.to_string(), "memory");
    /// # Ok(())
    /// # }
    /// ```
    pub fn local_address(&self) -> io::Result<Address> {
        self.shared()
            .transport
            .fd()
            .map_or(Ok(Address::Memory), Address::local)
    }

    /// The address of the other side.
    ///
    /// # Errors
    /// What the system says for what is no socket, or is not connected any more.
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// let (stream, _peer) = iostream::IoStream::pair();
    /// assert_eq!(stream.peer_address()?.to_string(), "memory");
    /// # Ok(())
    /// # }
    /// ```
    pub fn peer_address(&self) -> io::Result<Address> {
        self.shared()
            .transport
            .fd()
            .map_or(Ok(Address::Memory), Address::peer)
    }

    /// Tells `observer` when the stream's descriptor is closed: after the handles are gone, what
    /// was written is sent, and the peer has closed or the linger timeout is over.
    ///
    /// ```
    /// # struct Count;
    /// # impl iostream::OnClose for Count { fn closed(&self) {} }
    /// # ioloop::testing::run(async {
    /// let (_client, server) = iostream::IoStream::pair();
    /// server.on_close(std::rc::Rc::new(Count));
    /// # });
    /// ```
    pub fn on_close(&self, observer: Rc<dyn OnClose>) {
        self.shared().set_on_close(observer);
    }

    /// The loop that the stream lives on.
    ///
    /// ```
    /// # ioloop::testing::run(async {
    /// let (_client, server) = iostream::IoStream::pair();
    /// server.io_loop().add_callback(|| {});
    /// # });
    /// ```
    pub fn io_loop(&self) -> &IoLoop {
        self.shared().io_loop()
    }

    fn shared(&self) -> &Rc<Shared> {
        self.write.shared()
    }
}

/// The operations of the two halves.
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
    pub async fn peer_closed(&self) -> CloseReason {
        self.read.peer_closed().await
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
        self.write.queue(data)
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
        self.write.write(data)
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
        self.write.write_vectored(parts)
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
        self.write.flush()
    }
}

impl fmt::Debug for IoStream {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shared().fmt(formatter)
    }
}

/// Aborts a stream from outside; see [`IoStream::aborter`].
///
/// ```
/// # ioloop::testing::run(async {
/// let (_client, server) = iostream::IoStream::pair();
/// let aborter = server.aborter();
/// drop(server);
/// aborter.abort();
/// # });
/// ```
#[derive(Clone, Debug)]
pub struct Aborter {
    shared: Weak<Shared>,
}

impl Aborter {
    /// Ends the stream at once, if it is still there; also one whose handles are gone and that the
    /// loop is still sending.
    ///
    /// ```
    /// # ioloop::testing::run(async {
    /// let (_client, server) = iostream::IoStream::pair();
    /// server.aborter().abort();
    /// assert!(server.queue(b"too late").is_err());
    /// # });
    /// ```
    pub fn abort(&self) {
        if let Some(shared) = self.shared.upgrade() {
            shared.abort();
        }
    }

    /// As [`IoStream::set_linger_timeout`]; the time begins anew if the stream waits already.
    ///
    /// ```
    /// # ioloop::testing::run(async {
    /// let (_client, server) = iostream::IoStream::pair();
    /// server.aborter().set_linger_timeout(std::time::Duration::from_millis(100));
    /// # });
    /// ```
    pub fn set_linger_timeout(&self, timeout: Duration) {
        if let Some(shared) = self.shared.upgrade() {
            shared.change_limits(|limits| limits.linger = timeout);
            // It may be lingering already.
            shared.wake_watchers();
        }
    }

    /// As [`IoStream::local_address`].
    ///
    /// # Errors
    /// `NotConnected` if the stream is gone; otherwise as [`IoStream::local_address`].
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// let (stream, _peer) = iostream::IoStream::pair();
    /// assert_eq!(stream.aborter().local_address()?.to_string(), "memory");
    /// # Ok(())
    /// # }
    /// ```
    pub fn local_address(&self) -> io::Result<Address> {
        let shared = self.shared.upgrade().ok_or(io::ErrorKind::NotConnected)?;
        shared
            .transport
            .fd()
            .map_or(Ok(Address::Memory), Address::local)
    }
}
