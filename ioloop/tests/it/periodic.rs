//! Periodic callbacks: in phase, never caught up, and stopped when they are told to.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use ioloop::{IoLoop, PeriodicCallback, sleep};

use crate::support::{Notes, OnDrop, both_ways_in_virtual_time, flag, reports};

const SECOND: Duration = Duration::from_secs(1);

/// The times of the calls, since now, of a callback that is run for ten seconds.
fn times(
    io_loop: &IoLoop,
    make: impl FnOnce(Notes<Duration>) -> PeriodicCallback,
) -> Vec<Duration> {
    let notes = Notes::new();
    let periodic = make(notes.clone());
    periodic.start();
    io_loop.run_until(sleep(SECOND * 10));
    notes.all()
}

#[test]
fn a_period_does_not_drift() {
    both_ways_in_virtual_time(|io_loop| {
        let begun = io_loop.now();
        let calls = times(io_loop, |notes| {
            let call = move || notes.add(IoLoop::current().now() - begun);
            PeriodicCallback::new(SECOND * 3, call)
        });
        assert_eq!(calls, [SECOND * 3, SECOND * 6, SECOND * 9]);
    });
}

#[test]
fn jitter_does_not_leave_its_window() {
    both_ways_in_virtual_time(|io_loop| {
        let begun = io_loop.now();
        let calls = times(io_loop, |notes| {
            PeriodicCallback::new(SECOND, move || notes.add(IoLoop::current().now() - begun))
                .jitter(0.1)
        });
        assert!(calls.len() >= 9, "{calls:?}");
        for pair in calls.windows(2) {
            let interval = (pair[1] - pair[0]).as_millis();
            assert!((950..=1_051).contains(&interval), "{interval} ms");
        }
    });
}

#[test]
fn a_stopped_callback_is_not_called() {
    both_ways_in_virtual_time(|io_loop| {
        let calls = Rc::new(Cell::new(0));
        let own = Rc::new(RefCell::new(None::<PeriodicCallback>));
        let (counter, handle) = (calls.clone(), own.clone());
        let periodic = PeriodicCallback::new(SECOND, move || {
            counter.set(counter.get() + 1);
            if counter.get() == 2 {
                handle.borrow().as_ref().unwrap().stop();
            }
        });
        periodic.start();
        assert!(periodic.is_running());
        *own.borrow_mut() = Some(periodic);
        io_loop.run_until(sleep(SECOND * 10));
        assert_eq!(calls.get(), 2, "it has stopped itself");

        own.borrow().as_ref().unwrap().start();
        io_loop.run_until(sleep(SECOND));
        assert_eq!(calls.get(), 3, "and can be started again");
        own.take();
        assert_eq!(io_loop.metrics().live_timers, 0);
    });
}

#[test]
fn a_callback_dropped_by_itself_is_not_dropped_while_it_runs() {
    both_ways_in_virtual_time(|io_loop| {
        let notes = Notes::new();
        let own = Rc::new(RefCell::new(None::<PeriodicCallback>));
        let (noted, at_drop, handle) = (notes.clone(), notes.clone(), own.clone());
        let guard = OnDrop(move || at_drop.add("dropped"));
        let periodic = PeriodicCallback::new(SECOND, move || {
            let _ = &guard;
            drop(handle.take());
            noted.add("called");
        });
        periodic.start();
        *own.borrow_mut() = Some(periodic);
        io_loop.run_until(sleep(SECOND * 10));
        assert_eq!(notes.all(), ["called", "dropped"]);
        assert_eq!(io_loop.metrics().live_timers, 0);
    });
}

#[test]
fn starting_over_does_not_call_twice_a_period() {
    both_ways_in_virtual_time(|io_loop| {
        let calls = Rc::new(Cell::new(0));
        let counter = calls.clone();
        let periodic = PeriodicCallback::new(SECOND, move || counter.set(counter.get() + 1));
        periodic.start();
        periodic.start();
        io_loop.run_until(sleep(SECOND * 3));
        assert_eq!(calls.get(), 3);
    });
}

#[test]
fn a_panic_does_not_end_the_series() {
    both_ways_in_virtual_time(|io_loop| {
        let calls = times(io_loop, |notes| {
            PeriodicCallback::new(SECOND * 3, move || {
                notes.add(Duration::ZERO);
                panic!("every time");
            })
        });
        assert_eq!(calls.len(), 3);
        assert_eq!(reports().len(), 3);
    });
}

#[test]
fn the_longest_period_does_not_overflow() {
    both_ways_in_virtual_time(|io_loop| {
        for share in [0.0, 1.0] {
            let (called, set) = flag();
            let never = PeriodicCallback::new(Duration::MAX, move || set.set(true)).jitter(share);
            never.start();
            io_loop.run_until(sleep(SECOND));
            assert!(never.is_running() && !called.get());
        }
    });
}

#[test]
#[should_panic(expected = "a period longer than zero")]
fn a_period_of_nothing_is_refused() {
    let _ = PeriodicCallback::new(Duration::ZERO, || {});
}
