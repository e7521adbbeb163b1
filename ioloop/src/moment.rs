//! Points in time, counted from when a loop was made: half the size of an `Instant`.

use std::num::NonZero;
use std::time::{Duration, Instant};

/// A point in time, in nanoseconds since the epoch of a loop, plus one: having none takes no room.
///
/// A loop and its streams keep one for each timer and deadline. See [`IoLoop::moment`].
///
/// [`IoLoop::moment`]: crate::IoLoop::moment
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Moment(NonZero<u64>);

impl Moment {
    /// Where the loop's time begins.
    pub(crate) const EPOCH: Moment = Moment(NonZero::<u64>::MIN);

    /// The moment `delay` later, or the last there is.
    ///
    /// ```
    /// let now = ioloop::IoLoop::current().moment_now();
    /// assert!(now.after(std::time::Duration::from_secs(1)) > now);
    /// ```
    #[must_use]
    pub fn after(self, delay: Duration) -> Moment {
        Moment(self.0.saturating_add(nanoseconds(delay)))
    }

    /// How long `earlier` is ago; nothing if it is still to come.
    pub(crate) fn since(self, earlier: Moment) -> Duration {
        Duration::from_nanos(self.nanoseconds_since(earlier))
    }

    pub(crate) fn nanoseconds_since(self, earlier: Moment) -> u64 {
        self.0.get().saturating_sub(earlier.0.get())
    }
}

/// Where the moments of a loop begin.
#[derive(Clone, Copy)]
pub(crate) struct Epoch(pub(crate) Instant);

impl Epoch {
    /// What lies before the epoch counts as the epoch, what is centuries ahead as the last moment.
    pub(crate) fn moment(self, instant: Instant) -> Moment {
        Moment::EPOCH.after(instant.saturating_duration_since(self.0))
    }

    /// A moment too far for `Instant` is the farthest one that fits: nobody will wait for it.
    pub(crate) fn instant(self, moment: Moment) -> Instant {
        let since = Duration::from_nanos(moment.0.get() - 1);
        self.0.checked_add(since).unwrap_or(self.0 + FAR)
    }
}

/// As many as there can be, if there are more. Without the 128 bits of `as_nanos`: this is asked
/// for each deadline that is set.
fn nanoseconds(duration: Duration) -> u64 {
    let seconds = duration.as_secs().saturating_mul(1_000_000_000);
    seconds.saturating_add(duration.subsec_nanos().into())
}

/// A century.
const FAR: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_lead_back_to_the_nanosecond() {
        let start = crate::clock::precise();
        let epoch = Epoch(start);
        for nanoseconds in [0, 1, 999_999_999, 75_000_000_001] {
            let instant = start + Duration::from_nanos(nanoseconds);
            assert_eq!(epoch.instant(epoch.moment(instant)), instant);
        }
        assert!(epoch.moment(start) < epoch.moment(start + Duration::from_nanos(1)));
    }

    #[test]
    fn what_lies_before_the_epoch_has_passed() {
        let start = crate::clock::precise();
        let epoch = Epoch(start + Duration::from_secs(1));
        assert!(epoch.moment(start) <= epoch.moment(start + Duration::from_secs(1)));
    }

    #[test]
    fn centuries_ahead_is_never() {
        let start = crate::clock::precise();
        let epoch = Epoch(start);
        let far = epoch.moment(start + FAR * 8);
        assert!(epoch.instant(far) >= start + FAR);
        assert!(far > epoch.moment(start + FAR));
    }
}
