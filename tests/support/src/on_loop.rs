//! A loop for one test, which ends also if the test does not.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use ioloop::{Builder, IoLoop, PeriodicCallback};

use crate::reports::{capture_reports, reports};

/// Runs `test` on a loop with the real time: for everything that has the kernel carry bytes.
///
/// Fails if the test has not ended after a minute or after too many turns, and if anything was
/// reported that it has not taken with [`reports`]: a panic in a task is contained by the loop.
pub fn on_loop<F: Future<Output: 'static> + 'static>(test: F) -> F::Output {
    on_loop_with(Builder::new(), Duration::from_secs(1), test)
}

/// As [`on_loop`], with virtual time, of which it has two months: for everything that has a
/// deadline.
pub fn on_virtual_loop<F: Future<Output: 'static> + 'static>(test: F) -> F::Output {
    let virtual_time = Builder::new().virtual_time().seed(7);
    on_loop_with(virtual_time, Duration::from_secs(24 * 3600), test)
}

fn on_loop_with<F: Future<Output: 'static> + 'static>(
    builder: Builder,
    tick: Duration,
    test: F,
) -> F::Output {
    capture_reports();
    let made = builder.slow_callback(Duration::MAX).make();
    let open = Open(made.expect("the test before this one has closed its loop"));
    let io_loop = &open.0;
    let task = io_loop.spawn(async move {
        let _last = LastTurn;
        test.await
    });
    // Ticks that were missed do not count: if the whole machine was stopped, nobody is late.
    let ticks = Rc::new(Cell::new(0));
    let watchdog = PeriodicCallback::new(tick, {
        let ticks = ticks.clone();
        move || ticks.set(ticks.get() + 1)
    });
    watchdog.start();
    for _ in 0..TURNS_MAX {
        if task.is_finished() {
            break;
        }
        let is_late = ticks.get() >= TICKS_MAX;
        assert!(!is_late, "not in time; what lives:\n{}", io_loop.dump());
        io_loop.turn(None);
    }
    assert!(task.is_finished(), "too many turns:\n{}", io_loop.dump());
    watchdog.stop();
    let output = io_loop.run_until(task);
    drop(open);
    let unexpected = reports();
    assert!(unexpected.is_empty(), "{unexpected:#?}");
    output
}

/// The turn in which a test ends, well or badly, does not wait for something else.
struct LastTurn;

impl Drop for LastTurn {
    fn drop(&mut self) {
        if let Some(io_loop) = IoLoop::try_current() {
            io_loop.add_callback(|| {});
        }
    }
}

/// Closes the loop also when the test fails, since the next test may run on this thread.
struct Open(IoLoop);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.close();
    }
}

const TICKS_MAX: u32 = 60;

/// A task that wakes itself for ever would otherwise run until the last tick.
const TURNS_MAX: usize = 2_000_000;
