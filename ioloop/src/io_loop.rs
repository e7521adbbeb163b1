//! The handle to a loop: what user code calls to register, schedule, run and close.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::os::fd::{AsFd, BorrowedFd};
use std::panic::Location;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

use polling::Poller;

use crate::builder::Builder;
use crate::clock::{self, Clock};
use crate::inbox::{Inbox, Remote};
use crate::metrics::Counters;
use crate::moment::Moment;
use crate::notify::Notify;
use crate::places::{Place, Places};
use crate::sources::Sources;
use crate::tasks::TaskTable;
use crate::thread;
use crate::timers::{TimerId, Timers};
use crate::wait::{Ready, Waiter, Waiting};
use crate::watch::Watch;

/// This thread's event loop: a cheap handle, cloned at will, that stays on its thread.
///
/// There is one loop per thread. [`current`](IoLoop::current) gives it, and makes it on first
/// use; other threads reach it through a [`Remote`].
///
/// ```
/// use std::time::Duration;
/// use ioloop::IoLoop;
///
/// let io_loop = IoLoop::current();
/// io_loop.call_later(Duration::from_millis(1), || IoLoop::current().stop());
/// io_loop.start();
/// ```
#[derive(Clone)]
#[doc(alias = "IOLoop")]
#[doc(alias = "EventLoop")]
pub struct IoLoop {
    pub(crate) core: Rc<Core>,
}

/// The state of a loop. No borrow of any of its cells is alive while user code runs, and user
/// code includes destructors and wakers.
pub(crate) struct Core {
    pub(crate) id: usize,
    /// The process that made the loop: a forked child shares the kernel's side of the poller.
    pub(crate) process: u32,
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) clock: Clock,
    pub(crate) callbacks: RefCell<VecDeque<Callback>>,
    pub(crate) timers: RefCell<Timers<Action>>,
    pub(crate) tasks: RefCell<TaskTable>,
    /// Where the task whose code ran last was made.
    pub(crate) last_task: Cell<Option<Place>>,
    /// Where handlers, timers and tasks were made.
    pub(crate) places: Places,
    /// Who wants to be told before the loop waits.
    pub(crate) end_of_turn: RefCell<Vec<Ending>>,
    pub(crate) sources: RefCell<Sources>,
    /// The buffer that a wait fills; taken out while its events are dispatched.
    pub(crate) ready: RefCell<Vec<Ready>>,
    pub(crate) random: RefCell<fastrand::Rng>,
    pub(crate) counters: Counters,
    pub(crate) watch: Watch,
    /// The last wait saw the alarm: the inbox has something.
    pub(crate) woken: Cell<bool>,
    pub(crate) running: Cell<bool>,
    pub(crate) stopped: Cell<bool>,
    pub(crate) closed: Cell<bool>,
    /// Closures on the blocking pool: virtual time stands still until they have answered.
    pub(crate) blocking: Cell<usize>,
    /// Borrowed for the length of a wait, in which no user code runs.
    pub(crate) waiter: RefCell<Waiter>,
    /// Last, because everything above may still deregister while it is dropped.
    pub(crate) poller: Arc<Poller>,
}

pub(crate) struct Callback {
    pub(crate) run: Box<dyn FnOnce()>,
    pub(crate) location: &'static Location<'static>,
}

/// An object to notify at the end of the turn, and the place that asked for it.
pub(crate) struct Ending {
    pub(crate) object: Rc<dyn Notify>,
    pub(crate) location: &'static Location<'static>,
}

/// What a timer does when it is due. The last two cost no allocation.
pub(crate) enum Action {
    Call(Box<dyn FnOnce()>),
    Wake(Waker),
    Notify(Rc<dyn Notify>),
}

impl IoLoop {
    /// This thread's loop, made with the default settings if the thread has none.
    ///
    /// # Panics
    /// If a loop has to be made and the system refuses it the few descriptors it needs.
    /// [`Builder::make`] reports that as an error instead.
    ///
    /// ```
    /// let io_loop = ioloop::IoLoop::current();
    /// io_loop.add_callback(|| println!("in the next turn"));
    /// ```
    pub fn current() -> IoLoop {
        thread::current().unwrap_or_else(|| match Builder::new().make() {
            Ok(io_loop) => io_loop,
            Err(error) => panic!("cannot make an event loop: {error}"),
        })
    }

    /// This thread's loop, if there is one. Never makes one.
    ///
    /// ```
    /// use ioloop::IoLoop;
    ///
    /// assert!(IoLoop::try_current().is_none());
    /// let _io_loop = IoLoop::current();
    /// assert!(IoLoop::try_current().is_some());
    /// ```
    pub fn try_current() -> Option<IoLoop> {
        thread::current()
    }

    /// The handle for other threads.
    ///
    /// ```
    /// let remote = ioloop::IoLoop::current().remote();
    /// std::thread::spawn(move || remote.add_callback(|| println!("on the loop's thread")));
    /// ```
    pub fn remote(&self) -> Remote {
        Remote {
            inbox: self.core.inbox.clone(),
        }
    }

    /// Runs `callback` in the next turn; never inline. Callbacks run in the order they were added.
    ///
    /// On a closed loop the callback is dropped.
    ///
    /// ```
    /// use ioloop::IoLoop;
    ///
    /// let io_loop = IoLoop::current();
    /// io_loop.add_callback(|| IoLoop::current().stop());
    /// io_loop.start();
    /// ```
    #[track_caller]
    pub fn add_callback(&self, callback: impl FnOnce() + 'static) {
        if !self.is_closed() {
            let callback = Callback {
                run: Box::new(callback),
                location: Location::caller(),
            };
            self.core.callbacks.borrow_mut().push_back(callback);
        }
    }

    /// Runs `callback` once, `delay` from [`now`](IoLoop::now) on.
    ///
    /// Timers are never early and usually less than a millisecond late; those of equal deadlines
    /// run in the order they were made. A delay beyond what the clock can express never ends. On a
    /// closed loop the callback is dropped.
    ///
    /// ```
    /// use std::time::Duration;
    /// use ioloop::IoLoop;
    ///
    /// let io_loop = IoLoop::current();
    /// io_loop.call_later(Duration::from_millis(5), || IoLoop::current().stop());
    /// io_loop.start();
    /// ```
    #[track_caller]
    pub fn call_later(&self, delay: Duration, callback: impl FnOnce() + 'static) -> TimerId {
        self.add_timer(
            self.after(delay),
            Location::caller(),
            Action::Call(Box::new(callback)),
        )
    }

    /// Runs `callback` once, at `deadline`. One that has passed counts as now.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let io_loop = ioloop::IoLoop::current();
    /// let deadline = io_loop.now() + Duration::from_secs(30);
    /// io_loop.call_at(deadline, || println!("half a minute later"));
    /// ```
    #[track_caller]
    pub fn call_at(&self, deadline: Instant, callback: impl FnOnce() + 'static) -> TimerId {
        self.add_timer(
            deadline,
            Location::caller(),
            Action::Call(Box::new(callback)),
        )
    }

    /// Cancels a timer and drops its callback, also if it is due in this very turn.
    ///
    /// Returns whether there was one: false if it has fired or was cancelled before.
    ///
    /// ```
    /// let io_loop = ioloop::IoLoop::current();
    /// let id = io_loop.call_later(std::time::Duration::ZERO, || unreachable!());
    /// assert!(io_loop.remove_timeout(id));
    /// ```
    pub fn remove_timeout(&self, id: TimerId) -> bool {
        let action = self.core.timers.borrow_mut().cancel(id);
        action.is_some()
    }

    /// The loop's time: read once a turn, after the wait, so that everything in a turn happens at
    /// the same moment, and again when code was noticed to hold the loop. Code that computes for
    /// long sees a time that is that much old. Outside of a turn, setting a delay reads the clock.
    ///
    /// ```
    /// let io_loop = ioloop::IoLoop::current();
    /// assert_eq!(io_loop.now(), io_loop.now());
    /// ```
    pub fn now(&self) -> Instant {
        self.core.clock.now()
    }

    /// A point in time as this loop counts it, in half of the room: for what is kept by the
    /// thousand. Exact, except that what was before the loop counts as when it was made.
    ///
    /// ```
    /// let io_loop = ioloop::IoLoop::current();
    /// let deadline = io_loop.now() + std::time::Duration::from_secs(75);
    /// let moment = io_loop.moment(deadline);
    /// assert!(moment > io_loop.moment(io_loop.now()));
    /// assert_eq!(io_loop.instant(moment), deadline);
    /// ```
    pub fn moment(&self, instant: Instant) -> Moment {
        self.core.clock.epoch.moment(instant)
    }

    /// What [`now`](IoLoop::now) is as a [`moment`](IoLoop::moment); computed once a turn.
    ///
    /// ```
    /// let io_loop = ioloop::IoLoop::current();
    /// assert_eq!(io_loop.moment_now(), io_loop.moment(io_loop.now()));
    /// ```
    pub fn moment_now(&self) -> Moment {
        self.core.clock.moment()
    }

    /// The point in time that a [`moment`](IoLoop::moment) of this loop stands for.
    ///
    /// ```
    /// let io_loop = ioloop::IoLoop::current();
    /// assert_eq!(io_loop.instant(io_loop.moment(io_loop.now())), io_loop.now());
    /// ```
    pub fn instant(&self, moment: Moment) -> Instant {
        self.core.clock.epoch.instant(moment)
    }

    /// A random number from the loop's generator, for jitter and back-off; not for secrets.
    /// [`Builder::seed`] makes the sequence repeatable.
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// let io_loop = ioloop::Builder::new().seed(7).make()?;
    /// let first = io_loop.random();
    /// io_loop.close();
    /// assert_eq!(ioloop::Builder::new().seed(7).make()?.random(), first);
    /// # Ok(())
    /// # }
    /// ```
    pub fn random(&self) -> u64 {
        self.core.random.borrow_mut().u64(..)
    }

    /// Whether [`close`](IoLoop::close) was called.
    ///
    /// ```
    /// let io_loop = ioloop::IoLoop::current();
    /// io_loop.close();
    /// assert!(io_loop.is_closed());
    /// ```
    pub fn is_closed(&self) -> bool {
        self.core.closed.get()
    }

    /// The way in which this loop waits for events.
    ///
    /// ```
    /// println!("{:?}", ioloop::IoLoop::current().waiting());
    /// ```
    pub fn waiting(&self) -> Waiting {
        self.core.waiter.borrow().waiting()
    }

    /// Distinguishes the loops of a process. Zero is no loop's.
    pub(crate) fn id(&self) -> usize {
        self.core.id
    }

    /// The moment `delay` from now, or the farthest one there is.
    pub(crate) fn after(&self, delay: Duration) -> Instant {
        if !self.core.running.get() {
            // The last turn may be long ago, and the delay would seem to have passed.
            self.core.clock.refresh();
        }
        clock::later(self.now(), delay)
    }

    /// Whether `timer` is pending and wakes what `waker` wakes.
    pub(crate) fn wakes(&self, timer: TimerId, waker: &Waker) -> bool {
        let timers = self.core.timers.borrow();
        matches!(timers.get(timer), Some(Action::Wake(pending)) if pending.will_wake(waker))
    }

    /// On a closed loop the timer is made and at once forgotten.
    ///
    /// A deadline that has passed counts as now. Otherwise a timer that is made again in the past
    /// whenever it fires would stand before all others for ever.
    pub(crate) fn add_timer(
        &self,
        deadline: Instant,
        location: &'static Location<'static>,
        action: Action,
    ) -> TimerId {
        let deadline = self.moment(deadline).max(self.moment_now());
        let place = self.core.places.number(location);
        let id = self
            .core
            .timers
            .borrow_mut()
            .insert(deadline, place, action);
        if self.is_closed() {
            self.remove_timeout(id);
        }
        id
    }
}

impl AsFd for IoLoop {
    /// The poller's descriptor: it is readable when [`turn`](IoLoop::turn) would find an event, so
    /// another loop can host this one. Watch it there, and call `turn(Some(Duration::ZERO))` when
    /// it is readable or [`next_deadline`](IoLoop::next_deadline) has come.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.core.poller.as_fd()
    }
}

impl fmt::Debug for IoLoop {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("IoLoop")
            .field("id", &self.core.id)
            .field("is_running", &self.core.running.get())
            .field("is_closed", &self.core.closed.get())
            .finish()
    }
}
