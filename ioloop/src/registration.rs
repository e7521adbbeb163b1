//! A source's own place in its loop: armed when somebody waits, disarmed when nobody does.

use std::cell::Cell;
use std::fmt;
use std::io;
use std::panic::Location;
use std::rc::Rc;

use crate::handlers::{HandlerId, Interest, Source};
use crate::io_loop::IoLoop;
use crate::places::Place;

/// What an object that is its own [`Source`] keeps of its registration.
///
/// Under level-triggered readiness a direction that nobody waits for must leave the poller, or
/// the loop spins. Doing that at once would cost a system call per wait. So directions are armed
/// by the first [`want`](Registration::want), stay armed, and are disarmed by the first event
/// that finds nobody waiting ([`unwanted`](Registration::unwanted)): a keep-alive connection then
/// needs no call per request.
///
/// ```
/// use std::{os::fd::{AsFd, BorrowedFd}, os::unix::net::UnixStream, rc::Rc};
/// use ioloop::{Event, Interest, IoLoop, Registration, Source};
///
/// struct Drain {
///     stream: UnixStream,
///     registration: Registration,
/// }
///
/// impl AsFd for Drain {
///     fn as_fd(&self) -> BorrowedFd<'_> {
///         self.stream.as_fd()
///     }
/// }
///
/// impl Source for Drain {
///     fn ready(self: Rc<Self>, event: Event) {
///         self.registration.unwanted(event.directions());
///     }
/// }
///
/// # fn main() -> std::io::Result<()> {
/// let (stream, _theirs) = UnixStream::pair()?;
/// let registration = Registration::new(IoLoop::current(), std::panic::Location::caller());
/// let drain = Rc::new(Drain { stream, registration });
/// drain.registration.want(Interest::READ, || drain.clone())?;
/// drain.registration.remove();
/// # Ok(())
/// # }
/// ```
pub struct Registration {
    io_loop: IoLoop,
    place: Place,
    id: Cell<Option<HandlerId>>,
    /// Equal to what the loop's table holds for `id`.
    armed: Cell<Interest>,
}

impl Registration {
    /// Not registered yet; that happens when something is wanted. `location` is what `dump()` and
    /// warnings name.
    pub fn new(io_loop: IoLoop, location: &'static Location<'static>) -> Registration {
        let place = io_loop.core.places.number(location);
        Registration {
            io_loop,
            place,
            id: Cell::new(None),
            armed: Cell::new(Interest::NONE),
        }
    }

    /// The loop it belongs to.
    pub fn io_loop(&self) -> &IoLoop {
        &self.io_loop
    }

    /// Somebody waits for `direction`: arms it if it is not. `source` is asked for the object
    /// that owns this when it is registered for the first time.
    ///
    /// # Errors
    /// Those of [`IoLoop::add_handler`] and [`IoLoop::update_handler`].
    pub fn want<S: Source + 'static>(
        &self,
        direction: Interest,
        source: impl FnOnce() -> Rc<S>,
    ) -> io::Result<()> {
        // A wait on a closed loop would never end.
        self.io_loop.check_open()?;
        if self.armed.get().contains(direction) {
            return Ok(());
        }
        self.arm(direction, source)
    }

    // Apart, since most waits find their direction armed.
    #[inline(never)]
    fn arm<S: Source + 'static>(
        &self,
        direction: Interest,
        source: impl FnOnce() -> Rc<S>,
    ) -> io::Result<()> {
        let wanted = self.armed.get() | direction;
        match self.id.get() {
            Some(id) => self.io_loop.update_handler(id, wanted)?,
            None => {
                let source: Rc<dyn Source> = source();
                let id = self.io_loop.add_source_at(&source, wanted, self.place)?;
                self.id.set(Some(id));
            }
        }
        self.armed.set(wanted);
        Ok(())
    }

    /// An event came for `directions`, and nobody waits for them: disarms them.
    pub fn unwanted(&self, directions: Interest) {
        let rest = self.armed.get().without(directions);
        if let (Some(id), true) = (self.id.get(), rest != self.armed.get()) {
            // It fails only if the loop is closed or has removed the source after a panic.
            let _ = self.io_loop.update_handler(id, rest);
            self.armed.set(rest);
        }
    }

    /// Leaves the loop, which then drops its reference to the object.
    pub fn remove(&self) {
        if let Some(id) = self.id.take() {
            self.armed.set(Interest::NONE);
            self.io_loop.remove_handler(id);
        }
    }
}

impl fmt::Debug for Registration {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Registration")
            .field("armed", &self.armed.get())
            .finish()
    }
}
