//! Making a loop with other settings than the defaults.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::clock::Clock;
use crate::inbox::Inbox;
use crate::io_loop::{Core, IoLoop};
use crate::metrics::Counters;
use crate::places::Places;
use crate::sources::Sources;
use crate::tasks::TaskTable;
use crate::thread;
use crate::timers::Timers;
use crate::wait::{Waiter, Waiting};
use crate::watch::Watch;

/// Makes this thread's loop with settings of your own; [`IoLoop::current`] uses the defaults.
///
/// ```
/// use std::time::Duration;
///
/// # fn main() -> std::io::Result<()> {
/// let io_loop = ioloop::Builder::new().slow_callback(Duration::from_millis(20)).make()?;
/// # io_loop.close();
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Builder {
    waiting: Waiting,
    slow_callback: Duration,
    seed: Option<u64>,
    virtual_time: bool,
}

impl Builder {
    /// The defaults: direct waiting, a warning after 100 ms, a random seed, real time.
    ///
    /// ```
    /// let builder = ioloop::Builder::new();
    /// ```
    pub fn new() -> Builder {
        Builder {
            waiting: Waiting::Direct,
            slow_callback: SLOW_CALLBACK,
            seed: None,
            virtual_time: false,
        }
    }

    /// The way to wait for events. [`Waiting::Direct`] is a wish: where it is not to be had, the
    /// loop uses the portable way.
    ///
    /// ```
    /// let builder = ioloop::Builder::new().waiting(ioloop::Waiting::Portable);
    /// ```
    pub fn waiting(mut self, waiting: Waiting) -> Builder {
        self.waiting = waiting;
        self
    }

    /// How long a callback, handler or poll may take before a warning names it; 100 ms unless
    /// set. It is measured in steps of a few milliseconds. `Duration::MAX` turns it off.
    ///
    /// ```
    /// let builder = ioloop::Builder::new().slow_callback(std::time::Duration::MAX);
    /// ```
    pub fn slow_callback(mut self, threshold: Duration) -> Builder {
        self.slow_callback = threshold;
        self
    }

    /// Makes [`IoLoop::random`] repeatable.
    ///
    /// ```
    /// let builder = ioloop::Builder::new().seed(42);
    /// ```
    pub fn seed(mut self, seed: u64) -> Builder {
        self.seed = Some(seed);
        self
    }

    /// Makes time jump to the next deadline whenever there is nothing else to do, so that tests of
    /// deadlines take no time. See [`testing`](crate::testing).
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// use std::time::Duration;
    ///
    /// let io_loop = ioloop::Builder::new().virtual_time().make()?;
    /// let before = io_loop.now();
    /// io_loop.run_until(ioloop::sleep(Duration::from_secs(3600)));
    /// assert_eq!(io_loop.now() - before, Duration::from_secs(3600));
    /// # Ok(())
    /// # }
    /// ```
    pub fn virtual_time(mut self) -> Builder {
        self.virtual_time = true;
        self
    }

    /// Makes the loop, and makes it this thread's.
    ///
    /// # Errors
    /// `AlreadyExists` if this thread has a loop, which must be closed first; otherwise what the
    /// system says when it refuses the descriptors that a poller needs. In a destructor that runs
    /// because the thread ends, no loop can be made.
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// use std::io::ErrorKind;
    ///
    /// let io_loop = ioloop::Builder::new().make()?;
    /// let second = ioloop::Builder::new().make();
    /// assert_eq!(second.unwrap_err().kind(), ErrorKind::AlreadyExists);
    /// io_loop.close();
    /// assert!(ioloop::Builder::new().make().is_ok());
    /// # Ok(())
    /// # }
    /// ```
    pub fn make(self) -> io::Result<IoLoop> {
        if thread::current().is_some() {
            let message = "this thread has an event loop; close it before making another";
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, message));
        }
        let waiter = Waiter::new(self.waiting)?;
        let id = LOOPS_MADE.fetch_add(1, Ordering::Relaxed) + 1;
        let clock = Clock::new(self.virtual_time);
        let random = self
            .seed
            .map_or_else(fastrand::Rng::new, fastrand::Rng::with_seed);
        let core = Core {
            id,
            process: std::process::id(),
            inbox: Arc::new(Inbox::new(id, waiter.alarm())),
            callbacks: RefCell::new(VecDeque::new()),
            timers: RefCell::new(Timers::new()),
            tasks: RefCell::new(TaskTable::default()),
            last_task: Cell::new(None),
            places: Places::default(),
            end_of_turn: RefCell::new(Vec::new()),
            sources: RefCell::new(Sources::default()),
            ready: RefCell::new(Vec::new()),
            random: RefCell::new(random),
            counters: Counters::new(),
            watch: Watch::new(self.slow_callback),
            woken: Cell::new(false),
            running: Cell::new(false),
            stopped: Cell::new(false),
            closed: Cell::new(false),
            blocking: Cell::new(0),
            poller: waiter.poller().clone(),
            waiter: RefCell::new(waiter),
            clock,
        };
        let io_loop = IoLoop {
            core: Rc::new(core),
        };
        if !thread::install(io_loop.clone()) {
            return Err(io::Error::other("this thread is ending"));
        }
        Ok(io_loop)
    }
}

impl Default for Builder {
    fn default() -> Builder {
        Builder::new()
    }
}

/// How many loops this process has made, closed ones included.
///
/// Forking is safe only while this is zero: a child would share the loop's poller.
///
/// ```
/// let before = ioloop::loops_made();
/// let _io_loop = ioloop::IoLoop::current();
/// assert_eq!(ioloop::loops_made(), before + 1);
/// ```
pub fn loops_made() -> usize {
    LOOPS_MADE.load(Ordering::Relaxed)
}

static LOOPS_MADE: AtomicUsize = AtomicUsize::new(0);

/// A tenth of a second is what a person notices.
const SLOW_CALLBACK: Duration = Duration::from_millis(100);
