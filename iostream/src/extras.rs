//! What few streams need: limits of their own, an idle timeout, and waiters other than the reader.

use std::cell::Cell;
use std::task::Waker;

use crate::deadline::IdleTimeout;
use crate::limits::Limits;
use crate::shared::Waiter;

/// Made when the first of it is needed.
#[derive(Default)]
pub(crate) struct Extras {
    pub(crate) limits: Cell<Limits>,
    pub(crate) idle: Cell<Option<IdleTimeout>>,
    /// Who waits for the peer to close.
    pub(crate) watchers: Cell<Vec<Waker>>,
    /// Who sends what the transport has refused: the driver task.
    pub(crate) sender: Cell<Option<Waker>>,
}

impl Extras {
    /// Whom to wake for a waiter that is not the reader.
    #[inline(never)]
    pub(crate) fn remember(&self, waiter: Waiter, waker: &Waker) {
        if waiter == Waiter::Sender {
            self.sender.set(Some(waker.clone()));
            return;
        }
        let mut watchers = self.watchers.take();
        if !watchers.iter().any(|known| known.will_wake(waker)) {
            watchers.push(waker.clone());
        }
        self.watchers.set(watchers);
    }

    pub(crate) fn wake_watchers(&self) {
        self.watchers.take().into_iter().for_each(Waker::wake);
    }
}
