//! Virtual time: it jumps to the next deadline, but never over anything that can run or be read.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::Duration;

use futures_lite::future::yield_now;
use ioloop::{Event, Interest, IoLoop, TimedOut, Watched, sleep, testing, timeout};

use crate::support::{Notes, both_ways_in_virtual_time, drive_until, real_time, turn};

const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn deadlines_do_not_take_real_time() {
    both_ways_in_virtual_time(|io_loop| {
        let (begun, before) = (real_time(), io_loop.now());
        io_loop.run_until(async {
            for _ in 0..1_000 {
                sleep(HOUR).await;
            }
        });
        assert_eq!(io_loop.now() - before, HOUR * 1_000);
        assert!(real_time() - begun < HOUR);
    });
}

#[test]
fn time_does_not_move_while_something_can_run() {
    both_ways_in_virtual_time(|io_loop| {
        let before = io_loop.now();
        io_loop.call_later(Duration::from_millis(1), || {});
        io_loop.run_until(async {
            for _ in 0..100 {
                yield_now().await;
            }
        });
        assert_eq!(io_loop.now(), before);
    });
}

#[test]
fn time_does_not_jump_over_bytes_that_have_arrived() {
    both_ways_in_virtual_time(|io_loop| {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let watched = Watched::new(ours);
        io_loop.run_until(async {
            for number in 0..100 {
                theirs.write_all(&[number]).unwrap();
                let mut byte = [0];
                let read = async {
                    watched.readable().await?;
                    (&*watched).read(&mut byte)
                };
                let before = io_loop.now();
                assert_eq!(timeout(HOUR, read).await.unwrap().unwrap(), 1);
                assert_eq!((byte, io_loop.now()), ([number], before));
                // Nobody writes now: only the deadline is left.
                let silence = timeout(HOUR, watched.readable()).await;
                assert!(matches!(silence, Err(TimedOut)));
            }
        });
    });
}

#[test]
fn time_does_not_jump_past_a_deadline_between_others() {
    both_ways_in_virtual_time(|io_loop| {
        let (notes, before) = (Notes::new(), io_loop.now());
        for minutes in [2, 1, 3] {
            let noted = notes.clone();
            let note = move || noted.add((IoLoop::current().now() - before).as_secs());
            io_loop.call_later(Duration::from_secs(minutes * 60), note);
        }
        drive_until(io_loop, || notes.len() == 3);
        assert_eq!(notes.all(), [60, 120, 180]);
    });
}

#[test]
fn a_bounded_turn_does_not_jump_farther_than_it_may() {
    both_ways_in_virtual_time(|io_loop| {
        let before = io_loop.now();
        io_loop.call_later(HOUR, || unreachable!());
        turn(io_loop);
        assert_eq!(io_loop.now(), before);
        io_loop.turn(Some(HOUR / 2));
        assert_eq!(io_loop.now() - before, HOUR / 2);
    });
}

#[test]
fn unread_input_does_not_halt_time_for_a_paused_handler() {
    both_ways_in_virtual_time(|io_loop| {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(b"x").unwrap();
        let pause = |_: &UnixStream, event: Event| {
            IoLoop::current()
                .update_handler(event.id, Interest::NONE)
                .unwrap();
        };
        io_loop
            .add_handler(Rc::new(ours), Interest::READ, pause)
            .unwrap();
        io_loop.run_until(sleep(HOUR));
    });
}

#[test]
fn the_same_seed_does_not_give_another_sequence() {
    let sequence = || {
        testing::run(async {
            let io_loop = IoLoop::current();
            [io_loop.random(), io_loop.random(), io_loop.random()]
        })
    };
    assert_eq!(sequence(), sequence());
}

#[test]
fn a_failed_test_does_not_leave_its_loop_to_the_next() {
    let failed = std::panic::catch_unwind(|| testing::run(async { panic!("a failed assertion") }));
    assert!(failed.is_err());
    testing::run(async {});
}

#[test]
#[cfg(feature = "blocking")]
fn time_does_not_move_while_a_blocking_closure_is_out() {
    both_ways_in_virtual_time(|io_loop| {
        let before = io_loop.now();
        let work = io_loop.run_blocking(|| {
            crate::support::hold_the_thread(Duration::from_millis(20));
            5
        });
        assert_eq!(
            io_loop.run_until(timeout(Duration::from_millis(1), work)),
            Ok(5)
        );
        assert_eq!(io_loop.now(), before);
    });
}

#[test]
#[cfg(feature = "blocking")]
fn a_blocking_closure_that_has_answered_does_not_halt_time() {
    both_ways_in_virtual_time(|io_loop| {
        io_loop.run_until(async {
            let mut work = IoLoop::current().run_blocking(|| 5);
            assert_eq!((&mut work).await, 5);
            // The future is still there, with nothing behind it.
            sleep(HOUR).await;
            drop(work);
        });
    });
}

#[test]
#[cfg(feature = "blocking")]
fn a_bounded_turn_does_not_wait_for_a_blocking_closure() {
    both_ways_in_virtual_time(|io_loop| {
        let (go, gone) = std::sync::mpsc::channel();
        let work = io_loop.run_blocking(move || gone.recv().unwrap());
        // The closure ends only after the turn has: a turn that waits for it never returns.
        turn(io_loop);
        io_loop.turn(Some(Duration::from_millis(1)));
        go.send(5).unwrap();
        assert_eq!(io_loop.run_until(work), 5);
    });
}
