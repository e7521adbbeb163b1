//! Deadlines of sockets beside what the kernel says in the same turn, and the idle timeout.

use std::io::Write;
use std::time::Duration;

use futures_lite::future::zip;
use ioloop::{IoLoop, sleep};
use iostream::{Error, IoStream};

use crate::support::{on_virtual_loop, spawn, timed};
use crate::transports::{Kind, from_fd, tcp_sockets};

#[test]
fn a_deadline_does_not_beat_bytes_whose_event_still_waits_in_the_kernel() {
    on_virtual_loop(async {
        let (one, mut peer) = tcp_sockets();
        let mut stream = from_fd(one);
        let io_loop = IoLoop::current();
        let deadline = io_loop.now() + Duration::from_secs(10);
        // Both timers are due in the same turn, before the loop asks the kernel again.
        io_loop.call_at(deadline, move || peer.write_all(b"just in time\n").unwrap());
        stream.set_deadline(Some(deadline));
        let line = stream.read_until(b"\n", 100).await;
        assert_eq!(line.unwrap(), b"just in time\n");
        assert!(matches!(
            stream.read_bytes(1).await,
            Err(Error::Closed { .. } | Error::TimedOut)
        ));
    });
}

#[test]
fn the_longest_delay_is_no_deadline_and_any_other_is_one() {
    on_virtual_loop(async {
        let (mut stream, peer) = Kind::Memory.streams();
        let delay = Duration::from_secs(60);
        stream.set_deadline_after(delay);
        let (waited, result) = timed(stream.read_bytes(1)).await;
        assert!(matches!(result, Err(Error::TimedOut)));
        assert_eq!(waited, delay);
        stream.set_deadline_after(Duration::MAX);
        IoLoop::current().call_later(delay * 1_000, move || peer.queue(b"x").unwrap());
        assert_eq!(stream.read_bytes(1).await.unwrap(), b"x");
    });
}

#[test]
fn a_deadline_in_the_past_does_not_leave_those_waiting_who_wait_already() {
    on_virtual_loop(async {
        let (stream, _peer) = Kind::Memory.streams();
        let stream = std::rc::Rc::new(stream);
        let writer = spawn({
            let stream = stream.clone();
            async move {
                loop {
                    if let Err(error) = stream.write(&[0; 100_000]).await {
                        break error;
                    }
                }
            }
        });
        sleep(Duration::from_secs(100)).await;
        stream.set_deadline(Some(IoLoop::current().now() - Duration::from_secs(50)));
        let (waited, error) = timed(writer).await;
        assert!(matches!(error, Error::TimedOut));
        assert_eq!(waited.as_secs(), 0);
    });
}

fn over_both(test: impl AsyncFn(IoStream, IoStream) + Copy + 'static) {
    for kind in [Kind::Unix, Kind::Memory] {
        on_virtual_loop(async move {
            let (one, other) = kind.streams();
            test(one, other).await;
        });
    }
}

#[test]
fn a_stream_that_is_not_idle_does_not_time_out() {
    over_both(async |mut one, mut other| {
        one.set_idle_timeout(Some(Duration::from_secs(10)));
        let talk = async {
            for _ in 0..20 {
                sleep(Duration::from_secs(8)).await;
                other.write(b"x").await.unwrap();
            }
        };
        let (read, ()) = zip(one.read_bytes(20), talk).await;
        assert_eq!(read.unwrap(), b"x".repeat(20));
        let (waited, read) = timed(one.read_bytes(1)).await;
        assert!(matches!(read, Err(Error::TimedOut)), "{read:?}");
        assert_eq!(waited.as_secs(), 10);
        // What is sent counts as well.
        let writer = one.writer();
        let talk = async {
            for _ in 0..20 {
                sleep(Duration::from_secs(8)).await;
                writer.write(b"y").await.unwrap();
            }
        };
        one.write(b"y").await.unwrap();
        let (read, ()) = zip(timed(one.read_bytes(1)), talk).await;
        assert_eq!(read.0.as_secs(), 20 * 8 + 10);
        assert_eq!(other.read_bytes(21).await.unwrap(), b"y".repeat(21));
    });
}

#[test]
fn the_earlier_of_deadline_and_idle_timeout_counts() {
    over_both(async |mut one, other| {
        let now = IoLoop::current().now();
        one.set_idle_timeout(Some(Duration::from_secs(10)));
        one.set_deadline(Some(now + Duration::from_secs(15)));
        let (waited, _) = timed(one.read_bytes(1)).await;
        assert_eq!(waited.as_secs(), 10);
        other.write(b"x").await.unwrap();
        other.flush().await.unwrap();
        one.read_bytes(1).await.unwrap();
        let (waited, read) = timed(one.read_bytes(1)).await;
        assert!(read.is_err());
        assert_eq!(waited.as_secs(), 5);
        one.set_deadline(None);
        other.write(b"x").await.unwrap();
        other.flush().await.unwrap();
        one.read_bytes(1).await.unwrap();
        one.set_idle_timeout(None);
        let write = async {
            sleep(Duration::from_secs(1000)).await;
            other.write(b"late").await.unwrap();
        };
        let (read, ()) = zip(one.read_bytes(4), write).await;
        assert_eq!(read.unwrap(), b"late");
    });
}
