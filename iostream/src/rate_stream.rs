//! Streams that keep to a rate limit by themselves.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use futures_lite::{AsyncRead, AsyncWrite};

use crate::error::Error;
use crate::rate_grant::{Grant, Permit};
use crate::rate_limiter::RateLimiter;
use crate::shared::{COST_OF_MESSAGE, Shared, Waiter};
use crate::stream::IoStream;
use crate::write_half::WriteHalf;

impl IoStream {
    /// Writes all of `data`, as fast as `limiter` allows; see [`WriteHalf::write_limited`].
    ///
    /// # Errors
    /// As [`WriteHalf::write_limited`].
    ///
    /// # Cancel safety
    /// As [`WriteHalf::write_limited`].
    ///
    /// ```
    /// use iostream::{IoStream, RateLimiter};
    ///
    /// # ioloop::testing::run(async {
    /// let upload = RateLimiter::new(1_000_000);
    /// let (mut client, server) = IoStream::pair();
    /// server.write_limited(&upload, b"hello").await.unwrap();
    /// assert_eq!(client.read_bytes(5).await.unwrap(), b"hello");
    /// # });
    /// ```
    pub fn write_limited<'a>(
        &'a self,
        limiter: &'a RateLimiter,
        data: &'a [u8],
    ) -> impl Future<Output = Result<(), Error>> + 'a {
        self.shared().write_limited(limiter, data)
    }

    /// The same stream, whose every byte is sent as fast as `limiter` allows, whoever writes it:
    /// for protocols that know nothing of limits. It gets a share of its own.
    ///
    /// What was written waits in the stream's queue, so the stream is to its writers as one to a
    /// slow peer: `write` waits for room, `flush` until all was sent. Bytes are charged when the
    /// transport takes them, and a stream whose peer takes none waits for no turn.
    ///
    /// Limits, deadlines and observers are to be set on the stream that this gives, whose
    /// [addresses](IoStream::peer_address) are those of a stream in memory: ask before. Aborting it
    /// aborts the one it was made of.
    ///
    /// ```
    /// use std::time::Duration;
    /// use iostream::{IoStream, RateLimiter};
    ///
    /// # ioloop::testing::run(async {
    /// let upload = RateLimiter::new(1_000_000);
    /// let (mut client, server) = IoStream::pair();
    /// let server = server.limit_writes(&upload);
    /// let began = ioloop::IoLoop::current().now();
    /// server.write(&[0; 510_000]).await.unwrap();
    /// client.read_bytes(510_000).await.unwrap();
    /// assert_eq!(ioloop::IoLoop::current().now() - began, Duration::from_millis(500));
    /// # });
    /// ```
    #[track_caller]
    pub fn limit_writes(self, limiter: &RateLimiter) -> IoStream {
        IoStream::from_transport(Limited {
            stream: self,
            reads: None,
            writes: Some(Turns::of(limiter)),
            is_closed: false,
        })
    }

    /// The same stream, from which bytes are taken only as fast as `limiter` allows, so that a peer
    /// which sends faster is slowed down. It gets a share of its own. Of what the limit does to the
    /// peer, the buffers of both kernels hold back the first few hundred kilobytes.
    ///
    /// For the rest see [`limit_writes`](IoStream::limit_writes); a stream can be given both.
    ///
    /// ```
    /// use std::time::Duration;
    /// use iostream::{IoStream, RateLimiter};
    ///
    /// # ioloop::testing::run(async {
    /// let download = RateLimiter::new(1_000_000);
    /// let (client, server) = IoStream::pair();
    /// let mut server = server.limit_reads(&download);
    /// let began = ioloop::IoLoop::current().now();
    /// client.write(&[0; 510_000]).await.unwrap();
    /// server.read_bytes(510_000).await.unwrap();
    /// assert!(ioloop::IoLoop::current().now() - began >= Duration::from_millis(500));
    /// # });
    /// ```
    #[track_caller]
    pub fn limit_reads(self, limiter: &RateLimiter) -> IoStream {
        IoStream::from_transport(Limited {
            stream: self,
            reads: Some(Turns::of(limiter)),
            writes: None,
            is_closed: false,
        })
    }
}

impl WriteHalf {
    /// Writes all of `data`, in turns of `limiter`'s. While the peer takes nothing, it waits for no
    /// turn, and so is in nobody's way.
    ///
    /// What is queued or written without a limiter passes free, between two turns if need be. Bytes
    /// are charged when the stream has taken them: at most 80 KiB of them wait for a slow peer.
    /// Small pieces are gathered, and sent with one system call before the loop waits.
    ///
    /// # Errors
    /// As [`write`](WriteHalf::write); the stream's deadline ends the wait for a turn too. What was
    /// taken before stays taken.
    ///
    /// # Cancel safety
    /// A part may have been taken when it is dropped. Where that matters, use
    /// [`permit`](RateLimiter::permit).
    ///
    /// ```
    /// use iostream::{IoStream, RateLimiter};
    ///
    /// # ioloop::testing::run(async {
    /// let upload = RateLimiter::new(1_000_000);
    /// let (mut client, server) = IoStream::pair();
    /// server.writer().write_limited(&upload, b"hello").await.unwrap();
    /// assert_eq!(client.read_bytes(5).await.unwrap(), b"hello");
    /// # });
    /// ```
    pub fn write_limited<'a>(
        &'a self,
        limiter: &'a RateLimiter,
        data: &'a [u8],
    ) -> impl Future<Output = Result<(), Error>> + 'a {
        self.shared().write_limited(limiter, data)
    }
}

impl Shared {
    async fn write_limited(
        self: &Rc<Self>,
        limiter: &RateLimiter,
        mut data: &[u8],
    ) -> Result<(), Error> {
        while !data.is_empty() {
            poll_fn(|context| self.poll_taking(context)).await?;
            let grant = self.turn(limiter.permit(data.len())).await?;
            let (piece, rest) = data.split_at(grant.bytes());
            if piece.len() <= GATHERED_MAX && self.queued_len() + piece.len() <= QUEUED_MAX {
                self.send_at_end_of_turn(piece);
            } else {
                self.write(piece).await?;
            }
            grant.charge(piece.len());
            data = rest;
        }
        // As every write, this fails on a stream that has ended, also if there is nothing to do.
        self.check_writable()
    }

    /// Waits while the transport has refused something: what is queued for the end of the loop's
    /// turn was not offered to it yet.
    fn poll_taking(self: &Rc<Self>, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        if self.driving.get() {
            ready!(self.poll_flush(context))?;
        }
        self.check_writable()?;
        if self.must_yield(COST_OF_MESSAGE, context) {
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }

    /// Waits for a turn, for the end of the stream, or for its deadline.
    async fn turn(self: &Rc<Self>, permit: Permit) -> Result<Grant, Error> {
        let mut permit = pin!(permit);
        poll_fn(|context| {
            self.check_writable()?;
            match permit.as_mut().poll(context) {
                Poll::Ready(grant) => Poll::Ready(Ok(grant)),
                Poll::Pending => {
                    ready!(self.poll_progress(context))?;
                    Poll::Pending
                }
            }
        })
        .await
    }
}

/// A transport that is another stream, less fast.
struct Limited {
    stream: IoStream,
    reads: Option<Turns>,
    writes: Option<Turns>,
    /// The peer was told that no more will come.
    is_closed: bool,
}

/// One direction's membership in a limiter, and what it waits for.
struct Turns {
    limiter: RateLimiter,
    permit: Option<Permit>,
}

impl Turns {
    fn of(limiter: &RateLimiter) -> Turns {
        Turns {
            limiter: limiter.clone(),
            permit: None,
        }
    }

    /// Leaves the ring if the stream has to wait for something else first.
    fn unless_pending<R>(&mut self, polled: Poll<R>) -> Poll<R> {
        if polled.is_pending() {
            self.permit = None;
        }
        polled
    }

    fn poll(&mut self, context: &mut Context<'_>, max: usize) -> Poll<Grant> {
        let permit = self
            .permit
            .get_or_insert_with(|| self.limiter.permit(max.max(1)));
        let grant = ready!(Pin::new(permit).poll(context));
        self.permit = None;
        Poll::Ready(grant)
    }
}

impl AsyncRead for Limited {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let Some(turns) = &mut this.reads else {
            return Pin::new(&mut this.stream).poll_read(context, buffer);
        };
        let shared = this.stream.shared();
        if shared.unread_len() == 0 && shared.read_end.get().is_none() {
            ready!(turns.unless_pending(shared.poll_ready(Waiter::Reader, context)))?;
        }
        let grant = ready!(turns.poll(context, buffer.len()));
        let most = grant.bytes().min(buffer.len());
        let count = ready!(Pin::new(&mut this.stream).poll_read(context, &mut buffer[..most]))?;
        grant.charge(count);
        Poll::Ready(Ok(count))
    }
}

impl AsyncWrite for Limited {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let Some(turns) = &mut this.writes else {
            return Pin::new(&mut this.stream).poll_write(context, buffer);
        };
        let shared = this.stream.shared();
        // What was written before it was limited goes first.
        ready!(turns.unless_pending(shared.poll_flush(context)))?;
        shared.check_writable()?;
        ready!(turns.unless_pending(shared.poll_ready(Waiter::Sender, context)))?;
        let grant = ready!(turns.poll(context, buffer.len()));
        let piece = &buffer[..grant.bytes().min(buffer.len())];
        let count = ready!(shared.poll_send(context, &[IoSlice::new(piece)]))?;
        grant.charge(count);
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_close(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(Pin::new(&mut this.stream).poll_close(context))?;
        this.is_closed = true;
        Poll::Ready(Ok(()))
    }
}

impl Drop for Limited {
    /// The stream around it was aborted, or broke: its peer must not take that for a good end.
    fn drop(&mut self) {
        if !self.is_closed {
            self.stream.shared().abort();
        }
    }
}

/// A longer piece is worth a system call of its own, and none of its bytes is copied: gathering
/// pieces of 9,000 bytes takes a fifth more CPU time in all.
const GATHERED_MAX: usize = 4 * 1024;

/// What is gathered at most before it is sent: a quarter of the largest turn, behind which all of
/// it may have to wait.
const QUEUED_MAX: usize = 16 * 1024;
