//! The only file that reads a clock. Everything else asks the loop, or takes `now` as an argument.

use std::cell::Cell;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use crate::moment::{Epoch, Moment};

/// The loop's time: read once a turn, or made up.
pub(crate) struct Clock {
    /// When the loop was made.
    pub(crate) epoch: Epoch,
    now: Cell<Instant>,
    /// The same, in the terms of timers and deadlines.
    moment: Cell<Moment>,
    /// Deadlines up to here have passed: the time after the last wait. Code that holds the loop
    /// moves `now` but not this, so that what arrived meanwhile is looked at before they fire.
    due: Cell<Moment>,
    /// Time stands still until the loop moves it to the next deadline.
    is_virtual: bool,
}

impl Clock {
    pub(crate) fn new(is_virtual: bool) -> Clock {
        let now = precise();
        let epoch = Epoch(now);
        let moment = epoch.moment(now);
        Clock {
            epoch,
            now: Cell::new(now),
            moment: Cell::new(moment),
            due: Cell::new(moment),
            is_virtual,
        }
    }

    pub(crate) fn now(&self) -> Instant {
        self.now.get()
    }

    pub(crate) fn moment(&self) -> Moment {
        self.moment.get()
    }

    pub(crate) fn is_virtual(&self) -> bool {
        self.is_virtual
    }

    /// Whether a timer of this deadline may fire.
    pub(crate) fn is_due(&self, deadline: Instant) -> bool {
        self.epoch.moment(deadline) <= self.due.get()
    }

    /// The latest deadline that is due.
    pub(crate) fn due(&self) -> Moment {
        self.due.get()
    }

    /// Takes over the time that is read after a wait, or at the start, and gives it; virtual time
    /// ignores it.
    pub(crate) fn turn_begins(&self) -> Moment {
        let now = precise();
        let moment = self.epoch.moment(now);
        if !self.is_virtual {
            self.now.set(now);
            self.moment.set(moment);
            self.due.set(moment);
        }
        moment
    }

    /// Reads the time anew when code has held the loop, or before it runs.
    pub(crate) fn refresh(&self) {
        if !self.is_virtual {
            let now = precise();
            self.now.set(now);
            self.moment.set(self.epoch.moment(now));
        }
    }

    /// The real time, also if the loop's is virtual.
    pub(crate) fn real(&self) -> Moment {
        self.epoch.moment(precise())
    }

    /// Moves virtual time forward.
    pub(crate) fn jump_to(&self, deadline: Moment) {
        debug_assert!(self.is_virtual, "real time cannot be moved");
        let moment = deadline.max(self.moment.get());
        self.now.set(self.epoch.instant(moment));
        self.moment.set(moment);
        self.due.set(moment);
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
/// slow callbacks: it is read once per callback. In nanoseconds.
pub(crate) fn coarse() -> u64 {
    #[cfg(target_os = "linux")]
    const CLOCK: ClockId = ClockId::MonotonicCoarse;
    #[cfg(not(target_os = "linux"))]
    const CLOCK: ClockId = ClockId::Monotonic;
    let time = clock_gettime(CLOCK);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// A century, for delays that no clock can add to now.
const FAR: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
