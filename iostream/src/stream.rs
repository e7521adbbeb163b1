//! The stream itself: how it is made, set up, taken apart and ended.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::os::fd::OwnedFd;
use std::panic::Location;
use std::rc::Rc;

use futures_lite::{AsyncRead, AsyncWrite};
use ioloop::IoLoop;
use rustix::net::sockopt;

use crate::aborter::Aborter;
use crate::address::Address;
use crate::error::Error;
use crate::on_close::OnClose;
use crate::pair::memory_pair;
use crate::read_half::ReadHalf;
use crate::shared::Shared;
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
    /// Stands for the write half as well; see [`Shared::is_whole`].
    pub(crate) read: ReadHalf,
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
        IoStream {
            read: ReadHalf::new(Shared::new(transport, location)),
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
        self.shared().is_whole.set(false);
        let writer = WriteHalf::new(self.shared().clone());
        (self.read, writer)
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
        WriteHalf::another(self.shared())
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
        self.shared().abort();
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
        Aborter::new(self.shared())
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
    /// was written is sent, and the peer has closed or the linger timeout is over. Each observer that
    /// was set is told.
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

    pub(crate) fn shared(&self) -> &Rc<Shared> {
        self.read.shared()
    }
}

impl fmt::Debug for IoStream {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shared().fmt(formatter)
    }
}
