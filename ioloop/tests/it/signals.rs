//! Signals as futures and callbacks. Each test has a signal of its own: they share the process.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use ioloop::{TimedOut, signals, timeout};
use signal_hook::low_level::raise;

use crate::support::{Notes, both_ways, both_ways_in_virtual_time, drive_until, reports, turn};

#[test]
fn a_signal_that_comes_while_nobody_waits_is_not_lost() {
    both_ways(|io_loop| {
        let listener = signals::Listener::new(signals::SIGUSR1).unwrap();
        raise(signals::SIGUSR1).unwrap();
        io_loop.run_until(listener.recv()).unwrap();
    });
}

#[test]
fn a_signal_is_not_told_to_one_listener_only() {
    both_ways(|io_loop| {
        let first = signals::Listener::new(signals::SIGUSR2).unwrap();
        let second = signals::Listener::new(signals::SIGUSR2).unwrap();
        let other = std::thread::spawn(|| {
            let io_loop = ioloop::IoLoop::current();
            let third = signals::Listener::new(signals::SIGUSR2).unwrap();
            raise(signals::SIGUSR2).unwrap();
            io_loop.run_until(third.recv()).unwrap();
        });
        io_loop.run_until(async {
            first.recv().await.unwrap();
            second.recv().await.unwrap();
        });
        other.join().unwrap();
    });
}

#[test]
fn a_signal_is_not_reported_again() {
    both_ways_in_virtual_time(|io_loop| {
        let listener = signals::Listener::new(signals::SIGHUP).unwrap();
        raise(signals::SIGHUP).unwrap();
        raise(signals::SIGHUP).unwrap();
        io_loop.run_until(async {
            listener.recv().await.unwrap();
            let again = timeout(Duration::from_secs(1), listener.recv()).await;
            assert!(matches!(again, Err(TimedOut)), "both were told as one");
        });
    });
}

#[test]
fn a_signal_handler_is_not_called_only_once() {
    both_ways(|io_loop| {
        let calls = Rc::new(Cell::new(0));
        let counter = calls.clone();
        let handler = move || counter.set(counter.get() + 1);
        let task = io_loop
            .add_signal_handler(signals::SIGQUIT, handler)
            .unwrap();
        turn(io_loop);
        for count in 1..4 {
            raise(signals::SIGQUIT).unwrap();
            drive_until(io_loop, || calls.get() == count);
        }
        drop(task);
        turn(io_loop);
        raise(signals::SIGQUIT).unwrap();
        turn(io_loop);
        assert_eq!(calls.get(), 3, "it ends with its task");
        assert_eq!(io_loop.metrics().live_handlers, 0);
    });
}

#[test]
fn a_signal_handler_that_panics_does_not_make_the_process_deaf_to_the_signal() {
    both_ways(|io_loop| {
        let notes = Notes::new();
        let noted = notes.clone();
        let handler = move || {
            noted.add("called");
            panic!("in a signal handler");
        };
        io_loop
            .add_signal_handler(signals::SIGINT, handler)
            .unwrap()
            .detach();
        turn(io_loop);
        raise(signals::SIGINT).unwrap();
        drive_until(io_loop, || notes.len() == 1);
        assert_eq!(reports().len(), 1);
        raise(signals::SIGINT).unwrap();
        drive_until(io_loop, || notes.len() == 2);
        assert_eq!(reports().len(), 1, "reported anew");
    });
}

#[test]
fn a_signal_that_interrupts_a_wait_does_not_end_the_loop() {
    both_ways(|io_loop| {
        let listener = signals::Listener::new(signals::SIGTERM).unwrap();
        let thread = std::thread::spawn(|| raise(signals::SIGTERM).unwrap());
        io_loop.run_until(listener.recv()).unwrap();
        thread.join().unwrap();
    });
}

#[test]
fn a_number_that_is_no_signal_is_refused() {
    both_ways(|_| {
        assert!(signals::Listener::new(12_345).is_err());
    });
}

#[test]
#[should_panic(expected = "forbidden")]
fn a_signal_that_must_not_be_handled_is_refused() {
    let _ = signals::Listener::new(signal_hook::consts::SIGSEGV);
}

#[test]
fn a_closed_loop_does_not_make_another_for_a_signal() {
    both_ways(|io_loop| {
        io_loop.close();
        assert!(io_loop.add_signal_handler(signals::SIGINT, || {}).is_err());
        assert!(ioloop::IoLoop::try_current().is_none());
    });
}
