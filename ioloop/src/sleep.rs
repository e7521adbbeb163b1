//! Waiting for a time, and giving up waiting: `sleep` and `timeout`.

use std::error::Error;
use std::fmt;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use pin_project_lite::pin_project;

use crate::io_loop::{Action, IoLoop};
use crate::timers::TimerId;

/// Waits for `duration`, on this thread's loop.
///
/// # Cancel safety
/// Dropping the future removes its timer.
///
/// ```
/// use std::time::Duration;
///
/// ioloop::IoLoop::current().run_until(async {
///     ioloop::sleep(Duration::from_millis(1)).await;
/// });
/// ```
#[track_caller]
pub fn sleep(duration: Duration) -> Sleep {
    let io_loop = IoLoop::current();
    let deadline = io_loop.after(duration);
    Sleep {
        io_loop,
        deadline,
        location: Location::caller(),
        timer: None,
    }
}

/// Waits until `deadline`, on this thread's loop; not at all if it has passed.
///
/// # Cancel safety
/// Dropping the future removes its timer.
///
/// ```
/// use std::time::Duration;
///
/// let io_loop = ioloop::IoLoop::current();
/// let deadline = io_loop.now() + Duration::from_millis(1);
/// io_loop.run_until(ioloop::sleep_until(deadline));
/// assert!(io_loop.now() >= deadline);
/// ```
#[track_caller]
pub fn sleep_until(deadline: Instant) -> Sleep {
    Sleep {
        io_loop: IoLoop::current(),
        deadline,
        location: Location::caller(),
        timer: None,
    }
}

/// Gives `future` at most `duration`.
///
/// The future is asked first and the clock second: an answer that has arrived counts, however
/// late the loop gets to it.
///
/// # Errors
/// [`TimedOut`]; the future is dropped with the timeout.
///
/// # Cancel safety
/// That of `future`.
///
/// ```
/// use std::time::Duration;
/// use ioloop::{TimedOut, timeout};
///
/// ioloop::IoLoop::current().run_until(async {
///     assert_eq!(timeout(Duration::from_millis(1), async { 5 }).await, Ok(5));
///     let never = std::future::pending::<()>();
///     assert_eq!(timeout(Duration::from_millis(1), never).await, Err(TimedOut));
/// });
/// ```
#[track_caller]
pub fn timeout<F: Future>(duration: Duration, future: F) -> Timeout<F> {
    Timeout {
        future,
        sleep: sleep(duration),
    }
}

/// The future that [`sleep`] and [`sleep_until`] return.
#[must_use = "futures do nothing unless awaited"]
pub struct Sleep {
    io_loop: IoLoop,
    deadline: Instant,
    location: &'static Location<'static>,
    timer: Option<TimerId>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.io_loop.core.clock.is_due(self.deadline) {
            return Poll::Ready(());
        }
        let kept = self
            .timer
            .is_some_and(|timer| self.io_loop.wakes(timer, context.waker()));
        if !kept {
            // The future has moved to another task, or is polled for the first time.
            self.cancel();
            let action = Action::Wake(context.waker().clone());
            self.timer = Some(self.io_loop.add_timer(self.deadline, self.location, action));
        }
        Poll::Pending
    }
}

impl Sleep {
    fn cancel(&mut self) {
        if let Some(timer) = self.timer.take() {
            self.io_loop.remove_timeout(timer);
        }
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.cancel();
    }
}

impl fmt::Debug for Sleep {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Sleep")
            .field("deadline", &self.deadline)
            .finish()
    }
}

pin_project! {
    /// The future that [`timeout`] returns.
    #[derive(Debug)]
    #[must_use = "futures do nothing unless awaited"]
    pub struct Timeout<F> {
        #[pin]
        future: F,
        sleep: Sleep,
    }
}

impl<F: Future> Future for Timeout<F> {
    type Output = Result<F::Output, TimedOut>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Poll::Ready(output) = this.future.poll(context) {
            return Poll::Ready(Ok(output));
        }
        Pin::new(this.sleep).poll(context).map(|()| Err(TimedOut))
    }
}

/// The time given to [`timeout`] was over first.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TimedOut;

impl fmt::Display for TimedOut {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("timed out")
    }
}

impl Error for TimedOut {}

impl From<TimedOut> for std::io::Error {
    fn from(_: TimedOut) -> Self {
        std::io::ErrorKind::TimedOut.into()
    }
}
