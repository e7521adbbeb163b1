//! Work on the blocking pool: the loop goes on meanwhile, and may be closed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use ioloop::IoLoop;

use crate::support::{both_ways, drive_until, flag, patient, reports, turn};

#[test]
fn work_that_blocks_does_not_block_the_loop() {
    both_ways(|io_loop| {
        let (go, gone) = mpsc::channel();
        let work = io_loop.run_blocking(move || gone.recv().unwrap());
        // Only the loop, which must be running for it, ends the work.
        io_loop.call_later(Duration::from_millis(5), move || go.send(5).unwrap());
        assert_eq!(io_loop.run_until(work), 5);
    });
}

#[test]
fn a_panic_of_the_work_is_not_lost() {
    both_ways(|io_loop| {
        let work = io_loop.run_blocking(|| -> u32 { panic!("on the pool") });
        let task = io_loop.spawn(work);
        let run = std::panic::AssertUnwindSafe(|| io_loop.run_until(task));
        let payload = std::panic::catch_unwind(run).unwrap_err();
        assert_eq!(payload.downcast_ref(), Some(&"on the pool"));
        assert_eq!(reports().len(), 1);
    });
}

#[test]
fn closing_does_not_wait_for_work_that_is_out() {
    both_ways(|io_loop| {
        let (go, gone) = mpsc::channel::<()>();
        let ended = Arc::new(AtomicBool::new(false));
        let (started, has_started) = mpsc::channel();
        let flag = ended.clone();
        let work = io_loop.run_blocking(move || {
            started.send(()).unwrap();
            gone.recv().unwrap();
            flag.store(true, Ordering::Release);
        });
        io_loop.spawn(work).detach();
        turn(io_loop);
        has_started.recv().unwrap();
        io_loop.close();
        assert_eq!(io_loop.metrics().live_tasks, 0);
        go.send(()).unwrap();
        let next = patient().make().unwrap();
        drive_until(&next, || ended.load(Ordering::Acquire));
        next.close();
    });
}

#[test]
fn many_answers_at_once_do_not_get_lost() {
    both_ways(|io_loop| {
        let sum = io_loop.run_until(async {
            let io_loop = IoLoop::current();
            let work: Vec<_> = (0..500_u64)
                .map(|number| io_loop.run_blocking(move || number))
                .collect();
            let mut sum = 0;
            for answer in work {
                sum += answer.await;
            }
            sum
        });
        assert_eq!(sum, 500 * 499 / 2);
    });
}

#[test]
fn work_that_was_given_up_does_not_disturb_the_loop() {
    both_ways(|io_loop| {
        drop(io_loop.run_blocking(|| {}));
        let (ran, set) = flag();
        io_loop.add_callback(move || set.set(true));
        drive_until(io_loop, || ran.get());
    });
}
