//! Waiting with `.await` for any descriptor to become ready.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::ops::Deref;
use std::os::fd::{AsFd, BorrowedFd};
use std::panic::Location;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use crate::handlers::{Event, Interest, Source};
use crate::io_loop::IoLoop;
use crate::registration::Registration;

/// Any non-blocking descriptor, with `readable().await` and `writable().await`.
///
/// For what is not a stream of bytes: UDP sockets, timers, inotify, devices. It dereferences to
/// what it watches. Any number of tasks may wait. Dropping it ends the watching.
///
/// ```
/// use std::net::UdpSocket;
/// use ioloop::{IoLoop, Watched};
///
/// # fn main() -> std::io::Result<()> {
/// let socket = UdpSocket::bind("127.0.0.1:0")?;
/// socket.set_nonblocking(true)?;
/// socket.send_to(b"ping", socket.local_addr()?)?;
/// let watched = Watched::new(socket);
/// IoLoop::current().run_until(async {
///     let mut bytes = [0; 16];
///     let count = watched.read_with(|socket| socket.recv(&mut bytes)).await?;
///     assert_eq!(&bytes[..count], b"ping");
///     Ok(())
/// })
/// # }
/// ```
pub struct Watched<S: AsFd + 'static> {
    inner: Rc<Inner<S>>,
}

struct Inner<S> {
    source: S,
    registration: Registration,
    readers: RefCell<Vec<Waker>>,
    writers: RefCell<Vec<Waker>>,
}

impl<S: AsFd + 'static> Watched<S> {
    /// Watches `source` on this thread's loop. The descriptor must be non-blocking; it enters the
    /// poller when somebody first waits.
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// let (ours, _theirs) = std::os::unix::net::UnixStream::pair()?;
    /// ours.set_nonblocking(true)?;
    /// let watched = ioloop::Watched::new(ours);
    /// # Ok(())
    /// # }
    /// ```
    #[track_caller]
    pub fn new(source: S) -> Watched<S> {
        let registration = Registration::new(IoLoop::current(), Location::caller());
        let (readers, writers) = (RefCell::default(), RefCell::default());
        Watched {
            inner: Rc::new(Inner {
                source,
                registration,
                readers,
                writers,
            }),
        }
    }

    /// Waits until a read will not block.
    ///
    /// # Errors
    /// What the system says when it refuses to watch the descriptor.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
    /// ours.set_nonblocking(true)?;
    /// drop(theirs);
    /// let watched = ioloop::Watched::new(ours);
    /// ioloop::IoLoop::current().run_until(watched.readable())
    /// # }
    /// ```
    pub async fn readable(&self) -> io::Result<()> {
        self.ready(Interest::READ).await
    }

    /// Waits until a write will not block. As [`readable`](Watched::readable).
    ///
    /// # Errors
    /// What the system says when it refuses to watch the descriptor.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// let (ours, _theirs) = std::os::unix::net::UnixStream::pair()?;
    /// ours.set_nonblocking(true)?;
    /// let watched = ioloop::Watched::new(ours);
    /// ioloop::IoLoop::current().run_until(watched.writable())
    /// # }
    /// ```
    pub async fn writable(&self) -> io::Result<()> {
        self.ready(Interest::WRITE).await
    }

    /// Tries `operation` now, and again each time a read will not block, until it gives something
    /// else than `WouldBlock`.
    ///
    /// # Errors
    /// Those of the operation, and of [`readable`](Watched::readable).
    ///
    /// # Cancel safety
    /// Nothing is lost: the operation is tried only when its result is passed on.
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// use std::io::{Read, Write};
    ///
    /// let (ours, mut theirs) = std::os::unix::net::UnixStream::pair()?;
    /// ours.set_nonblocking(true)?;
    /// theirs.write_all(b"x")?;
    /// let watched = ioloop::Watched::new(ours);
    /// let mut byte = [0];
    /// let read = watched.read_with(|mut stream| stream.read(&mut byte));
    /// assert_eq!(ioloop::IoLoop::current().run_until(read)?, 1);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn read_with<R>(
        &self,
        mut operation: impl FnMut(&S) -> io::Result<R>,
    ) -> io::Result<R> {
        loop {
            match operation(&self.inner.source) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.readable().await?,
                result => return result,
            }
        }
    }

    /// Tries `operation` now, and again each time a write will not block.
    ///
    /// # Errors
    /// Those of the operation, and of [`writable`](Watched::writable).
    ///
    /// # Cancel safety
    /// Nothing is lost: the operation is tried only when its result is passed on.
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// use std::io::Write;
    ///
    /// let (ours, _theirs) = std::os::unix::net::UnixStream::pair()?;
    /// ours.set_nonblocking(true)?;
    /// let watched = ioloop::Watched::new(ours);
    /// let write = watched.write_with(|mut stream| stream.write(b"x"));
    /// assert_eq!(ioloop::IoLoop::current().run_until(write)?, 1);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn write_with<R>(
        &self,
        mut operation: impl FnMut(&S) -> io::Result<R>,
    ) -> io::Result<R> {
        loop {
            match operation(&self.inner.source) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.writable().await?,
                result => return result,
            }
        }
    }

    /// Ends the watching and gives back what was watched.
    ///
    /// # Errors
    /// `WouldBlock` if a future of this is still being polled, which takes a task that drops it
    /// while it runs: try again later.
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// let (ours, _theirs) = std::os::unix::net::UnixStream::pair()?;
    /// let watched = ioloop::Watched::new(ours);
    /// let ours = watched.into_inner()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn into_inner(self) -> io::Result<S> {
        self.inner.registration.remove();
        let inner = self.inner.clone();
        drop(self);
        Rc::try_unwrap(inner)
            .map(|inner| inner.source)
            .map_err(|_| io::ErrorKind::WouldBlock.into())
    }

    async fn ready(&self, direction: Interest) -> io::Result<()> {
        let asked = Cell::new(false);
        std::future::poll_fn(|context| {
            if asked.replace(true) && !self.inner.is_waiting(direction, context.waker()) {
                return Poll::Ready(Ok(()));
            }
            self.inner.poll_wait(direction, context)
        })
        .await
    }
}

impl<S: AsFd + 'static> Deref for Watched<S> {
    type Target = S;

    fn deref(&self) -> &S {
        &self.inner.source
    }
}

impl<S: AsFd + 'static> Drop for Watched<S> {
    fn drop(&mut self) {
        self.inner.registration.remove();
    }
}

impl<S: AsFd + fmt::Debug + 'static> fmt::Debug for Watched<S> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_tuple("Watched")
            .field(&self.inner.source)
            .finish()
    }
}

impl<S: AsFd + 'static> Inner<S> {
    /// Whether `waker` is still in the list, which an event empties.
    fn is_waiting(&self, direction: Interest, waker: &Waker) -> bool {
        self.waiters(direction)
            .borrow()
            .iter()
            .any(|waiting| waiting.will_wake(waker))
    }

    fn poll_wait(
        self: &Rc<Self>,
        direction: Interest,
        context: &Context<'_>,
    ) -> Poll<io::Result<()>> {
        if let Err(error) = self.registration.want(direction, || self.clone()) {
            return Poll::Ready(Err(error));
        }
        if !self.is_waiting(direction, context.waker()) {
            self.waiters(direction)
                .borrow_mut()
                .push(context.waker().clone());
        }
        Poll::Pending
    }

    fn waiters(&self, direction: Interest) -> &RefCell<Vec<Waker>> {
        if direction == Interest::READ {
            &self.readers
        } else {
            &self.writers
        }
    }
}

impl<S: AsFd> AsFd for Inner<S> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.source.as_fd()
    }
}

impl<S: AsFd + 'static> Source for Inner<S> {
    fn ready(self: Rc<Self>, event: Event) {
        for direction in [Interest::READ, Interest::WRITE] {
            if !event.directions().contains(direction) {
                continue;
            }
            let waiting = self.waiters(direction).take();
            if waiting.is_empty() {
                self.registration.unwanted(direction);
            }
            waiting.into_iter().for_each(Waker::wake);
        }
    }
}
