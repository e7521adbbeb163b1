//! Waiting for any descriptor: no wake-up is lost, none is made up, and nobody spins.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Context;
use std::time::Duration;

use futures_lite::future::{or, poll_once, zip};
use ioloop::{IoLoop, TimedOut, Watched, sleep, timeout};

use crate::support::{
    Notes, both_ways, both_ways_in_virtual_time, drive_until, flag, has_event, patient, turn,
};

fn pair() -> (Watched<UnixStream>, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    theirs.set_nonblocking(true).unwrap();
    (Watched::new(ours), theirs)
}

#[test]
fn every_task_that_waits_is_told() {
    both_ways(|io_loop| {
        let (watched, mut theirs) = pair();
        let watched = Rc::new(watched);
        let notes = Notes::new();
        for number in 0..3 {
            let (watched, noted) = (watched.clone(), notes.clone());
            let task = async move {
                watched.readable().await.unwrap();
                noted.add(number);
            };
            io_loop.spawn(task).detach();
        }
        turn(io_loop);
        theirs.write_all(b"x").unwrap();
        drive_until(io_loop, || notes.len() == 3);
    });
}

#[test]
fn two_waits_of_one_task_do_not_displace_each_other() {
    both_ways(|io_loop| {
        let (watched, mut theirs) = pair();
        io_loop
            .spawn(async move {
                theirs.write_all(b"x").unwrap();
                sleep(Duration::from_millis(1)).await;
            })
            .detach();
        let (one, other) = io_loop.run_until(zip(watched.readable(), watched.readable()));
        assert!(one.is_ok() && other.is_ok());
    });
}

#[test]
fn a_direction_does_not_answer_for_the_other() {
    both_ways_in_virtual_time(|io_loop| {
        let (watched, mut theirs) = pair();
        io_loop.run_until(async {
            let both = zip(timeout(SECOND, watched.readable()), watched.writable());
            let (read, write) = both.await;
            assert!(matches!(read, Err(TimedOut)));
            assert!(write.is_ok());

            while (&*watched).write(&[0; 4096]).is_ok() {}
            theirs.write_all(b"x").unwrap();
            let both = zip(watched.readable(), timeout(SECOND, watched.writable()));
            let (read, write) = both.await;
            assert!(read.is_ok());
            assert!(matches!(write, Err(TimedOut)));
        });
    });
}

#[test]
fn input_that_nobody_waits_for_does_not_spin() {
    both_ways(|io_loop| {
        let (watched, mut theirs) = pair();
        theirs.write_all(b"x").unwrap();
        io_loop.run_until(watched.readable()).unwrap();
        turn(io_loop);
        assert!(!has_event(io_loop), "unread, and nobody waits");
        let before = io_loop.metrics().turns;
        io_loop.run_until(sleep(Duration::from_millis(20)));
        let turns = io_loop.metrics().turns - before;
        assert!(turns < 10, "{turns} turns for one sleep");
        io_loop.run_until(watched.readable()).unwrap();
    });
}

#[test]
fn a_peer_that_resets_does_not_spin_a_loop_where_nobody_waits() {
    both_ways(|io_loop| {
        let (watched, theirs) = pair();
        assert!(io_loop.run_until(poll_once(watched.readable())).is_none());
        drop(theirs);
        turn(io_loop);
        turn(io_loop);
        assert!(!has_event(io_loop));
        io_loop.run_until(watched.readable()).unwrap();
        io_loop.run_until(watched.writable()).unwrap();
    });
}

#[test]
fn a_wait_that_was_given_up_does_not_leave_anything() {
    both_ways_in_virtual_time(|io_loop| {
        let (watched, mut theirs) = pair();
        io_loop.run_until(async {
            for _ in 0..100 {
                let given_up = timeout(SECOND, watched.readable()).await;
                assert!(matches!(given_up, Err(TimedOut)));
            }
            theirs.write_all(b"x").unwrap();
            watched.readable().await.unwrap();
        });
    });
}

#[test]
fn a_wait_that_was_given_up_does_not_keep_its_waker_until_the_event() {
    struct Ignore;

    impl std::task::Wake for Ignore {
        fn wake(self: Arc<Self>) {}
    }

    both_ways(|_| {
        let (watched, _theirs) = pair();
        let ignore = Arc::new(Ignore);
        let waker = ignore.clone().into();
        let mut waiting = Box::pin(watched.readable());
        for _ in 0..2 {
            let polled = waiting.as_mut().poll(&mut Context::from_waker(&waker));
            assert!(polled.is_pending());
        }
        assert_eq!(
            Arc::strong_count(&ignore),
            3,
            "ours, the waker, and the one that waits"
        );
        drop(waiting);
        assert_eq!(Arc::strong_count(&ignore), 2);
    });
}

#[test]
fn a_wait_that_moves_to_another_task_is_not_answered_before_the_event() {
    both_ways_in_virtual_time(|io_loop| {
        let (watched, mut theirs) = pair();
        let watched = Rc::new(watched);
        let (done, set) = flag();
        io_loop.run_until(async {
            let waiter = watched.clone();
            let mut waiting = Box::pin(async move { waiter.readable().await });
            assert!(poll_once(&mut waiting).await.is_none());
            let task = IoLoop::current().spawn(async move {
                waiting.await.unwrap();
                set.set(true);
            });
            sleep(SECOND).await;
            assert!(!done.get(), "nothing has arrived");
            theirs.write_all(b"x").unwrap();
            task.await;
        });
    });
}

#[test]
fn a_wait_that_is_polled_without_an_event_is_not_answered() {
    both_ways(|io_loop| {
        let (watched, mut theirs) = pair();
        io_loop.run_until(async {
            let mut waiting = pin!(watched.readable());
            for _ in 0..3 {
                assert!(poll_once(&mut waiting).await.is_none());
                futures_lite::future::yield_now().await;
            }
            theirs.write_all(b"x").unwrap();
            waiting.await.unwrap();
        });
    });
}

#[test]
fn a_dropped_watch_does_not_stay_registered() {
    both_ways(|io_loop| {
        let (watched, mut theirs) = pair();
        assert!(io_loop.run_until(poll_once(watched.readable())).is_none());
        assert_eq!(io_loop.metrics().live_handlers, 1);
        drop(watched);
        assert_eq!(io_loop.metrics().live_handlers, 0);
        assert_eq!(
            theirs.write(b"x").unwrap_err().kind(),
            ErrorKind::BrokenPipe
        );
    });
}

#[test]
fn reading_and_writing_at_once_do_not_lose_a_byte() {
    const TOTAL: usize = 4 << 20;
    both_ways(|io_loop| {
        let (ours, theirs) = pair();
        let theirs = Watched::new(theirs.try_clone().unwrap());
        async fn send(to: &Watched<UnixStream>) {
            let (bytes, mut sent) = (vec![7; 64 << 10], 0);
            while sent < TOTAL {
                let rest = &bytes[..bytes.len().min(TOTAL - sent)];
                sent += to
                    .write_with(|mut stream| stream.write(rest))
                    .await
                    .unwrap();
            }
        }
        async fn receive(from: &Watched<UnixStream>) {
            let (mut bytes, mut received) = (vec![0; 64 << 10], 0);
            while received < TOTAL {
                received += from
                    .read_with(|mut stream| stream.read(&mut bytes))
                    .await
                    .unwrap();
            }
            assert_eq!(received, TOTAL);
        }
        io_loop.run_until(async {
            let there = zip(send(&ours), receive(&theirs));
            let back = zip(send(&theirs), receive(&ours));
            zip(there, back).await;
        });
    });
}

#[test]
fn a_closed_loop_does_not_let_a_wait_hang() {
    both_ways(|io_loop| {
        let (watched, _theirs) = pair();
        assert!(io_loop.run_until(poll_once(watched.readable())).is_none());
        io_loop.close();
        let fresh = patient().make().unwrap();
        let late = sleep(Duration::from_millis(50));
        let answer = fresh.run_until(or(
            async { watched.readable().await.map_err(|error| error.kind()) },
            async {
                late.await;
                Ok(())
            },
        ));
        fresh.close();
        assert_eq!(answer, Err(ErrorKind::NotConnected));
    });
}

const SECOND: Duration = Duration::from_secs(1);
