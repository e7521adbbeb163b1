//! Running a loop, turn by turn.
//!
//! The steps of a turn, in this order: the inbox if the last wait saw the alarm, the callbacks
//! present at the start, the timers that are due, at most [`TASKS_PER_TURN`] tasks, what asked to
//! be told of the end of the turn, then the wait and the events it brought.

use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use crate::clock;
use crate::handlers::{Event, HandlerId, Interest};
use crate::inbox::{Inbox, Mail};
use crate::io_loop::{Action, IoLoop};
use crate::notify::Notice;
use crate::panics::{Reported, contain};
use crate::thread;
use crate::wait::Ready;

impl IoLoop {
    /// Runs turns until [`stop`](IoLoop::stop) is called. A stop before the start makes this
    /// return after a single pass over what is ready, without waiting.
    ///
    /// # Panics
    /// If the loop is closed, is running already, or was made before a `fork` of this process; and
    /// if the system refuses to wait, which means that the poller's descriptor was closed.
    ///
    /// ```
    /// use ioloop::IoLoop;
    ///
    /// let io_loop = IoLoop::current();
    /// io_loop.spawn(async { IoLoop::current().stop() }).detach();
    /// io_loop.start();
    /// ```
    pub fn start(&self) {
        let _running = self.begin("start");
        loop {
            self.run_ready();
            if self.core.stopped.take() {
                self.notify_end_of_turn();
                return;
            }
            self.wait_and_dispatch(None);
        }
    }

    /// Makes [`start`](IoLoop::start) return when what is ready in this turn has run. It has no
    /// effect on [`run_until`](IoLoop::run_until), which ends with its future.
    ///
    /// ```
    /// use ioloop::IoLoop;
    ///
    /// let io_loop = IoLoop::current();
    /// io_loop.add_callback(|| IoLoop::current().stop());
    /// io_loop.start();
    /// ```
    pub fn stop(&self) {
        self.core.stopped.set(true);
    }

    /// Runs turns until `future` is ready, and gives its output. A panic of the future goes on
    /// here. Tornado calls this `run_sync`.
    ///
    /// The future may borrow from its surroundings. Tasks, timers and handlers of the loop run
    /// meanwhile; they stay when it returns.
    ///
    /// # Panics
    /// As for [`start`](IoLoop::start). In a task or callback, use [`spawn`](IoLoop::spawn) or
    /// `.await` instead.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let text = String::from("hello");
    /// let length = ioloop::IoLoop::current().run_until(async {
    ///     ioloop::sleep(Duration::from_millis(1)).await;
    ///     text.len()
    /// });
    /// assert_eq!(length, 5);
    /// ```
    #[doc(alias = "run_sync")]
    #[doc(alias = "block_on")]
    pub fn run_until<F: Future>(&self, future: F) -> F::Output {
        let _running = self.begin("run_until");
        let mut future = pin!(future);
        let signal = Arc::new(MainSignal::new(self.core.inbox.clone()));
        let waker = Waker::from(signal.clone());
        let mut context = Context::from_waker(&waker);
        loop {
            self.run_ready();
            if signal.take() {
                if let Poll::Ready(output) = poll_main(future.as_mut(), &mut context) {
                    self.notify_end_of_turn();
                    return output;
                }
            }
            self.wait_and_dispatch(signal.is_set().then_some(Duration::ZERO));
        }
    }

    /// Runs one turn, waiting for at most `max_wait`, or for as long as it takes with `None`. For
    /// loops that are hosted by another, and for tests.
    ///
    /// # Panics
    /// As for [`start`](IoLoop::start).
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// ioloop::IoLoop::current().turn(Some(Duration::ZERO));
    /// ```
    pub fn turn(&self, max_wait: Option<Duration>) {
        let _running = self.begin("turn");
        self.run_ready();
        self.wait_and_dispatch(max_wait);
    }

    /// When a host must call [`turn`](IoLoop::turn) again although no descriptor is ready: now if
    /// something can run, else at the first timer's deadline; none if there is neither.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let io_loop = ioloop::IoLoop::current();
    /// assert_eq!(io_loop.next_deadline(), None);
    /// io_loop.call_later(Duration::from_secs(1), || {});
    /// assert_eq!(io_loop.next_deadline(), Some(io_loop.now() + Duration::from_secs(1)));
    /// ```
    pub fn next_deadline(&self) -> Option<Instant> {
        if self.has_work() {
            return Some(self.now());
        }
        self.core.timers.borrow_mut().next_deadline()
    }

    /// Marks the loop as running until the guard is dropped.
    fn begin(&self, call: &str) -> Running<'_> {
        let core = &self.core;
        assert!(
            !core.running.get(),
            "IoLoop::{call} was called while the loop is running on this thread: inside a task \
             or callback, spawn a task or await the future instead"
        );
        assert!(
            !core.closed.get(),
            "IoLoop::{call} was called on a closed loop"
        );
        assert!(
            core.process == std::process::id(),
            "this loop was made before a fork: make loops after it"
        );
        core.running.set(true);
        let now = clock::precise();
        core.clock.refresh(now);
        core.counters.resume(now);
        Running(self)
    }

    /// Every step of a turn before the wait.
    fn run_ready(&self) {
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
                    self.call("a callback", location, callback);
                    self.core.counters.count(|totals| totals.callbacks += 1);
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
            self.call("a callback", callback.location, callback.run);
        }
        self.core
            .counters
            .count(|totals| totals.callbacks += present as u64);
    }

    /// One at a time, so that a timer can cancel another that is due.
    fn run_timers(&self) {
        let (now, limit) = (self.now(), self.core.timers.borrow().next_sequence());
        loop {
            let due = self.core.timers.borrow_mut().pop_due(now, limit);
            let Some((action, location)) = due else { break };
            self.call("a timer", location, || match action {
                Action::Call(callback) => callback(),
                Action::Wake(waker) => waker.wake(),
                Action::Notify(object) => object.notify(Notice::Deadline),
            });
            self.core.counters.count(|totals| totals.timers_fired += 1);
        }
    }

    fn run_tasks(&self) {
        let mut polls = 0;
        while polls < TASKS_PER_TURN {
            let Some(runnable) = thread::pop_ready() else {
                break;
            };
            let location = self.core.tasks.borrow().location(*runnable.metadata());
            // A panic of the future is caught in `Tracked`; what is left is async-task's own.
            self.call("a task", location, || runnable.run());
            polls += 1;
        }
        self.core
            .counters
            .count(|totals| totals.polls += polls as u64);
    }

    fn notify_end_of_turn(&self) {
        let mut objects = self.core.end_of_turn.take();
        for object in objects.drain(..) {
            contain("an end-of-turn notice", Location::caller(), || {
                object.notify(Notice::EndOfTurn);
            });
        }
        // Give the buffer back, unless there are new entries already.
        let mut current = self.core.end_of_turn.borrow_mut();
        if current.is_empty() {
            *current = objects;
        }
    }

    fn wait_and_dispatch(&self, max_wait: Option<Duration>) {
        self.notify_end_of_turn();
        let mut wait_began = None;
        if self.has_work() {
            self.wait(Some(Duration::ZERO));
        } else if self.core.clock.is_virtual() {
            self.wait_in_virtual_time(max_wait);
        } else {
            let now = clock::precise();
            wait_began = Some(now);
            let deadline = self.core.timers.borrow_mut().next_deadline();
            let until = deadline.map(|deadline| deadline.saturating_duration_since(now));
            self.wait(earlier(until, max_wait));
        }
        let now = clock::precise();
        self.core.clock.refresh(now);
        self.core
            .counters
            .turn_ended(wait_began.unwrap_or(now), now);
        self.dispatch();
    }

    /// If there is nothing to read either, time jumps to the next deadline. While a blocking
    /// closure is out, and without a deadline, only a real wait helps.
    fn wait_in_virtual_time(&self, max_wait: Option<Duration>) {
        self.wait(Some(Duration::ZERO));
        if self.core.woken.get() || !self.core.ready.borrow().is_empty() {
            return;
        }
        let deadline = self.core.timers.borrow_mut().next_deadline();
        match earlier(deadline, max_wait.map(|max_wait| self.after(max_wait))) {
            Some(target) if self.core.blocking.get() == 0 => self.core.clock.jump_to(target),
            _ => self.wait(None),
        }
    }

    /// Adds what is ready to the buffer.
    fn wait(&self, timeout: Option<Duration>) {
        let mut ready = self.core.ready.borrow_mut();
        match self.core.waiter.borrow_mut().wait(&mut ready, timeout) {
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
        for ready in &batch {
            self.dispatch_one(*ready);
        }
        self.core
            .counters
            .count(|totals| totals.events += batch.len() as u64);
        batch.clear();
        *self.core.ready.borrow_mut() = batch;
    }

    /// Looks the key up now: a handler that was called before may have removed this one, or have
    /// lost interest in a direction for it.
    fn dispatch_one(&self, ready: Ready) {
        let id = HandlerId::from_key(ready.key);
        let found = {
            let sources = self.core.sources.borrow();
            sources.dispatch(id)
        };
        let Some((source, interest, location)) = found else {
            return;
        };
        if ready.only_urgent {
            self.core
                .waiter
                .borrow()
                .ignore_urgent(source.as_fd(), ready.key, interest);
            return;
        }
        let (read, write) = (
            interest.contains(Interest::READ),
            interest.contains(Interest::WRITE),
        );
        let event = Event {
            id,
            readable: ready.readable && (read || ready.hang_up),
            writable: ready.writable && (write || ready.hang_up),
            hang_up: ready.hang_up,
        };
        if interest.is_none() || event.directions().is_none() {
            return;
        }
        if self
            .call("a handler", location, || source.ready(event))
            .is_none()
        {
            // Level-triggered: it would be called, and panic, again and again.
            self.remove_handler(id);
        }
    }

    /// Calls user code: contained, and watched for holding the loop.
    fn call<R>(
        &self,
        what: &str,
        location: &'static Location<'static>,
        code: impl FnOnce() -> R,
    ) -> Option<R> {
        let result = contain(what, location, code);
        if self.core.watch.lap(what, location) {
            self.core.clock.refresh(clock::precise());
        }
        result
    }

    /// Whether something can run without an event or a deadline.
    fn has_work(&self) -> bool {
        let core = &self.core;
        core.woken.get()
            || core.stopped.get()
            || thread::has_ready()
            || !core.callbacks.borrow().is_empty()
            || !core.end_of_turn.borrow().is_empty()
            || !core.ready.borrow().is_empty()
    }
}

/// Polls the future of `run_until`. A panic goes on to the caller, as it was thrown: also one that
/// comes from an awaited task and was reported there.
fn poll_main<F: Future>(future: Pin<&mut F>, context: &mut Context<'_>) -> Poll<F::Output> {
    match catch_unwind(AssertUnwindSafe(|| future.poll(context))) {
        Ok(poll) => poll,
        Err(payload) => match payload.downcast::<Reported>() {
            Ok(reported) => resume_unwind(reported.0),
            Err(payload) => resume_unwind(payload),
        },
    }
}

/// The smaller of two bounds that may be absent.
fn earlier<T: Ord>(one: Option<T>, other: Option<T>) -> Option<T> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// The loop is running; not any more when this is dropped.
struct Running<'a>(&'a IoLoop);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.core.running.set(false);
    }
}

/// Whether the future of `run_until` was woken.
struct MainSignal {
    woken: AtomicBool,
    inbox: Arc<Inbox>,
}

impl MainSignal {
    fn new(inbox: Arc<Inbox>) -> MainSignal {
        MainSignal {
            woken: AtomicBool::new(true),
            inbox,
        }
    }

    fn is_set(&self) -> bool {
        self.woken.load(Ordering::Acquire)
    }

    fn take(&self) -> bool {
        self.woken.swap(false, Ordering::AcqRel)
    }
}

impl Wake for MainSignal {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let was_set = self.woken.swap(true, Ordering::AcqRel);
        if !was_set && !thread::has_loop(self.inbox.loop_id) {
            self.inbox.raise_alarm();
        }
    }
}

/// As many as one wait can wake, so that everything which a wait has woken runs before the next;
/// a bound all the same, so that tasks which wake each other cannot keep input and timers out.
const TASKS_PER_TURN: usize = 1024;
