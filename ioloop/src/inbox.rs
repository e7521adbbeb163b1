//! What other threads put before a loop: callbacks, woken tasks, the wish to stop.

use std::error::Error;
use std::fmt;
use std::panic::Location;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::io_loop::IoLoop;
use crate::tasks::LabelledRunnable;
use crate::wait::Alarm;

/// A handle to a loop for other threads.
///
/// ```
/// use ioloop::IoLoop;
///
/// let io_loop = IoLoop::current();
/// let remote = io_loop.remote();
/// let worker = std::thread::spawn(move || {
///     let sum: u64 = (1..=10).sum();
///     remote.add_callback(move || {
///         assert_eq!(sum, 55);
///         IoLoop::current().stop();
///     })
/// });
/// io_loop.start();
/// worker.join().unwrap().unwrap();
/// ```
#[derive(Clone)]
pub struct Remote {
    pub(crate) inbox: Arc<Inbox>,
}

impl Remote {
    /// Runs `callback` on the loop's thread, in the next turn, after whatever this thread has
    /// added before. Wakes the loop if it waits.
    ///
    /// # Errors
    /// [`Closed`] if the loop is closed; the callback is dropped here.
    #[track_caller]
    pub fn add_callback(&self, callback: impl FnOnce() + Send + 'static) -> Result<(), Closed> {
        self.inbox
            .post(Mail::Callback(Box::new(callback), Location::caller()))
    }

    /// Spawns the future that `make` returns, on the loop's thread.
    ///
    /// `make` travels to the other thread, so the future itself need not be `Send`. It is
    /// detached; to get an answer back, send it through a channel.
    ///
    /// ```
    /// use ioloop::IoLoop;
    ///
    /// let io_loop = IoLoop::current();
    /// let remote = io_loop.remote();
    /// std::thread::spawn(move || {
    ///     remote.spawn(|| async {
    ///         ioloop::sleep(std::time::Duration::from_millis(1)).await;
    ///         IoLoop::current().stop();
    ///     })
    /// });
    /// io_loop.start();
    /// ```
    ///
    /// # Errors
    /// [`Closed`] if the loop is closed.
    #[track_caller]
    pub fn spawn<F>(&self, make: impl FnOnce() -> F + Send + 'static) -> Result<(), Closed>
    where
        F: Future<Output = ()> + 'static,
    {
        let location = Location::caller();
        let callback = move || {
            // A loop runs what is in its inbox only while it is its thread's loop.
            if let Some(io_loop) = IoLoop::try_current() {
                io_loop.spawn_at(location, make()).detach();
            }
        };
        self.inbox
            .post(Mail::Callback(Box::new(callback), location))
    }

    /// Makes [`IoLoop::start`] return, as [`IoLoop::stop`] does.
    ///
    /// # Errors
    /// [`Closed`] if the loop is closed.
    ///
    /// ```
    /// let io_loop = ioloop::IoLoop::current();
    /// let remote = io_loop.remote();
    /// std::thread::spawn(move || remote.stop());
    /// io_loop.start();
    /// ```
    pub fn stop(&self) -> Result<(), Closed> {
        self.inbox.post(Mail::Stop)
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Remote")
            .field("loop_id", &self.inbox.loop_id)
            .finish()
    }
}

/// The loop that was asked is closed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Closed;

impl fmt::Display for Closed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the event loop is closed")
    }
}

impl Error for Closed {}

/// A queue that any thread may push to and only the loop's thread empties.
///
/// Its length is bounded by what the pushing threads do, which we cannot slow down without
/// blocking them; a producer that must be held back uses a bounded channel.
pub(crate) struct Inbox {
    pub(crate) loop_id: usize,
    alarm: Alarm,
    state: Mutex<State>,
}

struct State {
    mail: Vec<Mail>,
    phase: Phase,
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Phase {
    Open,
    /// `close` is cancelling tasks: their runnables must still arrive, callbacks are refused.
    Closing,
    Closed,
}

pub(crate) enum Mail {
    Callback(Box<dyn FnOnce() + Send>, &'static Location<'static>),
    Runnable(LabelledRunnable),
    Stop,
}

impl Inbox {
    pub(crate) fn new(loop_id: usize, alarm: Alarm) -> Inbox {
        let state = State {
            mail: Vec::new(),
            phase: Phase::Open,
        };
        Inbox {
            loop_id,
            alarm,
            state: Mutex::new(state),
        }
    }

    fn post(&self, mail: Mail) -> Result<(), Closed> {
        let state = self.lock();
        if state.phase != Phase::Open {
            // The mail may own anything: its destructor runs without the lock.
            drop(state);
            drop(mail);
            return Err(Closed);
        }
        self.push(state, mail);
        Ok(())
    }

    /// Takes a task that was woken on another thread.
    pub(crate) fn post_runnable(&self, runnable: LabelledRunnable) {
        let state = self.lock();
        if state.phase == Phase::Closed {
            drop(state);
            // The future belongs to the loop's thread, and async-task aborts the process if it is
            // dropped on another. `close` waits for every live task, so this cannot be reached
            // unless it gave up waiting: a leak is the better end.
            std::mem::forget(runnable);
            return;
        }
        self.push(state, Mail::Runnable(runnable));
    }

    /// Wakes the loop without a message.
    pub(crate) fn raise_alarm(&self) {
        self.alarm.raise();
    }

    /// Takes everything out. Whoever was first to push has raised the alarm.
    pub(crate) fn take(&self) -> Vec<Mail> {
        std::mem::take(&mut self.lock().mail)
    }

    pub(crate) fn begin_close(&self) {
        self.lock().phase = Phase::Closing;
    }

    pub(crate) fn finish_close(&self) {
        self.lock().phase = Phase::Closed;
    }

    fn push(&self, mut state: MutexGuard<'_, State>, mail: Mail) {
        let was_empty = state.mail.is_empty();
        state.mail.push(mail);
        drop(state);
        // Whoever finds it not empty knows that the alarm was raised and not yet answered.
        if was_empty {
            self.alarm.raise();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No user code runs under this lock, so a poisoned one still holds a whole state.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
