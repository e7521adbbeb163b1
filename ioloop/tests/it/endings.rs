//! Threads and processes that end with a loop that nobody has closed.

use std::future::pending;
use std::process::Command;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use ioloop::{Builder, IoLoop, Waiting};

use crate::support::{OnDrop, turn};

#[test]
fn a_thread_that_ends_does_not_leak_its_loop() {
    for waiting in [Waiting::Direct, Waiting::Portable] {
        let (report, reported) = mpsc::channel();
        let thread = thread::spawn(move || {
            let io_loop = Builder::new().waiting(waiting).make().unwrap();
            for what in ["polled", "not yet polled"] {
                let report = report.clone();
                let guard = OnDrop(move || report.send(what).unwrap());
                let task = async move {
                    let _guard = guard;
                    pending::<()>().await;
                };
                io_loop.spawn(task).detach();
                if what == "polled" {
                    turn(&io_loop);
                }
            }
            let guard = OnDrop(move || report.send("timer").unwrap());
            io_loop.call_later(Duration::from_secs(1), move || drop(guard));
            io_loop.remote()
        });
        let remote = thread.join().unwrap();
        let mut dropped: Vec<_> = reported.iter().collect();
        dropped.sort_unstable();
        assert_eq!(dropped, ["not yet polled", "polled", "timer"]);
        assert!(remote.add_callback(|| {}).is_err());
    }
}

#[test]
fn closing_in_a_destructor_while_the_thread_ends_does_not_hang() {
    let (report, reported) = mpsc::channel();
    let thread = thread::spawn(move || {
        let io_loop = IoLoop::current();
        let owner = io_loop.clone();
        let guard = OnDrop(move || {
            owner.close();
            report.send(owner.is_closed()).unwrap();
        });
        let task = async move {
            let _guard = guard;
            pending::<()>().await;
        };
        io_loop.spawn(task).detach();
    });
    thread.join().unwrap();
    assert_eq!(reported.recv(), Ok(true));
}

/// `exit` runs the destructors of thread-locals, in the middle of a turn.
#[test]
fn exiting_the_process_inside_a_callback_does_not_abort_it() {
    const CHILD: &str = "IOLOOP_TEST_EXIT";
    if std::env::var_os(CHILD).is_some() {
        let io_loop = IoLoop::current();
        io_loop.spawn(std::future::pending::<()>()).detach();
        io_loop.spawn(async { std::process::exit(7) }).detach();
        io_loop.start();
    }
    let name = "endings::exiting_the_process_inside_a_callback_does_not_abort_it";
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(CHILD, "1")
        .output()
        .unwrap();
    assert_eq!(
        output.status.code(),
        Some(7),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Whichever of the two thread-locals is destroyed first: no loop is there, and none can be made.
#[test]
fn a_destructor_of_another_thread_local_does_not_meet_a_half_dead_loop() {
    struct Late(std::cell::RefCell<Option<IoLoop>>);

    impl Drop for Late {
        fn drop(&mut self) {
            let Some(io_loop) = self.0.take() else { return };
            // None of these may abort the process.
            io_loop.next_deadline();
            io_loop.add_callback(|| {});
            io_loop.call_later(Duration::ZERO, || {});
            io_loop.spawn(async {}).detach();
            io_loop.close();
            if IoLoop::try_current().is_none() {
                let _ = Builder::new().make().map(|io_loop| io_loop.close());
            }
        }
    }

    thread_local! {
        static LATE: Late = const { Late(std::cell::RefCell::new(None)) };
    }

    for late_first in [true, false] {
        let thread = thread::spawn(move || {
            if late_first {
                LATE.with(|late| drop(late.0.take()));
            }
            let io_loop = IoLoop::current();
            io_loop.spawn(pending::<()>()).detach();
            LATE.with(|late| *late.0.borrow_mut() = Some(io_loop));
        });
        thread.join().unwrap();
    }
}
