//! The word that a server is stopping, and those who wait for it.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use slab::Slab;

/// Said once, heard by any number of futures. Whoever does not wait pays nothing.
#[derive(Default)]
pub(crate) struct Drain {
    has_begun: Cell<bool>,
    waiting: RefCell<Slab<Waker>>,
}

impl Drain {
    pub(crate) fn has_begun(&self) -> bool {
        self.has_begun.get()
    }

    pub(crate) fn begin(&self) {
        self.has_begun.set(true);
        let mut waiting = self.waiting.take();
        waiting.drain().for_each(Waker::wake);
    }
}

/// The future that [`Connection::draining`](crate::Connection::draining) returns.
#[must_use = "futures do nothing unless awaited"]
pub struct Draining<'a> {
    drain: &'a Drain,
    /// Our place in the list, which `begin` empties.
    key: Option<usize>,
}

impl<'a> Draining<'a> {
    pub(crate) fn new(drain: &'a Drain) -> Draining<'a> {
        Draining { drain, key: None }
    }
}

impl Future for Draining<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.drain.has_begun() {
            self.key = None;
            return Poll::Ready(());
        }
        let mut waiting = self.drain.waiting.borrow_mut();
        let replaced = match self.key {
            Some(key) if waiting[key].will_wake(context.waker()) => None,
            Some(key) => Some(std::mem::replace(
                &mut waiting[key],
                context.waker().clone(),
            )),
            None => {
                let key = waiting.insert(context.waker().clone());
                drop(waiting);
                self.key = Some(key);
                return Poll::Pending;
            }
        };
        // Dropping a waker may run foreign code: the borrow ends first.
        drop(waiting);
        drop(replaced);
        Poll::Pending
    }
}

impl Drop for Draining<'_> {
    fn drop(&mut self) {
        if let Some(key) = self.key.filter(|_| !self.drain.has_begun()) {
            let waker = self.drain.waiting.borrow_mut().remove(key);
            drop(waker);
        }
    }
}

impl fmt::Debug for Draining<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Draining")
            .field("has_begun", &self.drain.has_begun())
            .finish()
    }
}
