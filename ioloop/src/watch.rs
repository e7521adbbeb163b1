//! Noticing code that holds the loop for too long: a warning, once per place.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::panic::Location;
use std::time::Duration;

use crate::clock;

/// Measures from one call of user code to the next with the coarse clock.
pub(crate) struct Watch {
    threshold: Duration,
    last: Cell<Duration>,
    /// Places that have been warned of. Bounded by the number of call sites in the program.
    warned: RefCell<HashSet<(&'static str, u32, u32)>>,
}

impl Watch {
    pub(crate) fn new(threshold: Duration) -> Watch {
        Watch {
            threshold,
            last: Cell::new(Duration::ZERO),
            warned: RefCell::default(),
        }
    }

    /// Begins to measure: the loop has control.
    pub(crate) fn begin(&self) {
        self.last.set(clock::coarse());
    }

    /// What was made at `location` has just returned. Says whether it held the loop too long.
    pub(crate) fn lap(&self, what: &str, location: &'static Location<'static>) -> bool {
        let now = clock::coarse();
        let held = now.saturating_sub(self.last.replace(now));
        let slow = held >= self.threshold;
        if slow {
            self.warn(what, location, held);
        }
        slow
    }

    #[cold]
    fn warn(&self, what: &str, location: &'static Location<'static>, held: Duration) {
        let place = (location.file(), location.line(), location.column());
        if self.warned.borrow_mut().insert(place) {
            tracing::warn!(
                made_at = %location,
                held_ms = held.as_millis() as u64,
                "{what} held the loop for {held:?}; every other connection waited. Move blocking \
                 work to run_blocking, or yield in between (said once per place)"
            );
        }
    }
}
