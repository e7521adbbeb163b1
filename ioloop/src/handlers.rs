//! What a descriptor's owner sees of the loop: interests, events, ids, and closures as handlers.

use std::cell::RefCell;
use std::fmt;
use std::num::NonZero;
use std::ops::BitOr;
use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;

/// Which directions of a descriptor are watched.
///
/// ```
/// use ioloop::Interest;
///
/// let both = Interest::READ | Interest::WRITE;
/// assert!(both.contains(Interest::READ));
/// assert_eq!(both.without(Interest::READ), Interest::WRITE);
/// ```
#[derive(Clone, Copy, Default, Eq, Hash, PartialEq)]
pub struct Interest(u8);

impl Interest {
    /// Nothing: the descriptor is not in the poller at all, so not even a hang-up is reported.
    pub const NONE: Interest = Interest(0);
    /// Bytes to read, a connection to accept, or the end of the stream.
    pub const READ: Interest = Interest(1);
    /// Room to write.
    pub const WRITE: Interest = Interest(2);
    /// Both directions.
    pub const BOTH: Interest = Interest(3);

    /// Reading if `read`, writing if `write`.
    pub(crate) const fn of(read: bool, write: bool) -> Interest {
        Interest(read as u8 | (write as u8) << 1)
    }

    /// Whether every direction of `other` is in `self`.
    pub const fn contains(self, other: Interest) -> bool {
        self.0 & other.0 == other.0
    }

    /// The directions of `self` that are not in `other`.
    pub const fn without(self, other: Interest) -> Interest {
        Interest(self.0 & !other.0)
    }

    /// The directions that are in both.
    pub const fn and(self, other: Interest) -> Interest {
        Interest(self.0 & other.0)
    }

    /// Whether there is no direction in it.
    pub const fn is_none(self) -> bool {
        self.0 == 0
    }
}

impl BitOr for Interest {
    type Output = Interest;

    fn bitor(self, other: Interest) -> Interest {
        Interest(self.0 | other.0)
    }
}

impl fmt::Debug for Interest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match *self {
            Interest::NONE => "none",
            Interest::READ => "read",
            Interest::WRITE => "write",
            _ => "read+write",
        })
    }
}

/// Names a registration with its loop. Ids are not reused: a stale one never reaches a successor.
///
/// ```
/// # use {ioloop::{Interest, IoLoop}, std::{os::unix::net::UnixStream, rc::Rc}};
/// # fn main() -> std::io::Result<()> {
/// let io_loop = IoLoop::current();
/// let (ours, _theirs) = UnixStream::pair()?;
/// let id = io_loop.add_handler(Rc::new(ours), Interest::READ, |_, _| {})?;
/// assert!(io_loop.remove_handler(id));
/// assert!(!io_loop.remove_handler(id), "it was removed already");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct HandlerId {
    pub(crate) index: u32,
    /// Not zero, so that having no id takes no room.
    pub(crate) version: NonZero<u32>,
}

/// What the kernel said about a descriptor.
///
/// A hang-up or an error sets `readable` and `writable` as well, so that code which looks at
/// those two alone finds out by reading or writing.
///
/// ```
/// # use {ioloop::{Interest, IoLoop}, std::{os::unix::net::UnixStream, rc::Rc}};
/// # fn main() -> std::io::Result<()> {
/// let io_loop = IoLoop::current();
/// let (ours, theirs) = UnixStream::pair()?;
/// drop(theirs);
/// io_loop.add_handler(Rc::new(ours), Interest::READ, |_, event| {
///     assert!(event.readable && event.hang_up);
///     IoLoop::current().remove_handler(event.id);
/// })?;
/// io_loop.turn(None);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Event {
    /// The registration that the event belongs to.
    pub id: HandlerId,
    /// A read will not block: there are bytes, or the end of the stream, or an error.
    pub readable: bool,
    /// A write will not block: there is room, or an error.
    pub writable: bool,
    /// Both directions are at their end, or the descriptor has an error pending.
    pub hang_up: bool,
}

impl Event {
    /// The directions that are ready, as an interest.
    pub fn directions(&self) -> Interest {
        Interest::of(self.readable, self.writable)
    }
}

/// An object that the loop calls when its descriptor is ready; [`IoLoop::add_source`] registers it.
///
/// Closures are enough for most uses ([`IoLoop::add_handler`]). Implement this where the object
/// should be its own handler, so that a registration costs no further allocation: streams do.
///
/// `as_fd` must answer the same descriptor for as long as the object is registered. If it does
/// not, the loop refuses to change the registration and keeps the object until it closes.
///
/// [`IoLoop::add_handler`]: crate::IoLoop::add_handler
/// [`IoLoop::add_source`]: crate::IoLoop::add_source
///
/// ```
/// # use {ioloop::{Event, Interest, IoLoop, Source}, std::{io::Read, rc::Rc}};
/// # use std::os::{fd::{AsFd, BorrowedFd}, unix::net::UnixStream};
/// struct Printer(UnixStream);
///
/// impl AsFd for Printer {
///     fn as_fd(&self) -> BorrowedFd<'_> {
///         self.0.as_fd()
///     }
/// }
///
/// impl Source for Printer {
///     fn ready(self: Rc<Self>, event: Event) {
///         let mut bytes = [0; 64];
///         let count = (&self.0).read(&mut bytes).unwrap();
///         assert_eq!(&bytes[..count], b"hello");
///         IoLoop::current().remove_handler(event.id);
///     }
/// }
///
/// # fn main() -> std::io::Result<()> {
/// let (ours, mut theirs) = UnixStream::pair()?;
/// IoLoop::current().add_source(Rc::new(Printer(ours)), Interest::READ)?;
/// std::io::Write::write_all(&mut theirs, b"hello")?;
/// IoLoop::current().turn(None);
/// # Ok(())
/// # }
/// ```
pub trait Source: AsFd {
    /// Called once per turn in which the descriptor is ready in a direction that is watched.
    fn ready(self: Rc<Self>, event: Event);
}

/// A descriptor with a closure that is called when it is ready.
pub(crate) struct Handler<S, F> {
    source: Rc<S>,
    /// Empty while the closure runs, so that no borrow is alive while user code runs.
    callback: RefCell<Option<F>>,
}

impl<S, F> Handler<S, F> {
    pub(crate) fn new(source: Rc<S>, callback: F) -> Self {
        Handler {
            source,
            callback: RefCell::new(Some(callback)),
        }
    }
}

impl<S: AsFd, F> AsFd for Handler<S, F> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.source.as_fd()
    }
}

impl<S: AsFd, F: FnMut(&S, Event)> Source for Handler<S, F> {
    fn ready(self: Rc<Self>, event: Event) {
        let callback = self.callback.borrow_mut().take();
        // A closure that panicked is gone; the loop has removed its registration.
        if let Some(mut callback) = callback {
            callback(&self.source, event);
            *self.callback.borrow_mut() = Some(callback);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interest_is_a_set() {
        assert_eq!(Interest::READ | Interest::WRITE, Interest::BOTH);
        assert_eq!(Interest::BOTH.without(Interest::BOTH), Interest::NONE);
        assert!(Interest::NONE.is_none());
        assert!(!Interest::READ.contains(Interest::BOTH));
        assert_eq!(Interest::BOTH.and(Interest::WRITE), Interest::WRITE);
        assert_eq!(format!("{:?}", Interest::BOTH), "read+write");
    }
}
