//! What the halves of a stream share: the transport, its readiness, and who owns what is left.

use std::cell::{Cell, OnceCell};
use std::os::fd::{AsFd, BorrowedFd};
use std::panic::Location;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::{fmt, io};

use ioloop::{Event, Interest, IoLoop, Notice, Notify, Registration, Source};

use crate::deadline::Deadline;
use crate::error::CloseReason;
use crate::extras::Extras;
use crate::limits::Limits;
use crate::on_close::OnClose;
use crate::outgoing::Outgoing;
use crate::transport::Transport;
use crate::unread::Unread;

/// One stream. Its handles are a read half and any number of write halves; when the last is gone
/// the loop owns it until what was written has left.
///
/// State that user code may run beside (parsers, wakers, boxed transports) is taken out of its
/// cell, used, and put back: no borrow is ever alive while user code runs.
pub(crate) struct Shared {
    pub(crate) transport: Transport,
    pub(crate) registration: Registration,
    /// Directions in which a system call is worth trying: set by events, cleared by short counts.
    ready: Cell<Interest>,
    /// Directions that somebody waits for. An event for another one disarms that.
    waiting: Cell<Interest>,
    /// Who reads. It stays between waits: a task that reads in a loop needs no new waker.
    reader: Cell<Option<Waker>>,
    /// None unless bytes have arrived that nobody has read.
    pub(crate) unread: Cell<Option<Box<Unread>>>,
    /// None unless bytes were written that the transport has not taken.
    pub(crate) outgoing: Cell<Option<Box<Outgoing>>>,
    pub(crate) deadline: Cell<Deadline>,
    /// Not there until a setting is changed, the transport has refused bytes, or somebody waits for
    /// the peer to close.
    extras: OnceCell<Box<Extras>>,
    on_close: Cell<Option<Rc<dyn OnClose>>>,
    /// Why no more bytes will be received. Those in `unread` are still there.
    pub(crate) read_end: Cell<Option<CloseReason>>,
    /// Why no more bytes will be sent. `outgoing` is empty from then on.
    pub(crate) write_end: Cell<Option<CloseReason>>,
    pub(crate) has_reader: Cell<bool>,
    /// The read half is all of an `IoStream`: it counts as a writer too, and is one word smaller
    /// than two halves would be.
    pub(crate) is_whole: Cell<bool>,
    /// The driver task runs: it alone sends.
    pub(crate) driving: Cell<bool>,
    /// The loop will tell us of the end of this turn.
    pub(crate) flush_is_due: Cell<bool>,
    /// Nobody may write any more: what is queued will be sent, then the end.
    pub(crate) is_finishing: Cell<bool>,
    /// The transport was told that no more bytes will be sent.
    pub(crate) half_closed: Cell<bool>,
    /// What was done without waiting, against the budget that keeps one stream from holding the
    /// loop.
    spent: Cell<u16>,
    /// Write halves, and the whole stream if there is one.
    pub(crate) writers: Cell<u32>,
}

/// Who waits for the transport: the one reader, those that watch for the peer to close, or the
/// driver that sends.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(crate) enum Waiter {
    Reader,
    Watcher,
    Sender,
}

impl Waiter {
    fn direction(self) -> Interest {
        match self {
            Waiter::Reader | Waiter::Watcher => Interest::READ,
            Waiter::Sender => Interest::WRITE,
        }
    }
}

impl Shared {
    pub(crate) fn new(transport: Transport, location: &'static Location<'static>) -> Rc<Shared> {
        Rc::new(Shared {
            transport,
            registration: Registration::new(IoLoop::current(), location),
            // Optimistic: bytes have often arrived before the first read.
            ready: Cell::new(Interest::BOTH),
            waiting: Cell::new(Interest::NONE),
            reader: Cell::new(None),
            unread: Cell::new(None),
            outgoing: Cell::new(None),
            deadline: Cell::default(),
            extras: OnceCell::new(),
            on_close: Cell::new(None),
            read_end: Cell::new(None),
            write_end: Cell::new(None),
            has_reader: Cell::new(true),
            is_whole: Cell::new(true),
            driving: Cell::new(false),
            flush_is_due: Cell::new(false),
            is_finishing: Cell::new(false),
            half_closed: Cell::new(false),
            spent: Cell::new(0),
            writers: Cell::new(1),
        })
    }

    pub(crate) fn io_loop(&self) -> &IoLoop {
        self.registration.io_loop()
    }

    pub(crate) fn limits(&self) -> Limits {
        self.known_extras()
            .map_or_else(Limits::default, |extras| extras.limits.get())
    }

    pub(crate) fn change_limits(&self, change: impl FnOnce(&mut Limits)) {
        let mut limits = self.limits();
        change(&mut limits);
        self.extras().limits.set(limits);
    }

    pub(crate) fn set_on_close(&self, observer: Rc<dyn OnClose>) {
        let observer = match self.on_close.take() {
            Some(earlier) => Rc::new(Both(earlier, observer)),
            None => observer,
        };
        self.on_close.set(Some(observer));
    }

    pub(crate) fn unread_len(&self) -> usize {
        let unread = self.unread.take();
        let length = unread.as_ref().map_or(0, |unread| unread.len());
        self.unread.set(unread);
        length
    }

    pub(crate) fn is_released(&self) -> bool {
        !self.has_reader.get() && self.writers.get() == 0
    }

    /// Whether a system call is worth trying. If not, `waiter` will be woken.
    #[inline]
    pub(crate) fn poll_ready(
        self: &Rc<Self>,
        waiter: Waiter,
        context: &Context<'_>,
    ) -> Poll<io::Result<()>> {
        if self.is_ready(waiter.direction()) {
            return Poll::Ready(Ok(()));
        }
        match self.wait_for(waiter, context.waker()) {
            Ok(()) => Poll::Pending,
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    /// Has `waiter` woken when a system call is worth trying again.
    pub(crate) fn wait_for(self: &Rc<Self>, waiter: Waiter, waker: &Waker) -> io::Result<()> {
        let direction = waiter.direction();
        self.spent.set(0);
        self.remember(waiter, waker);
        self.waiting.set(self.waiting.get() | direction);
        self.registration.want(direction, || self.clone())
    }

    /// Whether `direction` was ready when last heard of.
    pub(crate) fn is_ready(&self, direction: Interest) -> bool {
        self.ready.get().contains(direction)
    }

    /// The system has nothing more in this direction: the next attempt waits for an event.
    pub(crate) fn not_ready(&self, direction: Interest) {
        self.ready.set(self.ready.get().without(direction));
    }

    /// Whether to try a system call although no event has said so; see [`Deadline`].
    pub(crate) fn assume_ready(&self, direction: Interest) {
        self.ready.set(self.ready.get() | direction);
    }

    /// Counts work that was done without waiting. When the budget is used up the caller must
    /// return `Pending`; it is woken already, and goes on in the next turn.
    pub(crate) fn must_yield(&self, cost: u16, context: &Context<'_>) -> bool {
        let spent = self.spent.get() + cost;
        if spent <= BUDGET {
            self.spent.set(spent);
            return false;
        }
        self.spent.set(0);
        context.waker().wake_by_ref();
        true
    }

    /// Wakes whoever waits for input: bytes, the end, or the deadline.
    pub(crate) fn wake_receivers(&self) {
        wake(&self.reader);
        self.wake_watchers();
    }

    /// Wakes those that wait for the peer to close: there may be room to receive again.
    #[inline]
    pub(crate) fn wake_watchers(&self) {
        if let Some(extras) = self.known_extras() {
            extras.wake_watchers();
        }
    }

    /// Wakes the driver.
    pub(crate) fn wake_sender(&self) {
        let Some(extras) = self.known_extras() else {
            return;
        };
        let sender = extras.sender.take();
        extras.sender.set(sender.clone());
        sender.into_iter().for_each(Waker::wake);
    }

    /// Everybody that may be polling for input through a transport which keeps one waker only.
    pub(crate) fn receivers(&self, waiter: Waiter, context: &Context<'_>) -> Vec<Waker> {
        self.remember(waiter, context.waker());
        let mut wakers = Vec::new();
        if let Some(extras) = self.known_extras() {
            let watchers = extras.watchers.take();
            wakers.extend_from_slice(&watchers);
            extras.watchers.set(watchers);
        }
        let reader = self.reader.take();
        wakers.extend(reader.clone());
        self.reader.set(reader);
        wakers
    }

    /// Leaves the loop: nothing of it refers to this stream any more.
    pub(crate) fn leave_loop(&self) {
        self.registration.remove();
        self.cancel_deadline();
    }

    /// Whom to wake for `waiter`.
    #[inline]
    pub(crate) fn remember(&self, waiter: Waiter, waker: &Waker) {
        match waiter {
            Waiter::Reader => self.remember_reader(waker),
            _ => self.extras().remember(waiter, waker),
        }
    }

    #[inline]
    fn remember_reader(&self, waker: &Waker) {
        match self.reader.take() {
            Some(kept) if kept.will_wake(waker) => self.reader.set(Some(kept)),
            other => self.replace_reader(other, waker),
        }
    }

    #[cold]
    fn replace_reader(&self, replaced: Option<Waker>, waker: &Waker) {
        self.reader.set(Some(waker.clone()));
        drop(replaced);
    }

    /// The extras if there are any.
    pub(crate) fn known_extras(&self) -> Option<&Extras> {
        self.extras.get().map(|extras| &**extras)
    }

    /// The extras, which are made if there are none.
    #[inline(never)]
    pub(crate) fn extras(&self) -> &Extras {
        self.extras.get_or_init(Box::default)
    }
}

/// Observers add up: a handler's must not replace that of the server, which counts.
struct Both(Rc<dyn OnClose>, Rc<dyn OnClose>);

impl OnClose for Both {
    fn closed(&self) {
        self.0.closed();
        self.1.closed();
    }
}

/// Wakes and keeps the waker, for the next wait of the same task.
fn wake(slot: &Cell<Option<Waker>>) {
    if let Some(waker) = slot.take() {
        waker.wake_by_ref();
        slot.set(Some(waker));
    }
}

impl AsFd for Shared {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.transport
            .fd()
            .expect("only a stream with a descriptor registers itself")
    }
}

impl Source for Shared {
    fn ready(self: Rc<Self>, event: Event) {
        let directions = event.directions();
        self.ready.set(self.ready.get() | directions);
        let waiting = self.waiting.get();
        self.waiting.set(waiting.without(directions));
        let unwanted = directions.without(waiting);
        if !unwanted.is_none() {
            self.registration.unwanted(unwanted);
        }
        if directions.and(waiting).contains(Interest::READ) {
            self.wake_receivers();
        }
        if directions.and(waiting).contains(Interest::WRITE) {
            self.wake_sender();
        }
    }
}

impl Notify for Shared {
    fn notify(self: Rc<Self>, notice: Notice) {
        match notice {
            Notice::EndOfTurn => self.flush_if_due(),
            Notice::Deadline => self.deadline_passed(),
            _ => {}
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if let Some(observer) = self.on_close.take() {
            observer.closed();
        }
        self.wake_watchers();
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("IoStream")
            .field("transport", &self.transport)
            .field("unread", &self.unread_len())
            .field("queued", &self.queued_len())
            .field("read_end", &self.read_end.get())
            .field("write_end", &self.write_end.get())
            .finish()
    }
}

/// What one stream may do in a turn without waiting, in units of one message that had arrived
/// already: 256 of those, or 32 system calls of up to 64 KiB. Above that it gives way once.
const BUDGET: u16 = 256;

/// Parsing a message out of bytes that are here.
pub(crate) const COST_OF_MESSAGE: u16 = 1;
/// A system call that receives or sends.
pub(crate) const COST_OF_CALL: u16 = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::IoStream;

    #[test]
    #[cfg(target_pointer_width = "64")]
    fn a_stream_is_not_larger_than_it_was() {
        // Every idle connection pays for it.
        assert!(size_of::<Shared>() <= 136, "{}", size_of::<Shared>());
        assert_eq!(size_of::<IoStream>(), 2 * size_of::<usize>());
    }

    #[test]
    fn an_idle_stream_owns_no_buffer() {
        ioloop::testing::run(async {
            let (one, mut other) = std::os::unix::net::UnixStream::pair()
                .map(|(one, other)| (IoStream::from_fd(one), IoStream::from_fd(other)))
                .map(|(one, other)| (one.unwrap(), other.unwrap()))
                .unwrap();
            for _ in 0..3 {
                one.queue(b"one\ntwo\n").unwrap();
                other.read_until(b"\n", 10).await.unwrap();
                other.read_until(b"\n", 10).await.unwrap();
                one.write(&[0; 1_000_000]).await.unwrap();
                other.read_bytes(1_000_000).await.unwrap();
                one.flush().await.unwrap();
            }
            for stream in [&one, &other] {
                assert!(stream.shared().unread.take().is_none());
                assert!(stream.shared().outgoing.take().is_none());
            }
        });
    }
}
