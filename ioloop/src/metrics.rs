//! Counters of what a loop has done, and the listing of what lives in it.

use std::cell::Cell;
use std::fmt::Write;
use std::time::Duration;

use crate::io_loop::IoLoop;
use crate::moment::Moment;

/// What a loop has done since it was made, and what lives in it now.
///
/// Every number but those called *live* only grows; wrap-around takes centuries.
///
/// ```
/// let io_loop = ioloop::IoLoop::current();
/// io_loop.add_callback(|| {});
/// io_loop.turn(Some(std::time::Duration::ZERO));
/// assert_eq!(io_loop.metrics().callbacks, 1);
/// assert_eq!(io_loop.metrics().turns, 1);
/// ```
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Metrics {
    /// Turns that have ended.
    pub turns: u64,
    /// Events handed to handlers and sources.
    pub events: u64,
    /// Callbacks run, those from other threads included.
    pub callbacks: u64,
    /// Times a task was polled.
    pub polls: u64,
    /// Timers that fired.
    pub timers_fired: u64,
    /// Time spent running code, the loop's own included.
    pub busy: Duration,
    /// Time spent waiting for events.
    pub idle: Duration,
    /// The longest turn, its wait not counted: the longest that anything had to wait.
    pub longest_turn: Duration,
    /// Registered handlers and sources, live.
    pub live_handlers: usize,
    /// Pending timers, live.
    pub live_timers: usize,
    /// Unfinished tasks, live.
    pub live_tasks: usize,
}

/// The counters inside the loop.
pub(crate) struct Counters {
    turns: Counter,
    pub(crate) events: Counter,
    pub(crate) callbacks: Counter,
    pub(crate) polls: Counter,
    pub(crate) timers_fired: Counter,
    /// Times are in nanoseconds.
    busy: Counter,
    idle: Counter,
    longest_turn: Cell<u64>,
    /// Since somebody has asked.
    longest_of_late: Cell<u64>,
    turn_began: Cell<Moment>,
}

/// A number that only grows.
#[derive(Default)]
pub(crate) struct Counter(Cell<u64>);

impl Counter {
    pub(crate) fn add(&self, count: u64) {
        self.0.set(self.0.get() + count);
    }
}

impl Counters {
    pub(crate) fn new() -> Counters {
        Counters {
            turns: Counter::default(),
            events: Counter::default(),
            callbacks: Counter::default(),
            polls: Counter::default(),
            timers_fired: Counter::default(),
            busy: Counter::default(),
            idle: Counter::default(),
            longest_turn: Cell::default(),
            longest_of_late: Cell::default(),
            turn_began: Cell::new(Moment::EPOCH),
        }
    }

    /// A turn has ended: code ran until `wait_began`, the wait lasted until `now`.
    pub(crate) fn turn_ended(&self, wait_began: Moment, now: Moment) {
        let busy = wait_began.nanoseconds_since(self.turn_began.replace(now));
        self.turns.add(1);
        self.busy.add(busy);
        self.idle.add(now.nanoseconds_since(wait_began));
        for longest in [&self.longest_turn, &self.longest_of_late] {
            longest.set(longest.get().max(busy));
        }
    }

    /// The loop starts running: what its owner did since the last turn was not the loop's time.
    pub(crate) fn resume(&self, now: Moment) {
        self.turn_began.set(now);
    }
}

impl IoLoop {
    /// What the loop has done and what lives in it.
    ///
    /// ```
    /// let metrics = ioloop::IoLoop::current().metrics();
    /// println!("longest turn: {:?}", metrics.longest_turn);
    /// ```
    pub fn metrics(&self) -> Metrics {
        let (core, counters) = (&self.core, &self.core.counters);
        Metrics {
            turns: counters.turns.0.get(),
            events: counters.events.0.get(),
            callbacks: counters.callbacks.0.get(),
            polls: counters.polls.0.get(),
            timers_fired: counters.timers_fired.0.get(),
            busy: Duration::from_nanos(counters.busy.0.get()),
            idle: Duration::from_nanos(counters.idle.0.get()),
            longest_turn: Duration::from_nanos(counters.longest_turn.get()),
            live_handlers: core.sources.borrow().len(),
            live_timers: core.timers.borrow().len(),
            live_tasks: core.tasks.borrow().len(),
        }
    }

    /// The longest turn since this was called last, for charts: that of
    /// [`metrics`](IoLoop::metrics) only grows. The present turn is not in it.
    ///
    /// ```
    /// let io_loop = ioloop::IoLoop::current();
    /// io_loop.turn(Some(std::time::Duration::ZERO));
    /// assert!(io_loop.take_longest_turn() <= io_loop.metrics().longest_turn);
    /// assert!(io_loop.take_longest_turn().is_zero());
    /// ```
    pub fn take_longest_turn(&self) -> Duration {
        Duration::from_nanos(self.core.counters.longest_of_late.take())
    }

    /// Lists every handler, timer and task that lives, a line each, with the place that made it.
    ///
    /// ```
    /// let io_loop = ioloop::IoLoop::current();
    /// io_loop.call_later(std::time::Duration::from_secs(9), || {});
    /// assert!(io_loop.dump().contains("timer in 9s, made at "));
    /// ```
    pub fn dump(&self) -> String {
        let mut text = String::new();
        for view in self.core.sources.borrow().views() {
            let (fd, interest) = (view.fd, view.interest);
            let location = self.core.places.location(view.place);
            let _ = writeln!(
                text,
                "handler of fd {fd} for {interest:?}, made at {location}"
            );
        }
        let now = self.moment_now();
        let mut timers: Vec<_> = self.core.timers.borrow().views().collect();
        timers.sort_by_key(|(deadline, _)| *deadline);
        for (deadline, place) in timers {
            let location = self.core.places.location(place);
            let remaining = deadline.since(now);
            let _ = writeln!(text, "timer in {remaining:?}, made at {location}");
        }
        let places = self.core.places.all();
        for (location, count) in places.iter().zip(self.core.tasks.borrow().made_at()) {
            for _ in 0..*count {
                let _ = writeln!(text, "task, made at {location}");
            }
        }
        text
    }
}
