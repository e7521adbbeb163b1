//! The table of registered descriptors, and the one unsafe block: handing them to the poller.

use std::io;
use std::num::NonZero;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::rc::Rc;
use std::sync::Arc;

use polling::{Event as PollerEvent, PollMode, Poller};
use slab::Slab;

use crate::handlers::{HandlerId, Interest, Source};
use crate::places::Place;

/// Who lives in the poller, by versioned key.
///
/// Nothing here calls user code: the caller asks `as_fd`, once, before it borrows the table, and
/// drops what it gets back after the borrow has ended.
#[derive(Default)]
pub(crate) struct Sources {
    slots: Slab<Slot>,
    /// The version of the last registration. Versions are what makes a stale event or id miss.
    last_version: u32,
    /// Objects that changed their descriptor while they were registered. They stay until the loop
    /// is closed, since only they know whether the registered one is still open.
    retained: Vec<Taken>,
}

struct Slot {
    source: Rc<dyn Source>,
    place: Place,
    version: NonZero<u32>,
    /// The number that was registered. If `source.as_fd()` differs, we no longer touch the poller.
    fd: RawFd,
    /// The descriptor is in the poller exactly while this is not none.
    interest: Interest,
}

/// An entry that was taken out.
pub(crate) struct Taken {
    pub(crate) source: Rc<dyn Source>,
    pub(crate) place: Place,
    /// The number that was registered.
    pub(crate) fd: RawFd,
    /// None if the descriptor is not in the poller.
    pub(crate) interest: Interest,
}

/// A registered descriptor as `dump()` lists it.
pub(crate) struct SourceView {
    pub(crate) fd: RawFd,
    pub(crate) interest: Interest,
    pub(crate) place: Place,
}

impl Sources {
    /// Puts `source` into the table, not yet into the poller.
    pub(crate) fn insert(
        &mut self,
        source: Rc<dyn Source>,
        fd: RawFd,
        place: Place,
    ) -> io::Result<HandlerId> {
        let entry = self.slots.vacant_entry();
        let index = entry.key();
        if index >= INDEX_MAX {
            return Err(io::Error::other("the loop has no room for another handler"));
        }
        let version = NonZero::new((self.last_version.wrapping_add(1)) & HALF_MASK as u32);
        let version = version.unwrap_or(NonZero::<u32>::MIN);
        self.last_version = version.get();
        entry.insert(Slot {
            source,
            place,
            version,
            fd,
            interest: Interest::NONE,
        });
        Ok(HandlerId {
            index: index as u32,
            version,
        })
    }

    /// Takes an entry out; the caller drops it when no borrow is alive.
    pub(crate) fn take(&mut self, id: HandlerId) -> Option<Taken> {
        self.slot(id)?;
        Some(self.slots.remove(id.index as usize).into())
    }

    /// Keeps an entry alive until the loop is closed.
    pub(crate) fn retain(&mut self, taken: Taken) {
        self.retained.push(taken);
    }

    /// Takes everything out, for closing.
    pub(crate) fn take_all(&mut self) -> Vec<Taken> {
        let mut all = std::mem::take(&mut self.retained);
        all.extend(self.slots.drain().map(Taken::from));
        all
    }

    pub(crate) fn set_interest(&mut self, id: HandlerId, interest: Interest) {
        if self.slot(id).is_some() {
            self.slots[id.index as usize].interest = interest;
        }
    }

    pub(crate) fn source(&self, id: HandlerId) -> Option<Rc<dyn Source>> {
        self.slot(id).map(|slot| slot.source.clone())
    }

    /// The descriptor that was registered, and what it is watched for.
    pub(crate) fn registration(&self, id: HandlerId) -> Option<(RawFd, Interest)> {
        self.slot(id).map(|slot| (slot.fd, slot.interest))
    }

    /// What a dispatch needs: who to call, for what, and where it was made.
    pub(crate) fn dispatch(&self, id: HandlerId) -> Option<(Rc<dyn Source>, Interest, Place)> {
        self.slot(id)
            .map(|slot| (slot.source.clone(), slot.interest, slot.place))
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(crate) fn views(&self) -> impl Iterator<Item = SourceView> {
        self.slots.iter().map(|(_, slot)| SourceView {
            fd: slot.fd,
            interest: slot.interest,
            place: slot.place,
        })
    }

    fn slot(&self, id: HandlerId) -> Option<&Slot> {
        self.slots
            .get(id.index as usize)
            .filter(|slot| slot.version == id.version)
    }
}

impl From<Slot> for Taken {
    fn from(slot: Slot) -> Taken {
        Taken {
            source: slot.source,
            place: slot.place,
            fd: slot.fd,
            interest: slot.interest,
        }
    }
}

impl HandlerId {
    pub(crate) fn key(self) -> usize {
        (self.version.get() as usize) << HALF_BITS | self.index as usize
    }

    /// None for what is not a key of ours.
    pub(crate) fn from_key(key: usize) -> Option<HandlerId> {
        Some(HandlerId {
            index: (key & HALF_MASK) as u32,
            version: NonZero::new((key >> HALF_BITS) as u32)?,
        })
    }
}

/// What the poller is asked to watch for `interest`.
pub(crate) fn poller_event(key: usize, interest: Interest) -> PollerEvent {
    let (read, write) = (
        interest.contains(Interest::READ),
        interest.contains(Interest::WRITE),
    );
    PollerEvent::new(key, read, write)
}

/// Registers a descriptor; the only way into the poller.
///
/// Both callers go through this one function, so that the unsafe call stands once.
#[expect(
    unsafe_code,
    reason = "one of the workspace's two blocks, with its proof"
)]
pub(crate) fn register(
    poller: &Arc<Poller>,
    fd: BorrowedFd<'_>,
    event: PollerEvent,
    mode: PollMode,
) -> io::Result<()> {
    // SAFETY: `add_with_mode` asks that the descriptor leaves the poller before it is closed. Two
    // callers exist. `IoLoop::watch` registers what an `Rc<dyn Source>` in the table above has
    // answered, under the very number that the table holds for it. The table holds that `Rc` until
    // this number was deleted from the poller or, where `as_fd` answers another one by then
    // (`retain`), until the loop is closed, after which nothing waits on the poller: the table's
    // fields are private to this file, and `IoLoop::remove_handler` and `close` are all that takes
    // an `Rc` out. `Direct` registers its eventfd and its timerfd, and deletes them when it is
    // dropped. A source that closes its descriptor through interior mutability behind our back
    // breaks its own I/O safety; the poller then holds a number that the kernel has removed by
    // itself.
    unsafe { poller.add_with_mode(fd.as_raw_fd(), event, mode) }
}

/// Half a key is the slot's index, half its version.
const HALF_BITS: u32 = usize::BITS / 2;
const HALF_MASK: usize = (1 << HALF_BITS) - 1;

/// The three highest keys are `polling`'s own and the two below; indexes stay under all of them.
/// On 32-bit targets this is the limit of 65,533 handlers a loop.
const INDEX_MAX: usize = HALF_MASK - 2;

/// The key of the eventfd that wakes a loop.
pub(crate) const WAKE_KEY: usize = usize::MAX - 1;

/// The key of the timerfd that ends its long waits.
pub(crate) const TIMER_KEY: usize = usize::MAX - 2;

#[cfg(test)]
mod tests {
    use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
    use std::os::unix::net::UnixStream;
    use std::panic::Location;

    use super::*;
    use crate::handlers::Event;
    use crate::places::Places;

    struct Idle(OwnedFd);

    impl AsFd for Idle {
        fn as_fd(&self) -> BorrowedFd<'_> {
            self.0.as_fd()
        }
    }

    impl Source for Idle {
        fn ready(self: Rc<Self>, _: Event) {}
    }

    fn idle() -> Rc<dyn Source> {
        Rc::new(Idle(UnixStream::pair().unwrap().0.into()))
    }

    fn here() -> Place {
        Places::default().number(Location::caller())
    }

    #[test]
    #[cfg(target_pointer_width = "64")]
    fn a_slot_is_not_larger_than_it_was() {
        // Every idle connection pays for it.
        assert_eq!(size_of::<Slot>(), 32);
        assert_eq!(size_of::<Option<HandlerId>>(), 8);
    }

    #[test]
    fn versions_come_round_without_a_zero() {
        let mut sources = Sources {
            last_version: HALF_MASK as u32,
            ..Sources::default()
        };
        let id = sources.insert(idle(), 3, here()).unwrap();
        assert_eq!(id.version.get(), 1);
    }

    #[test]
    fn a_stale_id_does_not_reach_its_successor() {
        let mut sources = Sources::default();
        let first = sources.insert(idle(), 3, here()).unwrap();
        assert!(sources.take(first).is_some());
        let second = sources.insert(idle(), 3, here()).unwrap();
        assert_eq!(first.index, second.index, "the slot is reused");
        assert!(sources.source(first).is_none());
        assert!(sources.take(first).is_none());
        assert!(sources.source(second).is_some());
    }

    #[test]
    fn keys_round_trip_and_keep_clear_of_the_reserved_ones() {
        let highest = HandlerId {
            index: INDEX_MAX as u32 - 1,
            version: NonZero::new(HALF_MASK as u32).unwrap(),
        };
        assert_eq!(HandlerId::from_key(highest.key()), Some(highest));
        assert!(highest.key() < TIMER_KEY);
    }
}
