//! One deadline for every wait of a stream, with a timer that is re-armed lazily.

use std::rc::Rc;
use std::time::Instant;

use ioloop::TimerId;

use crate::shared::Shared;

/// When a stream's waits end, and the timer that sees to it.
///
/// Most deadlines are moved on long before they come. So moving one later leaves the timer where
/// it is; when it fires too early it is armed again for what is left.
#[derive(Default)]
pub(crate) struct Deadline {
    at: Option<Instant>,
    /// At `at` or before, if `at` is set.
    timer: Option<(TimerId, Instant)>,
}

impl Shared {
    pub(crate) fn set_deadline(self: &Rc<Self>, at: Option<Instant>) {
        let deadline = self.deadline.take();
        if at.is_none() && deadline.is_none() {
            return;
        }
        let mut deadline = deadline.unwrap_or_default();
        deadline.at = at;
        if let Some(at) = at {
            let is_armed = deadline.timer.is_some_and(|(_, armed)| armed <= at);
            if !is_armed {
                let timer = self.io_loop().notify_at(at, self.clone());
                if let Some((replaced, _)) = deadline.timer.replace((timer, at)) {
                    self.io_loop().remove_timeout(replaced);
                }
            }
        }
        self.deadline.set(Some(deadline));
    }

    /// Whether waiting is over. Whoever asks has tried to receive or send before: a deadline never
    /// beats bytes that have arrived.
    pub(crate) fn is_expired(&self) -> bool {
        let deadline = self.deadline.take();
        let at = deadline.as_ref().and_then(|deadline| deadline.at);
        self.deadline.set(deadline);
        at.is_some_and(|at| at <= self.io_loop().now())
    }

    /// The timer has fired.
    pub(crate) fn deadline_passed(self: Rc<Self>) {
        let Some(mut deadline) = self.deadline.take() else {
            return;
        };
        deadline.timer = None;
        let at = deadline.at;
        self.deadline.set(Some(deadline));
        if self.is_expired() {
            self.wake_receivers();
            self.wake_writers();
        } else {
            self.set_deadline(at);
        }
    }

    pub(crate) fn cancel_deadline(&self) {
        let deadline = self.deadline.take();
        if let Some((timer, _)) = deadline.and_then(|deadline| deadline.timer) {
            self.io_loop().remove_timeout(timer);
        }
    }
}
