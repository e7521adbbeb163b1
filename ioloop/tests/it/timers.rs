//! Timers: in order, never early, and gone for good when they are removed.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use ioloop::{IoLoop, TimedOut, TimerId, sleep, sleep_until, timeout};

use crate::support::{
    Notes, OnDrop, both_ways, both_ways_in_virtual_time, drive_until, flag, hold_the_thread,
    real_time, turn,
};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn timers_do_not_fire_out_of_order() {
    both_ways_in_virtual_time(|io_loop| {
        let notes = Notes::new();
        for seconds in [3, 1, 2] {
            let noted = notes.clone();
            io_loop.call_later(SECOND * seconds, move || noted.add(seconds));
        }
        drive_until(io_loop, || notes.len() == 3);
        assert_eq!(notes.all(), [1, 2, 3]);
    });
}

#[test]
fn equal_deadlines_do_not_fire_out_of_order() {
    both_ways_in_virtual_time(|io_loop| {
        let notes = Notes::new();
        let deadline = io_loop.now() + SECOND;
        for number in 0..1_000 {
            let noted = notes.clone();
            io_loop.call_at(deadline, move || noted.add(number));
        }
        drive_until(io_loop, || notes.len() == 1_000);
        assert_eq!(notes.all(), (0..1_000).collect::<Vec<_>>());
    });
}

#[test]
fn a_timer_removed_by_one_that_is_due_in_the_same_turn_does_not_fire() {
    both_ways_in_virtual_time(|io_loop| {
        let notes = Notes::new();
        let second = Rc::new(Cell::new(None));
        let (noted, id) = (notes.clone(), second.clone());
        io_loop.call_later(SECOND, move || {
            noted.add("first");
            assert!(IoLoop::current().remove_timeout(id.get().unwrap()));
        });
        let noted = notes.clone();
        second.set(Some(
            io_loop.call_later(SECOND, move || noted.add("second")),
        ));
        let noted = notes.clone();
        io_loop.call_later(SECOND, move || noted.add("third"));
        drive_until(io_loop, || notes.len() == 2);
        turn(io_loop);
        assert_eq!(notes.all(), ["first", "third"]);
    });
}

#[test]
fn a_timer_is_not_there_any_more_while_it_fires() {
    both_ways_in_virtual_time(|io_loop| {
        let id = Rc::new(Cell::new(None::<TimerId>));
        let (fired, set) = flag();
        let own = id.clone();
        let timer = io_loop.call_later(SECOND, move || {
            assert!(!IoLoop::current().remove_timeout(own.get().unwrap()));
            set.set(true);
        });
        id.set(Some(timer));
        drive_until(io_loop, || fired.get());
        assert!(!io_loop.remove_timeout(timer), "it has fired");
    });
}

#[test]
fn a_stale_id_does_not_remove_a_later_timer() {
    both_ways_in_virtual_time(|io_loop| {
        let stale = io_loop.call_later(SECOND, || {});
        assert!(io_loop.remove_timeout(stale));
        let (fired, set) = flag();
        io_loop.call_later(SECOND, move || set.set(true));
        assert!(!io_loop.remove_timeout(stale));
        drive_until(io_loop, || fired.get());
    });
}

#[test]
fn a_removed_timer_does_not_keep_its_callback() {
    both_ways_in_virtual_time(|io_loop| {
        let other = io_loop.call_later(SECOND, || {});
        let (dropped, set) = flag();
        let guard = OnDrop(move || {
            set.set(true);
            // A destructor may remove another timer.
            assert!(IoLoop::current().remove_timeout(other));
        });
        let id = io_loop.call_later(SECOND, move || drop(guard));
        assert!(io_loop.remove_timeout(id));
        assert!(dropped.get());
        assert_eq!(io_loop.metrics().live_timers, 0);
    });
}

#[test]
fn a_timer_that_starts_again_without_delay_does_not_keep_the_turn_from_ending() {
    both_ways(|io_loop| {
        let calls = Rc::new(Cell::new(0));
        again(calls.clone(), None);
        turn(io_loop);
        turn(io_loop);
        assert_eq!(calls.get(), 2);
    });
}

#[test]
fn a_timer_that_starts_again_in_the_past_does_not_starve_the_others() {
    both_ways(|io_loop| {
        let calls = Rc::new(Cell::new(0));
        let past = io_loop.now() - Duration::from_millis(1);
        again(calls.clone(), Some(past));
        let (fired, set) = flag();
        io_loop.call_later(Duration::ZERO, move || set.set(true));
        (0..3).for_each(|_| turn(io_loop));
        assert_eq!(calls.get(), 3);
        assert!(fired.get());
    });
}

fn again(calls: Rc<Cell<u32>>, deadline: Option<std::time::Instant>) {
    let io_loop = IoLoop::current();
    let callback = move || {
        calls.set(calls.get() + 1);
        again(calls, deadline);
    };
    io_loop.call_at(deadline.unwrap_or(io_loop.now()), callback);
}

#[test]
fn a_delay_beyond_all_clocks_does_not_overflow() {
    both_ways_in_virtual_time(|io_loop| {
        let id = io_loop.call_later(Duration::MAX, || unreachable!());
        let slept = io_loop.run_until(async { timeout(SECOND, sleep(Duration::MAX)).await });
        assert_eq!(slept, Err(TimedOut));
        assert!(io_loop.remove_timeout(id));
    });
}

#[test]
fn a_timer_does_not_fire_early() {
    both_ways(|io_loop| {
        for microseconds in [1, 300, 999, 1_000, 1_001, 2_500, 7_777] {
            let delay = Duration::from_micros(microseconds);
            let begun = real_time();
            io_loop.run_until(sleep(delay));
            let slept = real_time() - begun;
            assert!(slept >= delay, "{slept:?} instead of {delay:?}");
        }
    });
}

/// A wait need not be told of a deadline anew that an earlier wait was told of; but of a nearer one
/// it must, and one that was told of in vain must not end the next.
#[test]
fn a_deadline_is_met_whatever_the_loop_has_waited_for_before() {
    both_ways(|io_loop| {
        let far = io_loop.call_later(SECOND * 100, || panic!("the nearer ones were missed"));
        for milliseconds in [60, 20, 40, 11, 30] {
            let in_vain = io_loop.call_later(Duration::from_millis(15), || panic!("removed"));
            io_loop.turn(Some(Duration::from_millis(12)));
            io_loop.remove_timeout(in_vain);
            let delay = Duration::from_millis(milliseconds);
            let begun = real_time();
            io_loop.run_until(sleep(delay));
            let slept = real_time() - begun;
            assert!(
                slept >= delay && slept < SECOND * 50,
                "{slept:?} instead of {delay:?}"
            );
        }
        io_loop.remove_timeout(far);
    });
}

/// The loop reads the clock once a turn, but before the first turn there is no turn to go by.
#[test]
fn a_delay_before_the_start_does_not_count_from_when_the_loop_was_made() {
    both_ways(|io_loop| {
        hold_the_thread(Duration::from_millis(10));
        let begun = real_time();
        let delay = Duration::from_millis(5);
        io_loop.call_later(delay, || IoLoop::current().stop());
        io_loop.start();
        assert!(real_time() - begun >= delay);
    });
}

#[test]
fn a_hundred_thousand_timers_do_not_get_lost() {
    both_ways_in_virtual_time(|io_loop| {
        const COUNT: u64 = 100_000;
        let fired = Rc::new(RefCell::new(Vec::new()));
        let mut ids = Vec::new();
        for number in 0..COUNT {
            // An order that is neither sorted nor reversed.
            let delay = Duration::from_micros(number * 7_919 % COUNT);
            let fired = fired.clone();
            ids.push(io_loop.call_later(delay, move || fired.borrow_mut().push(delay)));
        }
        for id in ids.iter().step_by(2) {
            assert!(io_loop.remove_timeout(*id));
        }
        assert_eq!(io_loop.metrics().live_timers, COUNT as usize / 2);
        let end = io_loop.now() + SECOND;
        io_loop.run_until(sleep_until(end));
        let fired = fired.take();
        assert_eq!(fired.len(), COUNT as usize / 2);
        assert!(fired.is_sorted());
        assert_eq!(io_loop.metrics().live_timers, 0);
    });
}

#[test]
fn a_dropped_sleep_does_not_leave_its_timer() {
    both_ways_in_virtual_time(|io_loop| {
        io_loop.run_until(async {
            let answer = timeout(SECOND * 60, async {
                sleep(SECOND).await;
                5
            });
            assert_eq!(answer.await, Ok(5));
        });
        assert_eq!(io_loop.metrics().live_timers, 0);
    });
}

#[test]
fn an_answer_that_has_arrived_is_not_timed_out() {
    both_ways_in_virtual_time(|io_loop| {
        let answer = io_loop.run_until(async {
            let deadline = IoLoop::current().now() + SECOND;
            // Both are due at the same moment.
            timeout(SECOND, sleep_until(deadline)).await
        });
        assert_eq!(answer, Ok(()));
    });
}

#[test]
fn a_sleep_that_moves_to_another_task_does_not_wake_the_first() {
    both_ways_in_virtual_time(|io_loop| {
        let woken = io_loop.run_until(async {
            let mut sleeping = Box::pin(sleep(SECOND));
            assert_eq!(futures_lite::future::poll_once(&mut sleeping).await, None);
            let io_loop = IoLoop::current();
            let task = io_loop.spawn(async move {
                sleeping.await;
                IoLoop::current().now()
            });
            let before = io_loop.now();
            task.await - before
        });
        assert_eq!(woken, SECOND);
    });
}
