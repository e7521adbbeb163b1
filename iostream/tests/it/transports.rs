//! Every kind of transport that a stream can run over, as two connected ends.

use std::cell::Cell;
use std::io::{self, IoSlice};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use futures_lite::{AsyncRead, AsyncWrite};
use iostream::{IoStream, ReadHalf, WriteHalf};
use socket2::SockRef;

use crate::support::on_loop;

/// One of two connected ends. A pipe goes one way only, so an end is two halves.
pub(crate) struct End {
    pub(crate) read: ReadHalf,
    pub(crate) write: WriteHalf,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    Tcp,
    Unix,
    /// Two pipes, one for each direction.
    Pipes,
    /// `IoStream::pair`.
    Memory,
    /// A futures-io type over the pair that moves at most so many bytes at a time, and is often
    /// not ready although it could be.
    Cut(usize),
    /// The same over a socket.
    CutTcp(usize),
}

impl Kind {
    pub(crate) const ALL: [Kind; 10] = [
        Kind::Tcp,
        Kind::Unix,
        Kind::Pipes,
        Kind::Memory,
        Kind::Cut(1),
        Kind::Cut(2),
        Kind::Cut(3),
        Kind::Cut(7),
        Kind::Cut(1000),
        Kind::CutTcp(5),
    ];

    /// Two connected ends; `set_up` is called for each stream.
    pub(crate) fn ends_with(self, set_up: impl Fn(&IoStream)) -> (End, End) {
        if self == Kind::Pipes {
            return pipes(set_up);
        }
        let (one, other) = self.streams();
        set_up(&one);
        set_up(&other);
        (End::of(one), End::of(other))
    }

    /// Two connected streams; not for pipes.
    pub(crate) fn streams(self) -> (IoStream, IoStream) {
        match self {
            Kind::Tcp => narrow_tcp(),
            Kind::Unix => {
                let (one, other) = UnixStream::pair().unwrap();
                (from_fd(one), from_fd(other))
            }
            Kind::Pipes => unreachable!("a pipe goes one way"),
            Kind::Memory => IoStream::pair(),
            Kind::Cut(most) => cut(IoStream::pair(), most),
            Kind::CutTcp(most) => cut(narrow_tcp(), most),
        }
    }

    /// How many bytes make a long transfer here.
    pub(crate) fn plenty(self) -> usize {
        match self {
            Kind::Cut(most) | Kind::CutTcp(most) => most.min(64) * 8 * 1024,
            _ => 3 * 1024 * 1024,
        }
    }

    /// Whether the peer of an aborted stream can tell that from an orderly end.
    pub(crate) fn can_reset(self) -> bool {
        matches!(self, Kind::Tcp | Kind::Memory)
    }
}

impl End {
    pub(crate) fn of(stream: IoStream) -> End {
        let (read, write) = stream.split();
        End { read, write }
    }
}

/// Runs `test` over every transport, each on a loop of its own.
pub(crate) fn over_every_transport(test: impl AsyncFn(Kind, End, End) + Copy + 'static) {
    over_every_transport_with(|_| {}, test);
}

/// As [`over_every_transport`], with settings for each stream.
pub(crate) fn over_every_transport_with(
    set_up: impl Fn(&IoStream) + Copy + 'static,
    test: impl AsyncFn(Kind, End, End) + Copy + 'static,
) {
    for kind in Kind::ALL {
        // Shown only if the test fails.
        println!("over {kind:?}");
        on_loop(async move {
            let (one, other) = kind.ends_with(set_up);
            test(kind, one, other).await;
        });
    }
}

/// Two connected TCP sockets, not yet streams.
pub(crate) fn tcp_sockets() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let one = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (other, _) = listener.accept().unwrap();
    one.set_nodelay(true).unwrap();
    other.set_nodelay(true).unwrap();
    (one, other)
}

/// Two connected streams over TCP.
pub(crate) fn tcp() -> (IoStream, IoStream) {
    let (one, other) = tcp_sockets();
    (from_fd(one), from_fd(other))
}

/// As [`tcp`], with a kernel that holds little: less than it needs to have no pauses makes it slow.
pub(crate) fn narrow_tcp() -> (IoStream, IoStream) {
    let (one, other) = tcp_sockets();
    for socket in [SockRef::from(&one), SockRef::from(&other)] {
        socket.set_send_buffer_size(64 * 1024).unwrap();
        socket.set_recv_buffer_size(128 * 1024).unwrap();
    }
    (from_fd(one), from_fd(other))
}

pub(crate) fn from_fd(fd: impl Into<std::os::fd::OwnedFd>) -> IoStream {
    IoStream::from_fd(fd).unwrap()
}

fn pipes(set_up: impl Fn(&IoStream)) -> (End, End) {
    let stream = |fd| {
        let stream = from_fd(fd);
        set_up(&stream);
        stream.split()
    };
    let (there, back) = (rustix::pipe::pipe().unwrap(), rustix::pipe::pipe().unwrap());
    let (one_in, one_out) = (stream(back.0), stream(there.1));
    let (other_in, other_out) = (stream(there.0), stream(back.1));
    let one = End {
        read: one_in.0,
        write: one_out.1,
    };
    let other = End {
        read: other_in.0,
        write: other_out.1,
    };
    (one, other)
}

fn cut((one, other): (IoStream, IoStream), most: usize) -> (IoStream, IoStream) {
    let seed = most as u64;
    // These have queues of their own, which should not hide those of the streams above.
    one.set_max_write_buffer_size(1000);
    other.set_max_write_buffer_size(1000);
    (
        IoStream::from_transport(Cutting::new(one, most, seed)),
        IoStream::from_transport(Cutting::new(other, most, seed + 1)),
    )
}

/// A transport that cuts what goes through it, and is often not ready although it could be.
pub(crate) struct Cutting<S> {
    inner: S,
    most: usize,
    random: fastrand::Rng,
}

impl<S> Cutting<S> {
    fn new(inner: S, most: usize, seed: u64) -> Cutting<S> {
        Cutting {
            inner,
            most,
            random: fastrand::Rng::with_seed(seed),
        }
    }

    /// Pending with an immediate wake, one time in four.
    fn stumbles(&mut self, context: &Context<'_>) -> bool {
        let stumbles = self.random.u8(..4) == 0;
        if stumbles {
            context.waker().wake_by_ref();
        }
        stumbles
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Cutting<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if self.stumbles(context) {
            return Poll::Pending;
        }
        let most = self.most.min(buffer.len());
        Pin::new(&mut self.inner).poll_read(context, &mut buffer[..most])
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Cutting<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.stumbles(context) {
            return Poll::Pending;
        }
        let most = self.most.min(buffer.len());
        Pin::new(&mut self.inner).poll_write(context, &buffer[..most])
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.stumbles(context) {
            return Poll::Pending;
        }
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.stumbles(context) {
            return Poll::Pending;
        }
        Pin::new(&mut self.inner).poll_close(context)
    }
}

/// A transport that counts the calls which write, and notes how long each was.
pub(crate) struct Counting<S> {
    pub(crate) inner: S,
    pub(crate) writes: Rc<Cell<usize>>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Counting<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counting<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[IoSlice::new(buffer)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.writes.set(self.writes.get() + 1);
        Pin::new(&mut self.inner).poll_write_vectored(context, parts)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_close(context)
    }
}
