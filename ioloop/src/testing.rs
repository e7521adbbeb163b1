//! Tests of code with deadlines, in no time: a loop whose clock is made up.
//!
//! When nothing can run and nothing can be read, time jumps to the next deadline. A test of a
//! minute's timeout takes microseconds, and takes the same path every time.
//!
//! ```
//! use std::time::Duration;
//! use ioloop::{IoLoop, TimedOut, sleep, testing, timeout};
//!
//! testing::run(async {
//!     let before = IoLoop::current().now();
//!     let slow = async { sleep(Duration::from_secs(3600)).await };
//!     assert_eq!(timeout(Duration::from_secs(60), slow).await, Err(TimedOut));
//!     assert_eq!(IoLoop::current().now() - before, Duration::from_secs(60));
//! });
//! ```
//!
//! Real sockets may be used too: what has arrived is read before time moves. While a closure of
//! `run_blocking` is out, time stands still.

use crate::builder::Builder;
use crate::io_loop::IoLoop;

/// Runs `future` on a fresh loop with virtual time, closes the loop, and gives the output.
///
/// # Panics
/// If this thread has a loop already, or the system refuses to make one. A panic of the future
/// goes on here; the loop is closed before.
///
/// ```
/// use std::time::Duration;
///
/// ioloop::testing::run(async { ioloop::sleep(Duration::from_secs(1_000_000)).await });
/// ```
#[track_caller]
pub fn run<F: Future>(future: F) -> F::Output {
    let guard = Closing(virtual_loop());
    guard.0.run_until(future)
}

/// This thread's loop, made with virtual time.
///
/// # Panics
/// If this thread has a loop already, or the system refuses to make one.
///
/// ```
/// use std::time::Duration;
///
/// let io_loop = ioloop::testing::virtual_loop();
/// let before = io_loop.now();
/// io_loop.run_until(ioloop::sleep(Duration::from_secs(60)));
/// assert_eq!(io_loop.now() - before, Duration::from_secs(60));
/// ```
#[track_caller]
pub fn virtual_loop() -> IoLoop {
    match Builder::new().virtual_time().seed(SEED).make() {
        Ok(io_loop) => io_loop,
        Err(error) => panic!("cannot make a loop with virtual time: {error}"),
    }
}

/// Closes the loop also when the test's future panics.
struct Closing(IoLoop);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// Tests are repeatable unless they ask for something else.
const SEED: u64 = 0x5EED;
