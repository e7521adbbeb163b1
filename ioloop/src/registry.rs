//! Registering descriptors with a loop, changing what they are watched for, and removing them.

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::panic::Location;
use std::rc::Rc;

use polling::PollMode;

use crate::handlers::{Event, Handler, HandlerId, Interest, Source};
use crate::io_loop::IoLoop;
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
        self.add_source_at(&source, interest, Location::caller())
    }

    pub(crate) fn add_source_at(
        &self,
        source: &Rc<dyn Source>,
        interest: Interest,
        location: &'static Location<'static>,
    ) -> io::Result<HandlerId> {
        if self.is_closed() {
            return Err(io::Error::new(
                io::ErrorKind::NotConnected,
                "the event loop is closed",
            ));
        }
        let fd = source.as_fd().as_raw_fd();
        let id = self
            .core
            .sources
            .borrow_mut()
            .insert(source.clone(), fd, location)?;
        if let Err(error) = self.watch(id, &**source, Interest::NONE, interest) {
            self.remove_handler(id);
            return Err(error);
        }
        Ok(id)
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
        let found = {
            let sources = self.core.sources.borrow();
            sources.source(id).zip(sources.registration(id))
        };
        let Some((source, (fd, before))) = found else {
            let message = "no such handler: it was removed";
            return Err(io::Error::new(io::ErrorKind::NotFound, message));
        };
        if before == interest {
            return Ok(());
        }
        if source.as_fd().as_raw_fd() != fd {
            let message = "the source answers another descriptor than the one registered";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        self.watch(id, &*source, before, interest)
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
        let registration = self.core.sources.borrow().registration(id);
        let Some((fd, interest)) = registration else {
            return false;
        };
        let taken = self.core.sources.borrow_mut().take(id);
        let Some(source) = taken else { return false };
        if source.as_fd().as_raw_fd() != fd {
            self.core.sources.borrow_mut().retain(source);
        } else if !interest.is_none() {
            // It fails only for a descriptor that was closed behind our back, and is then gone.
            let _ = self.core.poller.delete(source.as_fd());
        }
        true
    }

    /// Brings the poller from `before` to `after`. No interest means not in the poller.
    fn watch(
        &self,
        id: HandlerId,
        source: &dyn Source,
        before: Interest,
        after: Interest,
    ) -> io::Result<()> {
        let (poller, event) = (&self.core.poller, poller_event(id.key(), after));
        match (before.is_none(), after.is_none()) {
            (true, true) => {}
            (true, false) => register(poller, source, event, PollMode::Level)?,
            (false, true) => poller.delete(source.as_fd())?,
            (false, false) => poller.modify_with_mode(source.as_fd(), event, PollMode::Level)?,
        }
        self.core.sources.borrow_mut().set_interest(id, after);
        Ok(())
    }
}
