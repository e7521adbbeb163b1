//! Registering descriptors with a loop, changing what they are watched for, and removing them.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::panic::Location;
use std::rc::Rc;

use polling::PollMode;

use crate::handlers::{Event, Handler, HandlerId, Interest, Source};
use crate::io_loop::IoLoop;
use crate::places::Place;
use crate::sources::{poller_event, register};

impl IoLoop {
    /// Calls `handler` whenever `source` is ready in a direction of `interest`.
    ///
    /// Readiness is level-triggered: a handler that leaves bytes unread is called again in the
    /// next turn. The loop keeps `source` until the handler is removed; a handler that panics is
    /// removed. Handlers may add, update and remove handlers, themselves included.
    ///
    /// # Errors
    /// `AlreadyExists` if the descriptor is watched already; `PermissionDenied` if it is one that
    /// is always ready, such as a regular file; `NotConnected` if the loop is closed.
    ///
    /// ```
    /// use std::{io::Write, os::unix::net::UnixStream, rc::Rc};
    /// use ioloop::{Interest, IoLoop};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let io_loop = IoLoop::current();
    /// let (ours, mut theirs) = UnixStream::pair()?;
    /// io_loop.add_handler(Rc::new(ours), Interest::READ, |_stream, event| {
    ///     println!("ready: {event:?}");
    ///     IoLoop::current().remove_handler(event.id);
    ///     IoLoop::current().stop();
    /// })?;
    /// theirs.write_all(b"x")?;
    /// io_loop.start();
    /// # Ok(())
    /// # }
    /// ```
    #[track_caller]
    pub fn add_handler<S: AsFd + 'static>(
        &self,
        source: Rc<S>,
        interest: Interest,
        handler: impl FnMut(&S, Event) + 'static,
    ) -> io::Result<HandlerId> {
        self.add_source(Rc::new(Handler::new(source, handler)), interest)
    }

    /// Registers an object that is its own handler: [`add_handler`](IoLoop::add_handler) without
    /// the closure. The loop keeps the object until it is removed.
    ///
    /// # Errors
    /// As for [`add_handler`](IoLoop::add_handler).
    ///
    /// ```
    /// # use {ioloop::{Event, Interest, IoLoop, Source}, std::rc::Rc};
    /// # use std::os::{fd::{AsFd, BorrowedFd}, unix::net::UnixStream};
    /// # struct Idle(UnixStream);
    /// # impl AsFd for Idle { fn as_fd(&self) -> BorrowedFd<'_> { self.0.as_fd() } }
    /// # impl Source for Idle { fn ready(self: Rc<Self>, _: Event) {} }
    /// # fn main() -> std::io::Result<()> {
    /// # let idle = Idle(UnixStream::pair()?.0);
    /// let io_loop = IoLoop::current();
    /// let id = io_loop.add_source(Rc::new(idle), Interest::NONE)?;
    /// io_loop.update_handler(id, Interest::READ)?;
    /// io_loop.remove_handler(id);
    /// # Ok(())
    /// # }
    /// ```
    #[track_caller]
    pub fn add_source(&self, source: Rc<dyn Source>, interest: Interest) -> io::Result<HandlerId> {
        let place = self.core.places.number(Location::caller());
        self.add_source_at(&source, interest, place)
    }

    pub(crate) fn add_source_at(
        &self,
        source: &Rc<dyn Source>,
        interest: Interest,
        place: Place,
    ) -> io::Result<HandlerId> {
        // The one call of `as_fd`, which is user code: nothing here may change between it and the
        // registration.
        let fd = source.as_fd();
        self.check_open()?;
        let id = self
            .core
            .sources
            .borrow_mut()
            .insert(source.clone(), fd.as_raw_fd(), place)?;
        if let Err(error) = self.watch(id, fd, Interest::NONE, interest) {
            self.remove_handler(id);
            return Err(error);
        }
        Ok(id)
    }

    /// An error if the loop is closed.
    pub(crate) fn check_open(&self) -> io::Result<()> {
        if self.is_closed() {
            let message = "the event loop is closed";
            return Err(io::Error::new(io::ErrorKind::NotConnected, message));
        }
        Ok(())
    }

    /// Changes what a descriptor is watched for.
    ///
    /// With [`Interest::NONE`] it leaves the poller, so not even a hang-up is reported, and comes
    /// back with the next update. Without a change this makes no system call.
    ///
    /// # Errors
    /// `NotFound` if the handler was removed; `InvalidInput` if the source answers another
    /// descriptor than the one that was registered.
    ///
    /// ```
    /// # use {ioloop::{Interest, IoLoop}, std::{os::unix::net::UnixStream, rc::Rc}};
    /// # fn main() -> std::io::Result<()> {
    /// # let (ours, _theirs) = UnixStream::pair()?;
    /// let io_loop = IoLoop::current();
    /// let id = io_loop.add_handler(Rc::new(ours), Interest::READ, |_, _| {})?;
    /// io_loop.update_handler(id, Interest::BOTH)?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn update_handler(&self, id: HandlerId, interest: Interest) -> io::Result<()> {
        let source = self.core.sources.borrow().source(id);
        let source = source.ok_or_else(no_such_handler)?;
        // User code, which may have removed this very handler: the table is asked after it.
        let fd = source.as_fd();
        let registration = self.core.sources.borrow().registration(id);
        let (registered, before) = registration.ok_or_else(no_such_handler)?;
        if before == interest {
            return Ok(());
        }
        if fd.as_raw_fd() != registered {
            let message = "the source answers another descriptor than the one registered";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        self.watch(id, fd, before, interest)
    }

    /// Removes a handler and drops it. Returns whether there was one.
    ///
    /// It is not called again, also if its event was already fetched in this turn.
    ///
    /// ```
    /// # use {ioloop::{Interest, IoLoop}, std::{os::unix::net::UnixStream, rc::Rc}};
    /// # fn main() -> std::io::Result<()> {
    /// # let (ours, _theirs) = UnixStream::pair()?;
    /// let io_loop = IoLoop::current();
    /// let id = io_loop.add_handler(Rc::new(ours), Interest::READ, |_, _| {})?;
    /// assert!(io_loop.remove_handler(id));
    /// # Ok(())
    /// # }
    /// ```
    pub fn remove_handler(&self, id: HandlerId) -> bool {
        let source = self.core.sources.borrow().source(id);
        let Some(source) = source else { return false };
        // First the user code, which may panic: the source is still registered, and in the table.
        let fd = source.as_fd();
        let taken = self.core.sources.borrow_mut().take(id);
        let Some(taken) = taken else { return false };
        if taken.interest.is_none() {
            // It is not in the poller.
        } else if fd.as_raw_fd() == taken.fd {
            // It fails only for a descriptor that was closed behind our back, and is then gone.
            let _ = self.core.poller.delete(fd);
        } else {
            self.core.sources.borrow_mut().retain(taken);
        }
        true
    }

    /// Stops watching a descriptor for urgent data, until its interest changes.
    pub(crate) fn ignore_urgent(&self, id: HandlerId) {
        let source = self.core.sources.borrow().source(id);
        let Some(source) = source else { return };
        let fd = source.as_fd();
        let registration = self.core.sources.borrow().registration(id);
        if let Some((registered, interest)) = registration {
            if fd.as_raw_fd() == registered && !interest.is_none() {
                let waiter = self.core.waiter.borrow();
                waiter.ignore_urgent(fd, id.key(), interest);
            }
        }
    }

    /// Brings the poller from `before` to `after`. No interest means not in the poller. `fd` has the
    /// number that the table holds for `id`.
    fn watch(
        &self,
        id: HandlerId,
        fd: BorrowedFd<'_>,
        before: Interest,
        after: Interest,
    ) -> io::Result<()> {
        let (poller, event) = (&self.core.poller, poller_event(id.key(), after));
        match (before.is_none(), after.is_none()) {
            (true, true) => {}
            (true, false) => register(poller, fd, event, PollMode::Level)?,
            (false, true) => poller.delete(fd)?,
            (false, false) => poller.modify_with_mode(fd, event, PollMode::Level)?,
        }
        self.core.sources.borrow_mut().set_interest(id, after);
        Ok(())
    }
}

fn no_such_handler() -> io::Error {
    let message = "no such handler: it was removed";
    io::Error::new(io::ErrorKind::NotFound, message)
}
