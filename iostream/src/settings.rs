//! What can be set on a stream: deadlines, limits, options.

use std::io;
use std::time::{Duration, Instant};

use socket2::SockRef;

#[cfg(doc)]
use crate::error::Error;
use crate::stream::IoStream;

impl IoStream {
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

    /// As [`set_deadline`](IoStream::set_deadline), that long from now; `Duration::MAX` means never.
    ///
    /// ```
    /// use std::time::Duration;
    /// use iostream::{Error, IoStream};
    ///
    /// # ioloop::testing::run(async {
    /// let (_client, mut server) = IoStream::pair();
    /// server.set_deadline_after(Duration::from_secs(60));
    /// assert!(matches!(server.read_bytes(1).await, Err(Error::TimedOut)));
    /// # });
    /// ```
    pub fn set_deadline_after(&self, delay: Duration) {
        self.shared().set_deadline_after(delay);
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
    /// Zero is for a peer that has said it sends nothing more: the stream is closed as soon as the
    /// kernel has taken everything, which spares the loop a wait and a few system calls.
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
}
