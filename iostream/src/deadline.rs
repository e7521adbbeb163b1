//! One deadline for every wait of a stream, with a timer that is re-armed lazily.

use std::rc::Rc;
use std::time::{Duration, Instant};

use ioloop::TimerId;

use crate::shared::Shared;

/// When a stream's waits end, and the timer that sees to it.
///
/// Most deadlines are moved on long before they come. So moving one later leaves the timer where
/// it is; when it fires too early it is armed again for what is left.
pub(crate) struct Deadline {
    at: Option<Instant>,
    idle_timeout: Option<Duration>,
    /// When bytes last went through, if that matters.
    active: Instant,
    /// At the earliest of the two or before, if there is one.
    timer: Option<(TimerId, Instant)>,
}

impl Deadline {
    /// When waiting ends, as things stand.
    fn earliest(&self) -> Option<Instant> {
        let idle = self
            .idle_timeout
            .and_then(|timeout| self.active.checked_add(timeout));
        match (self.at, idle) {
            (Some(at), Some(idle)) => Some(at.min(idle)),
            (at, idle) => at.or(idle),
        }
    }
}

impl Shared {
    pub(crate) fn set_deadline(self: &Rc<Self>, at: Option<Instant>) {
        self.change_deadline(|deadline| deadline.at = at);
    }

    pub(crate) fn set_idle_timeout(self: &Rc<Self>, timeout: Option<Duration>) {
        let now = self.io_loop().now();
        self.change_deadline(|deadline| {
            deadline.idle_timeout = timeout;
            deadline.active = now;
        });
    }

    /// Bytes went through: the time of being idle starts over.
    pub(crate) fn was_active(&self) {
        if let Some(mut deadline) = self.deadline.take() {
            if deadline.idle_timeout.is_some() {
                deadline.active = self.io_loop().now();
            }
            self.deadline.set(Some(deadline));
        }
    }

    /// Whether waiting is over; if not, the timer will fire in time. Whoever asks has tried to
    /// receive or send before: a deadline never beats bytes that have arrived.
    pub(crate) fn is_expired(self: &Rc<Self>) -> bool {
        let deadline = self.deadline.take();
        let earliest = deadline.as_ref().and_then(|deadline| deadline.earliest());
        self.deadline.set(deadline);
        let Some(earliest) = earliest else {
            return false;
        };
        let is_expired = earliest <= self.io_loop().now();
        if !is_expired {
            // It is not armed any more if the stream was idle for too long and then went on.
            self.change_deadline(|_| {});
        }
        is_expired
    }

    /// The timer has fired.
    pub(crate) fn deadline_passed(self: Rc<Self>) {
        if let Some(mut deadline) = self.deadline.take() {
            deadline.timer = None;
            self.deadline.set(Some(deadline));
        }
        if self.is_expired() {
            self.wake_receivers();
            self.wake_writers();
        }
    }

    pub(crate) fn cancel_deadline(&self) {
        let deadline = self.deadline.take();
        if let Some((timer, _)) = deadline.and_then(|deadline| deadline.timer) {
            self.io_loop().remove_timeout(timer);
        }
    }

    /// Changes the deadline, and has the timer fire in time.
    fn change_deadline(self: &Rc<Self>, change: impl FnOnce(&mut Deadline)) {
        let mut deadline = self.deadline.take().unwrap_or_else(|| {
            let active = self.io_loop().now();
            Box::new(Deadline {
                at: None,
                idle_timeout: None,
                active,
                timer: None,
            })
        });
        change(&mut deadline);
        if deadline.timer.is_none() && deadline.earliest().is_none() {
            // A stream without a deadline owns none.
            return;
        }
        if let Some(earliest) = deadline.earliest() {
            let is_armed = deadline.timer.is_some_and(|(_, armed)| armed <= earliest);
            if !is_armed {
                let timer = self.io_loop().notify_at(earliest, self.clone());
                if let Some((replaced, _)) = deadline.timer.replace((timer, earliest)) {
                    self.io_loop().remove_timeout(replaced);
                }
            }
        }
        self.deadline.set(Some(deadline));
    }
}
