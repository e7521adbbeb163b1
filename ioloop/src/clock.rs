//! The only file that reads a clock. Everything else asks the loop, or takes `now` as an argument.

use std::cell::Cell;
use std::time::{Duration, Instant};

use crate::moment::{Epoch, Moment};

/// The loop's time: read once a turn, or made up.
pub(crate) struct Clock {
    /// When the loop was made.
    pub(crate) epoch: Epoch,
    now: Cell<Instant>,
    /// Deadlines up to here have passed: the time after the last wait. Code that holds the loop
    /// moves `now` but not this, so that what arrived meanwhile is looked at before they fire.
    due: Cell<Instant>,
    /// What `moment` was asked last: within a turn it is nearly always the same.
    last: Cell<(Instant, Moment)>,
    /// Time stands still until the loop moves it to the next deadline.
    is_virtual: bool,
}

impl Clock {
    pub(crate) fn new(is_virtual: bool) -> Clock {
        let now = precise();
        let epoch = Epoch(now);
        Clock {
            epoch,
            now: Cell::new(now),
            due: Cell::new(now),
            last: Cell::new((now, epoch.moment(now))),
            is_virtual,
        }
    }

    pub(crate) fn now(&self) -> Instant {
        self.now.get()
    }

    /// The time after the last wait, or as it is now, in the terms of timers and deadlines.
    pub(crate) fn moment(&self, time: Instant) -> Moment {
        if self.last.get().0 != time {
            self.last.set((time, self.epoch.moment(time)));
        }
        self.last.get().1
    }

    pub(crate) fn is_virtual(&self) -> bool {
        self.is_virtual
    }

    /// Whether a timer of this deadline may fire.
    pub(crate) fn is_due(&self, deadline: Instant) -> bool {
        deadline <= self.due.get()
    }

    /// The latest deadline that is due.
    pub(crate) fn due(&self) -> Instant {
        self.due.get()
    }

    /// Takes over the time that was read after a wait, or at the start; virtual time ignores it.
    pub(crate) fn turn_begins(&self, now: Instant) {
        if !self.is_virtual {
            self.now.set(now);
            self.due.set(now);
        }
    }

    /// Takes over the time that was read when code had held the loop, or before it runs.
    pub(crate) fn refresh(&self, now: Instant) {
        if !self.is_virtual {
            self.now.set(now);
        }
    }

    /// Moves virtual time forward.
    pub(crate) fn jump_to(&self, deadline: Instant) {
        debug_assert!(self.is_virtual, "real time cannot be moved");
        self.now.set(deadline.max(self.now.get()));
        self.due.set(self.now.get());
    }
}

/// The moment `delay` after `from`, or the farthest one there is.
pub(crate) fn later(from: Instant, delay: Duration) -> Instant {
    from.checked_add(delay).unwrap_or_else(|| from + FAR)
}

/// The real time.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the file that reads the clock"
)]
pub(crate) fn precise() -> Instant {
    Instant::now()
}

/// A time that is a few milliseconds coarse and costs a fifth of the precise one, for noticing
/// slow callbacks: it is read once per callback.
#[cfg(target_os = "linux")]
pub(crate) fn coarse() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::MonotonicCoarse);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn coarse() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// A century, for delays that no clock can add to now.
const FAR: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
