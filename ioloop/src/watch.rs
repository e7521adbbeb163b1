//! Noticing code that holds the loop for too long: a warning, once per place.

use std::cell::{Cell, RefCell};
use std::panic::Location;
use std::time::Duration;

use crate::clock;

/// Measures from one call of user code to the next with the coarse clock.
pub(crate) struct Watch {
    /// In nanoseconds, as what follows.
    threshold: u64,
    /// On the coarse clock.
    last: Cell<u64>,
    /// Places that have been warned of. Bounded by the number of call sites in the program, and
    /// looked through only when there is something to warn of.
    warned: RefCell<Vec<&'static Location<'static>>>,
}

impl Watch {
    pub(crate) fn new(threshold: Duration) -> Watch {
        Watch {
            threshold: u64::try_from(threshold.as_nanos()).unwrap_or(u64::MAX),
            last: Cell::new(0),
            warned: RefCell::default(),
        }
    }

    /// Begins to measure: the loop has control.
    pub(crate) fn begin(&self) {
        self.last.set(clock::coarse());
    }

    /// User code has just returned. Says how long it held the loop, if that was too long.
    pub(crate) fn slow_lap(&self) -> Option<Duration> {
        let now = clock::coarse();
        let held = now.saturating_sub(self.last.replace(now));
        (held >= self.threshold).then(|| Duration::from_nanos(held))
    }

    /// Names what was made at `location`, once.
    pub(crate) fn warn(&self, what: &str, location: &'static Location<'static>, held: Duration) {
        if self.warned.borrow().contains(&location) {
            return;
        }
        self.warned.borrow_mut().push(location);
        tracing::warn!(
            made_at = %location,
            held_ms = held.as_millis() as u64,
            "{what} held the loop for {held:?}; every other connection waited. Move blocking \
             work to run_blocking, or yield in between (said once per place)"
        );
    }
}
