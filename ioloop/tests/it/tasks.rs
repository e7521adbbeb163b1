//! Tasks: their handles, their outputs, and their wake-ups.

use std::cell::{Cell, RefCell};
use std::future::pending;
use std::rc::Rc;
use std::task::Waker;
use std::time::Duration;

use futures_lite::future::yield_now;
use ioloop::{IoLoop, sleep};

use crate::support::{
    Notes, OnDrop, both_ways, both_ways_in_virtual_time, drive_until, flag, has_event, own_waker,
    suspended, turn,
};

#[test]
fn a_task_does_not_run_inline() {
    both_ways(|io_loop| {
        let (ran, set) = flag();
        let task = io_loop.spawn(async move { set.set(true) });
        assert!(!ran.get() && !task.is_finished());
        turn(io_loop);
        assert!(ran.get() && task.is_finished());
    });
}

#[test]
fn a_dropped_handle_does_not_leave_the_task_running() {
    both_ways(|io_loop| {
        let (dropped, set) = flag();
        let guard = OnDrop(move || set.set(true));
        let task = io_loop.spawn(async move {
            let _guard = guard;
            pending::<()>().await;
        });
        turn(io_loop);
        drop(task);
        assert!(
            !dropped.get(),
            "the loop drops it, not whoever held the handle"
        );
        turn(io_loop);
        assert!(dropped.get());
        assert_eq!(io_loop.metrics().live_tasks, 0);
    });
}

#[test]
fn a_task_cancelled_before_its_first_poll_is_not_polled() {
    both_ways(|io_loop| {
        let (ran, set) = flag();
        drop(io_loop.spawn(async move { set.set(true) }));
        turn(io_loop);
        assert!(!ran.get());
        assert_eq!(io_loop.metrics().live_tasks, 0);
    });
}

#[test]
fn a_detached_task_does_not_end_with_its_handle() {
    both_ways_in_virtual_time(|io_loop| {
        let (ran, set) = flag();
        let task = async move {
            sleep(Duration::from_secs(1)).await;
            set.set(true);
        };
        io_loop.spawn(task).detach();
        drive_until(io_loop, || ran.get());
    });
}

#[test]
fn cancelling_does_not_lose_an_output_that_is_there() {
    both_ways(|io_loop| {
        let finished = io_loop.spawn(async { 5 });
        turn(io_loop);
        assert_eq!(io_loop.run_until(finished.cancel()), Some(5));
        let unfinished = io_loop.spawn(pending::<u32>());
        turn(io_loop);
        assert_eq!(io_loop.run_until(unfinished.cancel()), None);
    });
}

#[test]
fn cancelling_does_not_return_before_the_future_is_dropped() {
    both_ways(|io_loop| {
        let (dropped, set) = flag();
        let guard = OnDrop(move || set.set(true));
        let task = io_loop.spawn(async move {
            let _guard = guard;
            pending::<()>().await;
        });
        turn(io_loop);
        io_loop.run_until(async {
            task.cancel().await;
            assert!(dropped.get());
        });
    });
}

#[test]
fn a_task_that_cancels_itself_is_not_polled_again() {
    both_ways(|io_loop| {
        let notes = Notes::new();
        let own = Rc::new(RefCell::new(None));
        let (noted, handle) = (notes.clone(), own.clone());
        let task = io_loop.spawn(async move {
            noted.add("before");
            drop(handle.take());
            yield_now().await;
            noted.add("after");
        });
        *own.borrow_mut() = Some(task);
        turn(io_loop);
        turn(io_loop);
        assert_eq!(notes.all(), ["before"]);
        assert_eq!(io_loop.metrics().live_tasks, 0);
    });
}

#[test]
fn tasks_do_not_start_out_of_order() {
    both_ways(|io_loop| {
        let notes = Notes::new();
        for number in 0..100 {
            let noted = notes.clone();
            io_loop.spawn(async move { noted.add(number) }).detach();
        }
        turn(io_loop);
        assert_eq!(notes.all(), (0..100).collect::<Vec<_>>());
    });
}

#[test]
fn dropping_a_task_may_wake_another() {
    both_ways(|io_loop| {
        let waker = Rc::new(Cell::new(None::<Waker>));
        let (woken, set) = flag();
        let place = waker.clone();
        let other = io_loop.spawn(async move {
            place.set(Some(own_waker().await));
            suspended().await;
            set.set(true);
        });
        let guard = OnDrop(move || waker.take().unwrap().wake());
        let task = io_loop.spawn(async move {
            let _guard = guard;
            pending::<()>().await;
        });
        turn(io_loop);
        assert!(!woken.get());
        drop(task);
        io_loop.run_until(other);
        assert!(woken.get());
    });
}

#[test]
fn dropping_a_task_may_spawn_and_cancel_others() {
    both_ways(|io_loop| {
        let (ran, set) = flag();
        let set = Rc::new(set);
        let other = Cell::new(Some(io_loop.spawn(pending::<()>())));
        let guard = OnDrop(move || {
            drop(other.take());
            let set = set.clone();
            IoLoop::current()
                .spawn(async move { set.set(true) })
                .detach();
        });
        let task = io_loop.spawn(async move {
            let _guard = guard;
            pending::<()>().await;
        });
        turn(io_loop);
        drop(task);
        drive_until(io_loop, || ran.get());
        assert_eq!(io_loop.metrics().live_tasks, 0);
    });
}

/// Waking through the inbox, under its lock, raises the alarm, which the poller would report.
#[test]
fn wakes_on_the_thread_of_the_loop_take_no_lock() {
    both_ways(|io_loop| {
        let wakers = Notes::new();
        let noted = wakers.clone();
        let task = io_loop.spawn(async move {
            noted.add(own_waker().await);
            suspended().await;
            noted.add(own_waker().await);
            suspended().await;
        });
        turn(io_loop);
        assert!(!has_event(io_loop));
        wakers.all()[0].wake_by_ref();
        assert!(!has_event(io_loop), "the wake-up went through the inbox");
        assert_eq!(
            io_loop.next_deadline(),
            Some(io_loop.now()),
            "but it did arrive"
        );

        turn(io_loop);
        let waker = wakers.all()[1].clone();
        std::thread::spawn(move || waker.wake()).join().unwrap();
        assert!(has_event(io_loop), "this is what we looked for above");
        io_loop.run_until(task);

        let waker = io_loop.run_until(own_waker());
        assert!(!has_event(io_loop));
        waker.wake();
        assert!(!has_event(io_loop), "the same for the future of run_until");
    });
}

#[test]
fn a_hundred_thousand_tasks_do_not_get_lost() {
    both_ways_in_virtual_time(|io_loop| {
        const COUNT: u64 = 100_000;
        let done = Rc::new(Cell::new(0));
        let mut tasks = Vec::new();
        for number in 0..COUNT {
            let done = done.clone();
            tasks.push(io_loop.spawn(async move {
                yield_now().await;
                sleep(Duration::from_millis(number % 100)).await;
                done.set(done.get() + 1);
                number
            }));
        }
        assert_eq!(io_loop.metrics().live_tasks, COUNT as usize);
        let sum = io_loop.run_until(async {
            let mut sum = 0;
            for task in tasks {
                sum += task.await;
            }
            sum
        });
        assert_eq!((done.get(), sum), (COUNT, COUNT * (COUNT - 1) / 2));
        assert_eq!(io_loop.metrics().live_tasks, 0);
    });
}

#[test]
fn a_handle_does_not_have_to_stay_on_the_thread() {
    both_ways(|io_loop| {
        let cancelled = io_loop.spawn(pending::<()>());
        turn(io_loop);
        std::thread::spawn(move || drop(cancelled)).join().unwrap();
        drive_until(io_loop, || io_loop.metrics().live_tasks == 0);

        let awaited = io_loop.spawn(async { 5 });
        let thread = std::thread::spawn(move || futures_lite::future::block_on(awaited));
        drive_until(io_loop, || thread.is_finished());
        assert_eq!(thread.join().unwrap(), 5);
    });
}

#[test]
fn a_waker_is_not_taken_for_that_of_another_task() {
    both_ways(|io_loop| {
        let other = Rc::new(RefCell::new(None));
        let keep = other.clone();
        let _waits = io_loop.spawn(async move {
            *keep.borrow_mut() = Some(own_waker().await);
            pending::<()>().await;
        });
        turn(io_loop);
        let other: Waker = other.take().unwrap();
        assert!(!IoLoop::polls_with(&other), "no task is polled now");
        let task = io_loop.spawn(async move {
            let own = own_waker().await;
            (IoLoop::polls_with(&own), IoLoop::polls_with(&other))
        });
        assert_eq!(io_loop.run_until(task), (true, false));
    });
}
