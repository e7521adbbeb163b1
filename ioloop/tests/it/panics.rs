//! Panics of user code: contained, reported once, and the end of nothing but themselves.

use std::any::Any;
use std::cell::Cell;
use std::future::pending;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::rc::Rc;
use std::time::Duration;

use ioloop::{Event, Interest, IoLoop, Notice, Notify};

use crate::support::{OnDrop, both_ways, drive_until, flag, reports, turn};

fn only_report() -> String {
    let mut reports = reports();
    assert_eq!(reports.len(), 1, "{reports:#?}");
    reports.remove(0)
}

fn caught(run: impl FnOnce()) -> Box<dyn Any + Send> {
    catch_unwind(AssertUnwindSafe(run)).expect_err("it panics")
}

#[test]
fn a_panicking_callback_does_not_stop_the_others() {
    both_ways(|io_loop| {
        io_loop.add_callback(|| panic!("in a {}", "callback"));
        let (ran, set) = flag();
        io_loop.add_callback(move || set.set(true));
        turn(io_loop);
        assert!(ran.get());
        let report = only_report();
        assert!(
            report.contains("a callback panicked: in a callback"),
            "{report}"
        );
        assert!(report.contains(file!()), "it names the place: {report}");
    });
}

#[test]
fn a_panicking_timer_does_not_stop_the_others() {
    both_ways(|io_loop| {
        io_loop.call_later(Duration::ZERO, || panic!("in a timer"));
        let (ran, set) = flag();
        io_loop.call_later(Duration::ZERO, move || set.set(true));
        turn(io_loop);
        assert!(ran.get());
        assert!(only_report().contains("a timer panicked: in a timer"));
    });
}

#[test]
fn a_panicking_callback_of_another_thread_does_not_stop_the_others() {
    both_ways(|io_loop| {
        let remote = io_loop.remote();
        remote.add_callback(|| panic!("from afar")).unwrap();
        remote
            .spawn(|| -> std::future::Ready<()> { panic!("while making a task") })
            .unwrap();
        remote.stop().unwrap();
        io_loop.start();
        assert_eq!(reports().len(), 2);
    });
}

#[test]
fn a_panicking_handler_does_not_stop_the_others() {
    both_ways(|io_loop| {
        let calls = Rc::new(Cell::new(0));
        let mut peers = Vec::new();
        for index in 0..2 {
            let (ours, mut theirs) = UnixStream::pair().unwrap();
            theirs.write_all(b"x").unwrap();
            peers.push(theirs);
            let calls = calls.clone();
            let handler = move |_: &UnixStream, _: Event| {
                calls.set(calls.get() + 1);
                assert!(index != 0, "in a handler");
            };
            io_loop
                .add_handler(Rc::new(ours), Interest::READ, handler)
                .unwrap();
        }
        (0..3).for_each(|_| turn(io_loop));
        assert_eq!(calls.get(), 1 + 3, "the handler that panicked is removed");
        assert_eq!(io_loop.metrics().live_handlers, 1);
        assert!(only_report().contains("a handler panicked: in a handler"));
    });
}

#[test]
fn a_handler_whose_destructor_panics_after_it_does_not_end_the_loop() {
    struct Source(UnixStream);

    impl std::os::fd::AsFd for Source {
        fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
            self.0.as_fd()
        }
    }

    impl ioloop::Source for Source {
        fn ready(self: Rc<Self>, _: Event) {
            panic!("in a source");
        }
    }

    impl Drop for Source {
        fn drop(&mut self) {
            if !std::thread::panicking() {
                panic!("in its destructor");
            }
        }
    }

    both_ways(|io_loop| {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(b"x").unwrap();
        io_loop
            .add_source(Rc::new(Source(ours)), Interest::READ)
            .unwrap();
        turn(io_loop);
        assert_eq!(io_loop.metrics().live_handlers, 0);
        assert_eq!(reports().len(), 2);
    });
}

#[test]
fn a_panicking_end_of_turn_notice_does_not_stop_the_others() {
    struct Bad;

    impl Notify for Bad {
        fn notify(self: Rc<Self>, _: Notice) {
            panic!("in a notice");
        }
    }

    both_ways(|io_loop| {
        let deadline = io_loop.now();
        io_loop.notify_at(deadline, Rc::new(Bad));
        io_loop.notify_at_end_of_turn(Rc::new(Bad));
        io_loop.notify_at_end_of_turn(Rc::new(Bad));
        turn(io_loop);
        assert_eq!(reports().len(), 3);
    });
}

#[test]
fn a_panicking_task_is_not_reported_twice_nor_kept() {
    both_ways(|io_loop| {
        io_loop.spawn(async { panic!("detached") }).detach();
        turn(io_loop);
        assert!(only_report().contains("a task panicked: detached"));
        assert_eq!(io_loop.metrics().live_tasks, 0);
    });
}

#[test]
fn whoever_awaits_a_panicked_task_does_not_miss_the_panic() {
    both_ways(|io_loop| {
        let task = io_loop.spawn(async { panic_any(42) });
        let payload = caught(|| io_loop.run_until(task));
        assert_eq!(
            payload.downcast_ref(),
            Some(&42),
            "the payload as it was thrown"
        );
        assert!(only_report().contains("a task panicked: (not a message)"));
    });
}

#[test]
fn a_panic_that_travels_through_tasks_is_not_reported_by_each() {
    both_ways(|io_loop| {
        let first = io_loop.spawn(async { panic!("at the bottom") });
        let second = io_loop.spawn(first);
        let third = io_loop.spawn(second);
        let payload = caught(|| io_loop.run_until(third));
        assert_eq!(payload.downcast_ref(), Some(&"at the bottom"));
        assert!(only_report().contains("at the bottom"));
    });
}

#[test]
fn a_panic_of_the_future_of_run_until_is_not_contained() {
    both_ways(|io_loop| {
        let payload = caught(|| io_loop.run_until(async { panic!("to the caller") }));
        assert_eq!(payload.downcast_ref(), Some(&"to the caller"));
        assert!(reports().is_empty(), "whoever called it knows");
        io_loop.run_until(async {});
    });
}

#[test]
fn cancelling_a_task_that_panicked_does_not_panic() {
    both_ways(|io_loop| {
        let task = io_loop.spawn(async { panic!("before") });
        turn(io_loop);
        assert!(only_report().contains("before"));
        assert_eq!(io_loop.run_until(task.cancel()), None::<()>);
    });
}

fn bad_destructor() -> OnDrop<impl FnMut()> {
    OnDrop(|| {
        if !std::thread::panicking() {
            panic!("in a destructor");
        }
    })
}

#[test]
fn a_destructor_that_panics_inside_a_task_does_not_abort() {
    both_ways(|io_loop| {
        // Cancelled, so that the loop drops it.
        let guard = bad_destructor();
        let cancelled = io_loop.spawn(async move {
            let _guard = guard;
            pending::<()>().await;
        });
        turn(io_loop);
        drop(cancelled);
        turn(io_loop);
        assert!(only_report().contains("in a destructor"));

        // Kept past the end by the future itself, which a block would have dropped before.
        struct Done(#[expect(dead_code, reason = "kept")] OnDrop<fn()>);

        impl Future for Done {
            type Output = u32;

            fn poll(
                self: std::pin::Pin<&mut Self>,
                _: &mut std::task::Context<'_>,
            ) -> std::task::Poll<u32> {
                std::task::Poll::Ready(5)
            }
        }

        let finished = io_loop.spawn(Done(OnDrop(|| panic!("in a destructor"))));
        assert_eq!(io_loop.run_until(finished), 5, "the output is not lost");
        assert!(only_report().contains("in a destructor"));
    });
}

#[test]
fn an_output_whose_destructor_panics_does_not_abort() {
    both_ways(|io_loop| {
        io_loop.spawn(async { bad_destructor() }).detach();
        drive_until(io_loop, || io_loop.metrics().live_tasks == 0);
        assert!(only_report().contains("in a destructor"));
    });
}

#[test]
fn a_payload_whose_destructor_panics_does_not_escape() {
    both_ways(|io_loop| {
        io_loop.add_callback(|| panic_any(bad_destructor()));
        io_loop
            .spawn(async { panic_any(bad_destructor()) })
            .detach();
        turn(io_loop);
        assert_eq!(reports().len(), 2);
        io_loop.run_until(async {});
    });
}

#[test]
fn a_panic_does_not_leave_the_loop_running() {
    both_ways(|io_loop| {
        caught(|| io_loop.run_until(async { panic!("out of run_until") }));
        let (ran, set) = flag();
        io_loop.add_callback(move || {
            set.set(true);
            IoLoop::current().stop();
        });
        io_loop.start();
        assert!(ran.get());
    });
}
