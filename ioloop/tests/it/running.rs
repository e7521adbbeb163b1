//! Running and stopping: what ends a run, and what may not be started inside one.

use std::cell::Cell;
use std::rc::Rc;
use std::task::Waker;
use std::time::Duration;

use futures_lite::future::yield_now;
use ioloop::{IoLoop, Notice, Notify, sleep};

use crate::support::{
    Notes, both_ways, both_ways_in_virtual_time, drive_until, flag, own_waker, reports, suspended,
    turn,
};

#[test]
fn a_stop_does_not_keep_what_is_ready_from_running() {
    both_ways(|io_loop| {
        let notes = Notes::new();
        let (first, second, third) = (notes.clone(), notes.clone(), notes.clone());
        io_loop.add_callback(move || {
            first.add("callback");
            IoLoop::current().stop();
        });
        io_loop.add_callback(move || second.add("another"));
        io_loop.spawn(async move { third.add("task") }).detach();
        io_loop.start();
        assert_eq!(notes.all(), ["callback", "another", "task"]);
    });
}

#[test]
fn a_stop_before_the_start_is_not_lost() {
    both_ways(|io_loop| {
        io_loop.stop();
        io_loop.start();
    });
}

#[test]
fn a_stop_ends_only_one_run() {
    both_ways(|io_loop| {
        io_loop.add_callback(|| IoLoop::current().stop());
        io_loop.start();
        let (ran, set) = flag();
        io_loop.call_later(Duration::from_millis(1), move || {
            set.set(true);
            IoLoop::current().stop();
        });
        io_loop.start();
        assert!(ran.get());
    });
}

struct Stop;

impl Notify for Stop {
    fn notify(self: Rc<Self>, _: Notice) {
        IoLoop::current().stop();
    }
}

#[test]
fn a_stop_at_the_end_of_a_turn_does_not_wait_for_an_event() {
    both_ways(|io_loop| {
        io_loop.notify_at_end_of_turn(Rc::new(Stop));
        io_loop.start();
    });
}

#[test]
fn a_stop_does_not_end_run_until_nor_make_it_spin() {
    both_ways(|io_loop| {
        let before = io_loop.metrics().turns;
        io_loop.run_until(async {
            IoLoop::current().stop();
            sleep(Duration::from_millis(20)).await;
        });
        let turns = io_loop.metrics().turns - before;
        assert!(turns < 10, "{turns} turns for one sleep");
    });
}

#[test]
fn a_stop_does_not_halt_virtual_time() {
    both_ways_in_virtual_time(|io_loop| {
        io_loop.stop();
        let (fired, set) = flag();
        io_loop.call_later(Duration::from_secs(1), move || set.set(true));
        drive_until(io_loop, || fired.get());
    });
}

#[test]
fn run_until_does_not_need_a_future_that_lives_for_ever() {
    both_ways(|io_loop| {
        let text = String::from("borrowed");
        let borrowed = &text;
        assert_eq!(io_loop.run_until(async { borrowed.len() }), 8);
    });
}

#[test]
fn run_until_does_not_end_tasks_that_are_left() {
    both_ways(|io_loop| {
        let (ran, set) = flag();
        let task = io_loop.spawn(async move {
            yield_now().await;
            set.set(true);
        });
        io_loop.run_until(async {});
        assert!(!ran.get());
        io_loop.run_until(task);
        assert!(ran.get());
    });
}

/// Streams send at the end of the turn, which may be all that a future was waiting for.
#[test]
fn a_wake_up_at_the_end_of_the_turn_is_not_lost() {
    struct WakeUp(Cell<Option<Waker>>);

    impl Notify for WakeUp {
        fn notify(self: Rc<Self>, notice: Notice) {
            assert_eq!(notice, Notice::EndOfTurn);
            self.0.take().unwrap().wake();
        }
    }

    async fn wait_for_the_end_of_the_turn() {
        let waker = own_waker().await;
        IoLoop::current().notify_at_end_of_turn(Rc::new(WakeUp(Cell::new(Some(waker)))));
        suspended().await;
    }

    both_ways(|io_loop| {
        // If it is lost, only this ends the wait, and too late.
        let late = io_loop.call_later(Duration::from_secs(5), || panic!("lost"));
        io_loop.run_until(wait_for_the_end_of_the_turn());
        let task = io_loop.spawn(wait_for_the_end_of_the_turn());
        io_loop.run_until(task);
        assert!(io_loop.remove_timeout(late));
    });
}

#[test]
fn an_end_of_turn_notice_that_asks_for_another_neither_halts_nor_waits() {
    struct Again(Cell<u32>);

    impl Notify for Again {
        fn notify(self: Rc<Self>, _: Notice) {
            self.0.set(self.0.get() + 1);
            IoLoop::current().notify_at_end_of_turn(self);
        }
    }

    both_ways_in_virtual_time(|io_loop| {
        let (again, before) = (Rc::new(Again(Cell::new(0))), io_loop.now());
        io_loop.notify_at_end_of_turn(again.clone());
        io_loop.call_later(Duration::from_secs(1), || unreachable!());
        (0..3).for_each(|_| io_loop.turn(None));
        assert_eq!(again.0.get(), 3);
        assert_eq!(io_loop.now(), before);
    });
}

#[test]
fn nested_use_is_refused_with_what_to_do_instead() {
    both_ways(|io_loop| {
        io_loop.add_callback(|| IoLoop::current().start());
        io_loop.add_callback(|| IoLoop::current().run_until(async {}));
        io_loop
            .spawn(async { IoLoop::current().turn(None) })
            .detach();
        turn(io_loop);
        let reports = reports();
        assert_eq!(reports.len(), 3, "{reports:#?}");
        for (report, call) in reports.iter().zip(["start", "run_until", "turn"]) {
            assert!(
                report.contains(&format!("IoLoop::{call} was called while")),
                "{report}"
            );
            assert!(
                report.contains("spawn a task or await the future instead"),
                "{report}"
            );
        }
        io_loop.run_until(async {});
    });
}

#[test]
fn nested_use_in_the_future_of_run_until_is_refused() {
    both_ways(|io_loop| {
        let nested = std::panic::AssertUnwindSafe(|| {
            io_loop.run_until(async { IoLoop::current().run_until(async {}) });
        });
        assert!(std::panic::catch_unwind(nested).is_err());
        io_loop.run_until(async {});
    });
}

#[test]
fn a_second_loop_on_a_thread_is_refused() {
    both_ways(|io_loop| {
        let refused = ioloop::Builder::new().make().unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::AlreadyExists);
        assert_eq!(format!("{:?}", IoLoop::current()), format!("{io_loop:?}"));
    });
}
