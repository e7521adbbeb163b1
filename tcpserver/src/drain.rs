//! The word that a server is stopping, and those who wait for it.

use std::cell::{Cell, RefCell};
use std::num::NonZero;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::{fmt, mem};

use ioloop::IoLoop;
use slab::Slab;

use crate::connection::Record;

/// Said once, heard by any number of futures. Whoever does not wait pays nothing.
#[derive(Default)]
pub(crate) struct Drain {
    has_begun: Cell<bool>,
    /// Who does not wait in a task of the loop: those are all woken, without a list.
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
        // Those who wait in a task of the loop, as nearly all do, are in no list.
        if let Some(io_loop) = IoLoop::try_current() {
            io_loop.wake_tasks();
        }
    }
}

/// The future that [`Connection::draining`](crate::Connection::draining) returns.
#[must_use = "futures do nothing unless awaited"]
pub struct Draining<'a> {
    connection: &'a Record,
    /// Our place in the list, which `begin` empties. Small, because idle connections hold it.
    place: Option<Place>,
    has_given_way: bool,
}

/// An index plus one, so that having none takes no room.
#[derive(Clone, Copy)]
struct Place(NonZero<u32>);

impl Place {
    fn new(index: usize) -> Place {
        let number = u32::try_from(index + 1).ok().and_then(NonZero::new);
        Place(number.expect("a process has fewer connections than 2^32 - 1"))
    }

    fn index(self) -> usize {
        self.0.get() as usize - 1
    }
}

impl<'a> Draining<'a> {
    pub(crate) fn new(connection: &'a Record) -> Draining<'a> {
        Draining {
            connection,
            place: None,
            has_given_way: false,
        }
    }

    /// As `poll`, but a turn later. What has arrived may still be in the kernel, and a stream that
    /// has just handed out a lot gives way in the middle of it: both come to light in a turn.
    pub(crate) fn poll_and_give_way(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let polled = Pin::new(&mut *self).poll(context);
        if polled.is_ready() && !self.has_given_way {
            self.has_given_way = true;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        polled
    }

    /// Has `waker` woken by the list, in the place of the one before.
    fn enter_list(&mut self, waker: &Waker) {
        let mut waiting = self.connection.drain().waiting.borrow_mut();
        let replaced = match self.place {
            Some(place) if waiting[place.index()].will_wake(waker) => None,
            Some(place) => Some(mem::replace(&mut waiting[place.index()], waker.clone())),
            None => {
                self.place = Some(Place::new(waiting.insert(waker.clone())));
                None
            }
        };
        // Dropping a waker may run foreign code: the borrow ends first.
        drop(waiting);
        drop(replaced);
    }
}

impl Future for Draining<'_> {
    type Output = ();

    #[inline]
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.connection.drain().has_begun() {
            return Poll::Ready(());
        }
        if self.place.is_some() || !IoLoop::polls_with(context.waker()) {
            self.enter_list(context.waker());
        }
        Poll::Pending
    }
}

impl Drop for Draining<'_> {
    fn drop(&mut self) {
        // Once it has begun, the list is empty.
        let drain = self.connection.drain();
        if let Some(place) = self.place.filter(|_| !drain.has_begun()) {
            let waker = drain.waiting.borrow_mut().remove(place.index());
            drop(waker);
        }
    }
}

impl fmt::Debug for Draining<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Draining")
            .field("has_begun", &self.connection.drain().has_begun())
            .finish()
    }
}
