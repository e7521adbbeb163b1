//! Waiting with `.await` for any descriptor to become ready.

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::ops::Deref;
use std::os::fd::{AsFd, BorrowedFd};
use std::panic::Location;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use slab::Slab;

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
    readers: RefCell<Waiters>,
    writers: RefCell<Waiters>,
}

/// Who waits for one direction.
#[derive(Default)]
struct Waiters {
    /// Counts events: whoever began to wait in an earlier round has been answered.
    round: u64,
    wakers: Slab<Waker>,
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
    /// `WouldBlock` if this is called by a waker that the loop is waking because of an event of
    /// this very descriptor. What was watched is dropped then.
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

    fn ready(&self, direction: Interest) -> Wait<'_, S> {
        Wait {
            inner: &self.inner,
            direction,
            place: None,
        }
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

/// One wait for one direction.
struct Wait<'a, S: AsFd + 'static> {
    inner: &'a Rc<Inner<S>>,
    direction: Interest,
    /// Our place among those who wait, from the first poll on.
    place: Option<Place>,
}

#[derive(Clone, Copy)]
struct Place {
    round: u64,
    key: usize,
}

impl<S: AsFd + 'static> Future for Wait<'_, S> {
    type Output = io::Result<()>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Wakers are user code: they are cloned before, and dropped after the table is borrowed.
        let waker = context.waker().clone();
        let waiters = self.inner.waiters(self.direction);
        if let Some(place) = self.place {
            let replaced = waiters.borrow_mut().replace(place, waker);
            return match replaced {
                Ok(_old) => Poll::Pending,
                Err(_answered) => Poll::Ready(Ok(())),
            };
        }
        let registration = &self.inner.registration;
        registration.want(self.direction, || self.inner.clone())?;
        let place = waiters.borrow_mut().insert(waker);
        self.place = Some(place);
        Poll::Pending
    }
}

impl<S: AsFd + 'static> Drop for Wait<'_, S> {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            let waker = self
                .inner
                .waiters(self.direction)
                .borrow_mut()
                .remove(place);
            drop(waker);
        }
    }
}

impl Waiters {
    fn insert(&mut self, waker: Waker) -> Place {
        Place {
            round: self.round,
            key: self.wakers.insert(waker),
        }
    }

    /// Gives back the old waker, or the new one if an event has answered the wait.
    fn replace(&mut self, place: Place, waker: Waker) -> Result<Waker, Waker> {
        if place.round != self.round {
            return Err(waker);
        }
        Ok(std::mem::replace(&mut self.wakers[place.key], waker))
    }

    fn remove(&mut self, place: Place) -> Option<Waker> {
        (place.round == self.round).then(|| self.wakers.remove(place.key))
    }

    /// An event: everybody is answered.
    fn take_all(&mut self) -> Slab<Waker> {
        self.round += 1;
        std::mem::take(&mut self.wakers)
    }
}

impl<S> Inner<S> {
    fn waiters(&self, direction: Interest) -> &RefCell<Waiters> {
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
            let waiting = self.waiters(direction).borrow_mut().take_all();
            if waiting.is_empty() {
                self.registration.unwanted(direction);
            }
            waiting.into_iter().for_each(|(_, waker)| waker.wake());
        }
    }
}
