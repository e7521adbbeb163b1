//! Running a loop: until it is stopped, until a future is ready, or for one turn.

use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use crate::inbox::Inbox;
use crate::io_loop::IoLoop;
use crate::panics::Reported;
use crate::thread;

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
            self.notify_end_of_turn();
            if self.core.stopped.take() {
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
    #[track_caller]
    pub fn run_until<F: Future>(&self, future: F) -> F::Output {
        let (_running, location) = (self.begin("run_until"), Location::caller());
        let mut future = pin!(future);
        let signal = Arc::new(MainSignal::new(self.core.inbox.clone()));
        let waker = Waker::from(signal.clone());
        let mut context = Context::from_waker(&waker);
        loop {
            self.run_ready();
            if signal.take() {
                let polled = poll_main(future.as_mut(), &mut context);
                self.lap("the future of run_until", || location);
                if let Poll::Ready(output) = polled {
                    self.notify_end_of_turn();
                    return output;
                }
            }
            // First the notices, which may wake the future, then the question whether it is awake.
            self.notify_end_of_turn();
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
        self.notify_end_of_turn();
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
        let deadline = self.core.timers.borrow_mut().next_deadline()?;
        Some(self.instant(deadline))
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
        core.counters.resume(core.clock.turn_begins());
        Running(self)
    }
}

/// Polls the future of `run_until`. A panic goes on to the caller, as it was thrown: also one that
/// comes from an awaited task and was reported there.
fn poll_main<F: Future>(future: Pin<&mut F>, context: &mut Context<'_>) -> Poll<F::Output> {
    match catch_unwind(AssertUnwindSafe(|| future.poll(context))) {
        Ok(poll) => poll,
        Err(payload) => match payload.downcast::<Reported>() {
            Ok(reported) => resume_unwind(reported.into_payload()),
            Err(payload) => resume_unwind(payload),
        },
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
