//! A turn of a loop, step by step.
//!
//! The steps, in this order: the inbox if the last wait saw the alarm, the callbacks present at the
//! start, the timers that are due, at most [`TASKS_PER_TURN`] tasks, what asked to be told of the
//! end of the turn, then the wait and the events it brought.

use std::panic::Location;
use std::time::Duration;

use crate::handlers::{Event, HandlerId, Interest};
use crate::inbox::Mail;
use crate::io_loop::{Action, Ending, IoLoop};
use crate::moment::Moment;
use crate::notify::Notice;
use crate::panics::contain;
use crate::thread;
use crate::wait::Ready;

impl IoLoop {
    /// Every step of a turn before the wait.
    pub(crate) fn run_ready(&self) {
        self.core.watch.begin();
        thread::requeue_yielded();
        if self.core.woken.take() {
            self.read_inbox();
        }
        self.run_callbacks();
        self.run_timers();
        self.run_tasks();
    }

    fn read_inbox(&self) {
        for mail in self.core.inbox.take() {
            match mail {
                Mail::Callback(callback, location) => {
                    self.call("a callback", || location, callback);
                    self.core.counters.callbacks.add(1);
                }
                Mail::Runnable(runnable) => thread::push_ready(runnable),
                Mail::Stop => self.stop(),
            }
        }
    }

    /// Those present now: what they add waits for the next turn.
    fn run_callbacks(&self) {
        let present = self.core.callbacks.borrow().len();
        for _ in 0..present {
            let callback = self.core.callbacks.borrow_mut().pop_front();
            let Some(callback) = callback else { break };
            self.call("a callback", || callback.location, callback.run);
        }
        self.core.counters.callbacks.add(present as u64);
    }

    /// One at a time, so that a timer can cancel another that is due.
    fn run_timers(&self) {
        if self.core.timers.borrow().len() == 0 {
            return;
        }
        let now = self.core.clock.due();
        let limit = self.core.timers.borrow().next_sequence();
        loop {
            let due = self.core.timers.borrow_mut().pop_due(now, limit);
            let Some((action, place)) = due else { break };
            let location = || self.core.places.location(place);
            self.call("a timer", location, || match action {
                Action::Call(callback) => callback(),
                Action::Wake(waker) => waker.wake(),
                Action::Notify(object) => object.notify(Notice::Deadline),
            });
            self.core.counters.timers_fired.add(1);
        }
    }

    fn run_tasks(&self) {
        let mut polls = 0;
        while polls < TASKS_PER_TURN {
            let Some(runnable) = thread::pop_ready() else {
                break;
            };
            // Panics are caught in `Tracked`.
            runnable.run();
            if let Some(held) = self.core.watch.slow_lap() {
                if let Some(place) = self.core.last_task.get() {
                    self.held("a task", self.core.places.location(place), held);
                }
            }
            polls += 1;
        }
        thread::end_polls();
        self.core.counters.polls.add(polls as u64);
    }

    pub(crate) fn notify_end_of_turn(&self) {
        if self.core.end_of_turn.borrow().is_empty() {
            return;
        }
        let mut endings = self.core.end_of_turn.take();
        for Ending { object, location } in endings.drain(..) {
            self.call(
                "an end-of-turn notice",
                || location,
                || object.notify(Notice::EndOfTurn),
            );
        }
        // Give the buffer back, unless there are new entries already.
        let mut current = self.core.end_of_turn.borrow_mut();
        if current.is_empty() {
            *current = endings;
        }
    }

    pub(crate) fn wait_and_dispatch(&self, max_wait: Option<Duration>) {
        let mut wait_began = None;
        if self.has_work() {
            let now = self.core.clock.moment();
            self.wait(now, Some(now));
        } else if self.core.clock.is_virtual() {
            self.wait_in_virtual_time(max_wait);
        } else {
            let now = self.core.clock.real();
            wait_began = Some(now);
            let deadline = self.core.timers.borrow_mut().next_deadline();
            let until = max_wait.map(|max_wait| now.after(max_wait));
            self.wait(now, earlier(deadline, until));
        }
        let now = self.core.clock.turn_begins();
        self.core
            .counters
            .turn_ended(wait_began.unwrap_or(now), now);
        self.dispatch();
    }

    /// If there is nothing to read either, time jumps to the next deadline, or as far as the turn
    /// may wait. While a blocking closure is out, and without either, only a real wait helps.
    fn wait_in_virtual_time(&self, max_wait: Option<Duration>) {
        let clock = &self.core.clock;
        let now = clock.real();
        self.wait(now, Some(now));
        if self.core.woken.get() || !self.core.ready.borrow().is_empty() {
            return;
        }
        let deadline = self.core.timers.borrow_mut().next_deadline();
        match earlier(
            deadline,
            max_wait.map(|max_wait| clock.moment().after(max_wait)),
        ) {
            Some(target) if self.core.blocking.get() == 0 => clock.jump_to(target),
            _ => self.wait(now, max_wait.map(|max_wait| now.after(max_wait))),
        }
    }

    /// Adds what is ready to the buffer.
    fn wait(&self, now: Moment, until: Option<Moment>) {
        let mut ready = self.core.ready.borrow_mut();
        match self.core.waiter.borrow_mut().wait(&mut ready, now, until) {
            Ok(woken) => self.core.woken.set(self.core.woken.get() || woken),
            Err(error) => panic!("the event loop cannot wait for events: {error}"),
        }
    }

    fn dispatch(&self) {
        let mut batch = self.core.ready.take();
        if batch.is_empty() {
            return;
        }
        self.core.watch.begin();
        let handed = batch
            .iter()
            .filter(|ready| self.dispatch_one(**ready))
            .count();
        self.core.counters.events.add(handed as u64);
        batch.clear();
        *self.core.ready.borrow_mut() = batch;
    }

    /// Looks the key up now: a handler that was called before may have removed this one, or have
    /// lost interest in a direction for it. Says whether there was somebody to call.
    fn dispatch_one(&self, ready: Ready) -> bool {
        let Some(id) = HandlerId::from_key(ready.key) else {
            return false;
        };
        let found = self.core.sources.borrow().dispatch(id);
        let Some((source, interest, place)) = found else {
            return false;
        };
        let location = || self.core.places.location(place);
        if ready.only_urgent {
            contain("a handler", location, || self.ignore_urgent(id));
            return false;
        }
        // A hang-up concerns both directions, also one that nobody asked about.
        let directions = match ready.hang_up && !interest.is_none() {
            true => Interest::BOTH,
            false => ready.directions.and(interest),
        };
        if directions.is_none() {
            return false;
        }
        let event = Event {
            id,
            readable: directions.contains(Interest::READ),
            writable: directions.contains(Interest::WRITE),
            hang_up: ready.hang_up,
        };
        let called = self.call("a handler", location, || source.ready(event));
        if called.is_none() {
            // Level-triggered: it would be called, and panic, again and again.
            contain("the destructor of a handler", location, || {
                self.remove_handler(id)
            });
        }
        true
    }

    /// Calls user code: contained, and watched for holding the loop.
    fn call<R>(
        &self,
        what: &str,
        location: impl Fn() -> &'static Location<'static>,
        code: impl FnOnce() -> R,
    ) -> Option<R> {
        let result = contain(what, &location, code);
        self.lap(what, location);
        result
    }

    /// User code that was made at `location` has returned.
    pub(crate) fn lap(&self, what: &str, location: impl FnOnce() -> &'static Location<'static>) {
        if let Some(held) = self.core.watch.slow_lap() {
            self.held(what, location(), held);
        }
    }

    /// Code has held the loop: it is named, and the clock is read again.
    #[cold]
    fn held(&self, what: &str, location: &'static Location<'static>, held: Duration) {
        self.core.watch.warn(what, location, held);
        self.core.clock.refresh();
    }

    /// Whether something can run without an event or a deadline.
    pub(crate) fn has_work(&self) -> bool {
        let core = &self.core;
        core.woken.get()
            || thread::has_ready()
            || !core.callbacks.borrow().is_empty()
            || !core.end_of_turn.borrow().is_empty()
            || !core.ready.borrow().is_empty()
    }
}

/// The smaller of two bounds that may be absent.
fn earlier<T: Ord>(one: Option<T>, other: Option<T>) -> Option<T> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// As many as one wait can wake, so that everything which a wait has woken runs before the next;
/// a bound all the same, so that tasks which wake each other cannot keep input and timers out.
const TASKS_PER_TURN: usize = 1024;
