//! Work that blocks, on a pool of threads beside the loop.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use crate::io_loop::{Core, IoLoop};

impl IoLoop {
    /// Runs `work` on another thread and waits for what it returns, while this loop goes on.
    ///
    /// For files, name look-ups, compression, anything that takes more than a millisecond. The
    /// pool belongs to the process, grows to 500 threads under load (`BLOCKING_MAX_THREADS` in the
    /// environment changes that) and shrinks again when idle.
    ///
    /// It starts at once. In [virtual time](crate::testing) time stands still until the future has
    /// been told the result: to start work now and await it after a deadline, spawn it.
    ///
    /// # Panics
    /// A panic of `work` goes on where the future is awaited.
    ///
    /// # Cancel safety
    /// Dropping the future gives the result up. `work` does not start if it has not yet; if it
    /// has, it runs to its end.
    ///
    /// ```
    /// let io_loop = ioloop::IoLoop::current();
    /// let sum = io_loop.run_until(io_loop.run_blocking(|| (1..=1_000_000_u64).sum::<u64>()));
    /// assert_eq!(sum, 500_000_500_000);
    /// ```
    pub fn run_blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> RunBlocking<T> {
        RunBlocking {
            task: blocking::unblock(work),
            count: Some(Count::new(self)),
        }
    }
}

/// The future that [`IoLoop::run_blocking`] returns.
#[derive(Debug)]
#[must_use = "dropping it gives up the result"]
pub struct RunBlocking<T> {
    task: blocking::Task<T>,
    /// Until the answer is there.
    count: Option<Count>,
}

impl<T> Future for RunBlocking<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let polled = Pin::new(&mut self.task).poll(context);
        if polled.is_ready() {
            self.count = None;
        }
        polled
    }
}

/// Counts the closures that are out: virtual time must not jump over them.
struct Count(Rc<Core>);

impl Count {
    fn new(io_loop: &IoLoop) -> Count {
        io_loop.core.blocking.set(io_loop.core.blocking.get() + 1);
        Count(io_loop.core.clone())
    }
}

impl Drop for Count {
    fn drop(&mut self) {
        self.0.blocking.set(self.0.blocking.get() - 1);
    }
}

impl std::fmt::Debug for Count {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Count")
    }
}
