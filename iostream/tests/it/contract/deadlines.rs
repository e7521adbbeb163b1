//! Deadlines end every wait, on time and without loss, over every transport.

use std::time::Duration;

use futures_lite::future::zip;
use ioloop::{IoLoop, sleep};
use iostream::{Error, IoStream};

use crate::support::{attempt, on_virtual_loop, spawn, timed, turns};
use crate::transports::Kind;

/// Deadlines are set on the stream as a whole. When time jumps, TCP in the kernel is left behind
/// with what it does a little later: here it must not have anything to do.
fn over_every_stream(test: impl AsyncFn(IoStream, IoStream) + Copy + 'static) {
    over(|kind| kind != Kind::Pipes, test);
}

fn over(is_meant: fn(Kind) -> bool, test: impl AsyncFn(IoStream, IoStream) + Copy + 'static) {
    for kind in Kind::ALL {
        if is_meant(kind) {
            println!("over {kind:?}");
            on_virtual_loop(async move {
                let (one, other) = kind.streams();
                test(one, other).await;
            });
        }
    }
}

fn set_deadline(stream: &IoStream, seconds: u64) {
    let now = IoLoop::current().now();
    stream.set_deadline(Some(now + Duration::from_secs(seconds)));
}

fn is_timed_out<T>(result: &Result<T, Error>) -> bool {
    matches!(result, Err(Error::TimedOut))
}

#[test]
fn a_read_does_not_wait_beyond_its_deadline() {
    over_every_stream(async |mut one, other| {
        other.write(b"hal").await.unwrap();
        set_deadline(&one, 60);
        let (waited, read) = timed(one.read_until(b"\n", 100)).await;
        assert!(is_timed_out(&read), "{read:?}");
        assert_eq!(waited.as_secs(), 60);
        // Nothing was lost, and what need not wait still succeeds.
        assert_eq!(one.read_bytes(3).await.unwrap(), b"hal");
        let (waited, read) = timed(one.read_some(1)).await;
        assert!(is_timed_out(&read) && waited < Duration::from_secs(1));
        // A new deadline is a new chance.
        set_deadline(&one, 60);
        other.write(b"f\n").await.unwrap();
        assert_eq!(one.read_until(b"\n", 100).await.unwrap(), b"f\n");
    });
}

#[test]
fn every_kind_of_read_ends_at_the_deadline() {
    over_every_stream(async |mut one, other| {
        set_deadline(&one, 5);
        assert!(is_timed_out(&one.read_bytes(1).await));
        set_deadline(&one, 5);
        assert!(is_timed_out(&one.read_into(&mut [0; 5]).await));
        set_deadline(&one, 5);
        assert!(is_timed_out(&one.read_until_close(5).await));
        set_deadline(&one, 5);
        let filled = futures_lite::AsyncBufReadExt::fill_buf(&mut one).await;
        assert_eq!(filled.unwrap_err().kind(), std::io::ErrorKind::TimedOut);
        drop(other);
    });
}

#[test]
fn a_deadline_that_was_moved_does_not_come_at_its_old_time() {
    over_every_stream(async |mut one, other| {
        for (first, second) in [(10, 100), (100, 10)] {
            set_deadline(&one, first);
            set_deadline(&one, second);
            let (waited, read) = timed(one.read_bytes(1)).await;
            assert!(is_timed_out(&read));
            assert_eq!(waited.as_secs(), second);
        }
        set_deadline(&one, 10);
        one.set_deadline(None);
        let write = async {
            sleep(Duration::from_secs(3600)).await;
            other.write(b"late").await.unwrap();
        };
        let (read, ()) = zip(one.read_bytes(4), write).await;
        assert_eq!(read.unwrap(), b"late");
    });
}

#[test]
fn a_deadline_can_be_moved_while_somebody_waits() {
    over_every_stream(async |one, other| {
        let io_loop = IoLoop::current();
        let began = io_loop.now();
        one.set_max_write_buffer_size(1000);
        let (aborter, one) = (one.aborter(), std::rc::Rc::new(one));
        set_deadline(&one, 50);
        // `peer_closed` shows that the stream is shared; its wait has no deadline.
        let watcher = spawn({
            let one = one.clone();
            async move { one.peer_closed().await }
        });
        let flusher = spawn({
            let one = one.clone();
            async move {
                while one.write(&[0; 5000]).await.is_ok() {}
                IoLoop::current().now()
            }
        });
        for later in 1..10 {
            sleep(Duration::from_secs(10)).await;
            set_deadline(&one, 50);
            assert!(!flusher.is_finished(), "after {later}0 s");
        }
        sleep(Duration::from_secs(1)).await;
        set_deadline(&one, 5);
        let ended = flusher.await;
        assert_eq!((ended - began).as_secs(), 96);
        assert!(!watcher.is_finished());
        aborter.abort();
        watcher.await;
        drop(other);
    });
}

#[test]
fn a_write_and_a_flush_do_not_wait_beyond_their_deadline() {
    let holds_back = |kind| !matches!(kind, Kind::Pipes | Kind::Tcp | Kind::CutTcp(_));
    over(holds_back, async |one, mut other| {
        one.set_max_write_buffer_size(1000);
        let mut written = 0;
        let mut refused = 0;
        while refused < 1000 {
            match attempt(one.write(&[7; 500])).await {
                Some(taken) => {
                    taken.unwrap();
                    (written, refused) = (written + 500, 0);
                }
                None => refused += 1,
            }
            turns(1).await;
        }
        set_deadline(&one, 30);
        let (waited, write) = timed(one.write(b"not taken")).await;
        assert!(is_timed_out(&write));
        assert_eq!(waited.as_secs(), 30);
        set_deadline(&one, 30);
        let (waited, flush) = timed(one.flush()).await;
        assert!(is_timed_out(&flush));
        assert_eq!(waited.as_secs(), 30);
        // The loop goes on sending.
        let received = other.read_bytes(written).await.unwrap();
        assert!(received.iter().all(|byte| *byte == 7));
        one.set_deadline(None);
        one.flush().await.unwrap();
        one.write(b"taken").await.unwrap();
        assert_eq!(other.read_bytes(5).await.unwrap(), b"taken");
    });
}

#[test]
fn a_deadline_that_has_passed_does_not_beat_bytes_that_have_arrived() {
    for kind in [Kind::Tcp, Kind::Unix, Kind::Memory] {
        on_virtual_loop(async move {
            let (mut one, other) = kind.streams();
            set_deadline(&one, 10);
            other.write(b"in time\n").await.unwrap();
            other.flush().await.unwrap();
            sleep(Duration::from_secs(20)).await;
            assert_eq!(one.read_until(b"\n", 100).await.unwrap(), b"in time\n");
            assert!(is_timed_out(&one.read_bytes(1).await));
        });
    }
}

#[test]
fn a_stream_with_a_deadline_leaves_no_timer_behind() {
    over_every_stream(async |one, other| {
        let before = IoLoop::current().metrics().live_timers;
        set_deadline(&one, 1000);
        one.aborter().abort();
        drop((one, other));
        crate::support::until(|| IoLoop::current().metrics().live_timers <= before).await;
    });
}
