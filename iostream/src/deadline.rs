//! One deadline for every wait of a stream, with a timer that is re-armed lazily.

use std::rc::Rc;
use std::time::{Duration, Instant};

use ioloop::{Moment, TimerId};

use crate::shared::Shared;

/// When a stream's waits end, and the timer that sees to it.
///
/// Most deadlines are moved on long before they come. So moving one later leaves the timer where
/// it is; when it fires too early it is armed again for what is left.
#[derive(Clone, Copy, Default)]
pub(crate) struct Deadline {
    at: Option<Moment>,
    /// At the end of the waits or before, if there is one.
    timer: Option<(TimerId, Moment)>,
}

/// The deadline that moves whenever bytes go through. Few streams have one.
#[derive(Clone, Copy)]
pub(crate) struct IdleTimeout {
    timeout: Duration,
    /// When bytes last went through.
    active: Instant,
}

impl Shared {
    pub(crate) fn set_deadline(self: &Rc<Self>, at: Option<Instant>) {
        self.end_waits_at(at.map(|at| self.io_loop().moment(at)));
    }

    /// For ever if it is the longest delay there is.
    pub(crate) fn set_deadline_after(self: &Rc<Self>, delay: Duration) {
        let is_limited = delay != Duration::MAX;
        self.end_waits_at(is_limited.then(|| self.io_loop().moment_now().after(delay)));
    }

    #[inline]
    fn end_waits_at(self: &Rc<Self>, at: Option<Moment>) {
        let mut deadline = self.deadline.get();
        deadline.at = at;
        self.deadline.set(deadline);
        match (at, deadline.timer) {
            (Some(at), Some((_, armed))) if armed <= at => {}
            _ => self.arm(),
        }
    }

    pub(crate) fn set_idle_timeout(self: &Rc<Self>, timeout: Option<Duration>) {
        let active = self.io_loop().now();
        let idle = timeout.map(|timeout| IdleTimeout { timeout, active });
        if idle.is_some() || self.known_extras().is_some() {
            self.extras().idle.set(idle);
        }
        self.arm();
    }

    /// Bytes went through: the time of being idle starts over.
    pub(crate) fn was_active(&self) {
        if let Some(extras) = self.known_extras() {
            let active = self.io_loop().now();
            let idle = extras.idle.get();
            extras
                .idle
                .set(idle.map(|idle| IdleTimeout { active, ..idle }));
        }
    }

    /// Whether waiting is over; if not, the timer will fire in time. Whoever asks has tried to
    /// receive or send before: a deadline never beats bytes that have arrived.
    #[inline]
    pub(crate) fn is_expired(self: &Rc<Self>) -> bool {
        if self.deadline.get().timer.is_some() {
            // It has not fired yet, and will wake who waits.
            return false;
        }
        self.end_of_waits().is_some_and(|end| self.has_passed(end))
    }

    fn has_passed(self: &Rc<Self>, end: Moment) -> bool {
        let has_passed = end <= self.io_loop().moment_now();
        if !has_passed {
            // It is not armed any more if the stream was idle for too long and then went on.
            self.arm_for(end);
        }
        has_passed
    }

    /// The timer has fired.
    pub(crate) fn deadline_passed(self: Rc<Self>) {
        let mut deadline = self.deadline.get();
        deadline.timer = None;
        self.deadline.set(deadline);
        if self.is_expired() {
            self.wake_receivers();
            self.wake_writers();
        }
    }

    pub(crate) fn cancel_deadline(&self) {
        if let Some(extras) = self.known_extras() {
            extras.idle.set(None);
        }
        if let Some((timer, _)) = self.deadline.take().timer {
            self.io_loop().remove_timeout(timer);
        }
    }

    /// When waiting ends, as things stand.
    #[inline]
    fn end_of_waits(&self) -> Option<Moment> {
        let at = self.deadline.get().at;
        match self.end_of_idling() {
            Some(idle) => Some(at.map_or(idle, |at| at.min(idle))),
            None => at,
        }
    }

    #[inline]
    fn end_of_idling(&self) -> Option<Moment> {
        let idle = self.known_extras()?.idle.get()?;
        let end = idle.active.checked_add(idle.timeout)?;
        Some(self.io_loop().moment(end))
    }

    /// Has the timer fire in time.
    fn arm(self: &Rc<Self>) {
        if let Some(end) = self.end_of_waits() {
            self.arm_for(end);
        }
    }

    fn arm_for(self: &Rc<Self>, end: Moment) {
        let mut deadline = self.deadline.get();
        if deadline.timer.is_some_and(|(_, armed)| armed <= end) {
            return;
        }
        let timer = self
            .io_loop()
            .notify_at(self.io_loop().instant(end), self.clone());
        let replaced = deadline.timer.replace((timer, end));
        self.deadline.set(deadline);
        if let Some((replaced, _)) = replaced {
            self.io_loop().remove_timeout(replaced);
        }
    }
}
