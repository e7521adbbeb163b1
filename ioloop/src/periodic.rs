//! Calling something again and again, in step with the clock.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::panic::Location;
use std::rc::{Rc, Weak};
use std::time::{Duration, Instant};

use crate::clock::later;
use crate::io_loop::{Action, IoLoop};
use crate::notify::{Notice, Notify};
use crate::timers::TimerId;

/// Calls a callback every `period`, on this thread's loop, until it is stopped or dropped.
///
/// The first call comes one period after the start. Calls keep their phase: one that is late, or
/// takes long, does not shift those after it, and slots that passed meanwhile are skipped, never
/// caught up. A callback that panics is reported and called again at the next slot.
///
/// ```
/// use std::{cell::Cell, rc::Rc, time::Duration};
/// use ioloop::{IoLoop, PeriodicCallback};
///
/// let calls = Rc::new(Cell::new(0));
/// let counter = calls.clone();
/// let periodic = PeriodicCallback::new(Duration::from_millis(1), move || {
///     counter.set(counter.get() + 1);
///     if counter.get() == 3 {
///         IoLoop::current().stop();
///     }
/// });
/// periodic.start();
/// IoLoop::current().start();
/// assert_eq!(calls.get(), 3);
/// ```
pub struct PeriodicCallback {
    inner: Rc<Inner>,
}

struct Inner {
    io_loop: IoLoop,
    location: &'static Location<'static>,
    period: Duration,
    jitter: Cell<f64>,
    /// Empty while it runs.
    callback: RefCell<Option<Box<dyn FnMut()>>>,
    /// When the next call was planned.
    planned: Cell<Instant>,
    timer: Cell<Option<TimerId>>,
}

impl PeriodicCallback {
    /// Makes one that is not started.
    ///
    /// # Panics
    /// If `period` is zero.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let every_second =
    ///     ioloop::PeriodicCallback::new(Duration::from_secs(1), || println!("tick"));
    /// assert!(!every_second.is_running());
    /// ```
    #[track_caller]
    pub fn new(period: Duration, callback: impl FnMut() + 'static) -> PeriodicCallback {
        assert!(
            !period.is_zero(),
            "a periodic callback needs a period longer than zero"
        );
        let io_loop = IoLoop::current();
        let inner = Inner {
            planned: Cell::new(io_loop.now()),
            io_loop,
            location: Location::caller(),
            period,
            jitter: Cell::new(0.0),
            callback: RefCell::new(Some(Box::new(callback))),
            timer: Cell::new(None),
        };
        PeriodicCallback {
            inner: Rc::new(inner),
        }
    }

    /// Varies each interval at random within a window of `share` of the period around it, so that
    /// many programs do not act in step: with 0.1, by up to 5 % either way.
    ///
    /// # Panics
    /// If `share` is not within 0 to 1.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let ping = ioloop::PeriodicCallback::new(Duration::from_secs(30), || {}).jitter(0.1);
    /// ```
    pub fn jitter(self, share: f64) -> PeriodicCallback {
        assert!(
            (0.0..=1.0).contains(&share),
            "jitter is a share of the period, within 0 to 1"
        );
        self.inner.jitter.set(share);
        self
    }

    /// Starts, or starts over: the first call comes one period from now.
    ///
    /// ```
    /// # let periodic = ioloop::PeriodicCallback::new(std::time::Duration::from_secs(1), || {});
    /// periodic.start();
    /// assert!(periodic.is_running());
    /// ```
    pub fn start(&self) {
        self.stop();
        self.inner
            .planned
            .set(self.inner.io_loop.after(Duration::ZERO));
        Inner::schedule(&self.inner);
    }

    /// Stops; the callback is not called again until the next start. It may call this itself.
    ///
    /// ```
    /// # let periodic = ioloop::PeriodicCallback::new(std::time::Duration::from_secs(1), || {});
    /// periodic.start();
    /// periodic.stop();
    /// assert!(!periodic.is_running());
    /// ```
    pub fn stop(&self) {
        if let Some(timer) = self.inner.timer.take() {
            self.inner.io_loop.remove_timeout(timer);
        }
    }

    /// Whether it was started and not stopped.
    ///
    /// ```
    /// # let periodic = ioloop::PeriodicCallback::new(std::time::Duration::from_secs(1), || {});
    /// assert!(!periodic.is_running());
    /// ```
    pub fn is_running(&self) -> bool {
        self.inner.timer.get().is_some()
    }
}

impl Drop for PeriodicCallback {
    fn drop(&mut self) {
        self.stop();
    }
}

impl fmt::Debug for PeriodicCallback {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("PeriodicCallback")
            .field("period", &self.inner.period)
            .field("is_running", &self.is_running())
            .finish()
    }
}

impl Inner {
    fn schedule(inner: &Rc<Inner>) {
        let interval = jittered(inner.period, inner.jitter.get(), inner.io_loop.random());
        let next = next_slot(inner.planned.get(), interval, inner.io_loop.now());
        inner.planned.set(next);
        // Weak, or the loop would keep what its owner has dropped.
        let ticker = Rc::new(Ticker(Rc::downgrade(inner)));
        let timer = inner
            .io_loop
            .add_timer(next, inner.location, Action::Notify(ticker));
        inner.timer.set(Some(timer));
    }
}

struct Ticker(Weak<Inner>);

impl Notify for Ticker {
    fn notify(self: Rc<Self>, _: Notice) {
        let Some(inner) = self.0.upgrade() else {
            return;
        };
        // Scheduled first: a callback that panics must not end the series, and one that stops
        // the series finds a timer to remove.
        Inner::schedule(&inner);
        let callback = inner.callback.borrow_mut().take();
        if let Some(callback) = callback {
            let mut running = PutBack {
                inner: &inner,
                callback: Some(callback),
            };
            if let Some(callback) = &mut running.callback {
                callback();
            }
        }
    }
}

/// Puts the callback back when it has run, also by a panic.
struct PutBack<'a> {
    inner: &'a Inner,
    callback: Option<Box<dyn FnMut()>>,
}

impl Drop for PutBack<'_> {
    fn drop(&mut self) {
        *self.inner.callback.borrow_mut() = self.callback.take();
    }
}

/// The first slot after `now` in the series that goes on from `planned`.
fn next_slot(planned: Instant, interval: Duration, now: Instant) -> Instant {
    let next = later(planned, interval);
    if next > now {
        return next;
    }
    let behind = now.duration_since(planned).as_nanos();
    let skipped = behind / interval.as_nanos().max(1) + 1;
    u32::try_from(skipped)
        .ok()
        .and_then(|skipped| interval.checked_mul(skipped))
        .and_then(|distance| planned.checked_add(distance))
        .unwrap_or_else(|| later(now, interval))
}

/// `period` varied within a window of `share` of it around it; `random` is uniform.
fn jittered(period: Duration, share: f64, random: u64) -> Duration {
    if share == 0.0 {
        return period;
    }
    let uniform = random as f64 / u64::MAX as f64;
    let seconds = period.as_secs_f64() * (1.0 + share * (uniform - 0.5));
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_late_call_keeps_the_phase_and_skips_what_was_missed() {
        let start = crate::clock::precise();
        assert_eq!(next_slot(start, SECOND, start), start + SECOND);
        assert_eq!(next_slot(start, SECOND, start + SECOND / 2), start + SECOND);
        assert_eq!(next_slot(start, SECOND, start + SECOND), start + 2 * SECOND);
        assert_eq!(
            next_slot(start, SECOND, start + 25 * SECOND / 10),
            start + 3 * SECOND
        );
    }

    #[test]
    fn a_very_late_call_does_not_overflow() {
        let start = crate::clock::precise();
        let nanosecond = Duration::from_nanos(1);
        assert!(next_slot(start, nanosecond, start + 3600 * SECOND) > start + 3600 * SECOND);
        assert!(next_slot(start, Duration::MAX, start) > start + 3600 * SECOND);
    }

    #[test]
    fn jitter_stays_within_its_window() {
        assert_eq!(jittered(SECOND, 0.0, 7), SECOND);
        assert_eq!(jittered(SECOND, 0.1, 0), Duration::from_millis(950));
        assert_eq!(jittered(SECOND, 0.1, u64::MAX), Duration::from_millis(1050));
        assert_eq!(jittered(Duration::MAX, 1.0, u64::MAX), Duration::MAX);
    }
}
