//! Streams that keep to a rate limit: over sockets in real time, in memory in virtual time.

use std::time::Duration;

use futures_lite::future::zip;
use ioloop::{IoLoop, Task, sleep};
use iostream::{Error, IoStream, RateLimiter};

use crate::support::{on_loop, on_virtual_loop, pattern, queued, spawn, timed, turns};
use crate::transports::{Kind, tcp};

/// Writes pieces of `piece` bytes for ever.
fn pump(stream: IoStream, limiter: &RateLimiter, piece: usize) -> Task<()> {
    let limiter = limiter.clone();
    spawn(async move {
        let data = vec![7; piece];
        while stream.write_limited(&limiter, &data).await.is_ok() {}
    })
}

/// Reads for ever; the output is how much when it is stopped by `limit`.
async fn drain(mut stream: IoStream, limit: Duration) -> usize {
    stream.set_deadline(Some(IoLoop::current().now() + limit));
    let (mut total, mut buffer) = (0, vec![0; 65_536]);
    while let Ok(count) = stream.read_into(&mut buffer).await {
        total += count;
    }
    total
}

fn spread(totals: &[usize]) -> f64 {
    let most = *totals.iter().max().unwrap() as f64;
    most / *totals.iter().min().unwrap() as f64
}

#[test]
fn eight_streams_do_not_differ_by_a_twentieth() {
    for kind in [Kind::Unix, Kind::Memory] {
        on_virtual_loop(async move {
            let limiter = RateLimiter::new(1_000_000);
            let mut readers = Vec::new();
            let mut pumps = Vec::new();
            for index in 0..8 {
                let (one, other) = kind.streams();
                pumps.push(pump(one, &limiter, [1_000, 9_000][index % 2]));
                readers.push(spawn(drain(other, Duration::from_secs(10))));
            }
            let mut totals = Vec::new();
            for reader in readers {
                totals.push(reader.await);
            }
            assert!(spread(&totals) < 1.05, "{totals:?} over {kind:?}");
            let ratio = totals.iter().sum::<usize>() as f64 / 10_000_000.0;
            assert!((0.98..1.02).contains(&ratio), "{ratio} over {kind:?}");
        });
    }
}

#[test]
fn one_that_never_reads_does_not_change_the_total_or_the_others_shares() {
    for (kind, is_attached) in [
        (Kind::Unix, false),
        (Kind::Memory, false),
        (Kind::Unix, true),
    ] {
        on_virtual_loop(async move {
            let limiter = RateLimiter::new(10_000_000);
            let (mut readers, mut pumps, mut deaf) = (Vec::new(), Vec::new(), Vec::new());
            for index in 0..8 {
                let (one, other) = kind.streams();
                pumps.push(match is_attached {
                    false => pump(one, &limiter, 9_000),
                    true => pump(one.limit_writes(&limiter), &RateLimiter::unlimited(), 9_000),
                });
                match index {
                    0 => deaf.push(other),
                    _ => readers.push(spawn(drain(other, Duration::from_secs(10)))),
                }
            }
            let mut totals = Vec::new();
            for reader in readers {
                totals.push(reader.await);
            }
            assert!(spread(&totals) < 1.05, "{totals:?} over {kind:?}");
            let ratio = totals.iter().sum::<usize>() as f64 / 100_000_000.0;
            assert!((0.97..1.02).contains(&ratio), "{ratio} over {kind:?}");
        });
    }
}

#[test]
fn limited_bytes_are_not_lost_or_changed() {
    for kind in [
        Kind::Tcp,
        Kind::Unix,
        Kind::Memory,
        Kind::Cut(7),
        Kind::CutTcp(5),
    ] {
        on_loop(async move {
            let length = kind.plenty().min(300_000);
            let limiter = RateLimiter::new(50_000_000);
            let (one, other) = kind.streams();
            let (one, mut other) = (one.limit_writes(&limiter), other.limit_reads(&limiter));
            let data = pattern(length);
            let write = async {
                one.write(&data).await.unwrap();
                one.shutdown().await.unwrap();
            };
            let ((), read) = zip(write, other.read_until_close(length)).await;
            assert!(read.unwrap() == data, "over {kind:?}");
        });
    }
}

#[test]
fn reads_do_not_go_faster_than_the_limit() {
    on_virtual_loop(async {
        let limiter = RateLimiter::new(100_000);
        let (one, other) = Kind::Unix.streams();
        let mut other = other.limit_reads(&limiter);
        let write = async { one.write(&[0; 500_000]).await.unwrap() };
        let (read, ()) = zip(timed(other.read_bytes(500_000)), write).await;
        assert!(read.1.is_ok());
        assert!(
            (4_980..=5_100).contains(&read.0.as_millis()),
            "{:?}",
            read.0
        );
    });
}

#[test]
fn control_messages_do_not_wait_for_a_turn() {
    on_virtual_loop(async {
        let limiter = RateLimiter::new(1_000);
        let (one, mut other) = IoStream::pair();
        let one = std::rc::Rc::new(one);
        let writer = spawn({
            let (one, limiter) = (one.clone(), limiter.clone());
            async move { one.write_limited(&limiter, &[b'x'; 5_000]).await }
        });
        sleep(Duration::from_millis(100)).await;
        let first = other.read_bytes(1_380).await.unwrap();
        assert_eq!(first, [b'x'; 1_380]);
        one.queue(b"have").unwrap();
        let (waited, message) = timed(other.read_bytes(4)).await;
        assert_eq!(message.unwrap(), b"have");
        assert_eq!(waited, Duration::ZERO);
        other.read_bytes(5_000 - 1_380).await.unwrap();
        writer.await.unwrap();
    });
}

#[test]
fn the_wait_for_a_turn_does_not_outlast_the_deadline_or_the_stream() {
    on_virtual_loop(async {
        let limiter = RateLimiter::new(100);
        let (one, other) = IoStream::pair();
        limiter.permit(1_380).await.charge(1_380);
        one.set_deadline(Some(IoLoop::current().now() + Duration::from_secs(5)));
        let (waited, written) = timed(one.write_limited(&limiter, b"late")).await;
        assert!(matches!(written, Err(Error::TimedOut)), "{written:?}");
        assert_eq!(waited.as_secs(), 5);
        one.set_deadline(None);
        let aborter = one.aborter();
        let writer = spawn({
            let limiter = limiter.clone();
            async move { one.write_limited(&limiter, b"never").await }
        });
        turns(2).await;
        aborter.abort();
        let (waited, written) = timed(writer).await;
        assert!(matches!(written, Err(Error::Closed { .. })), "{written:?}");
        assert_eq!(waited, Duration::ZERO);
        drop(other);
    });
}

#[test]
fn an_aborted_stream_that_is_limited_does_not_look_ended() {
    on_virtual_loop(async {
        let limiter = RateLimiter::new(1_000);
        let (one, mut other) = IoStream::pair();
        let one = one.limit_writes(&limiter).limit_reads(&limiter);
        one.write(&[0; 10_000]).await.unwrap();
        one.abort();
        let read = other.read_until_close(100_000).await;
        assert!(read.is_err(), "{read:?}");
    });
}

#[test]
fn what_was_written_before_the_end_is_not_cut_off_by_the_limit() {
    on_virtual_loop(async {
        let limiter = RateLimiter::new(10_000);
        let (one, mut other) = Kind::Unix.streams();
        let one = one.limit_writes(&limiter);
        one.write(&[1; 100_000]).await.unwrap();
        assert!(queued(&one) > 90_000);
        drop(one);
        let (waited, read) = timed(other.read_until_close(200_000)).await;
        assert_eq!(read.unwrap().len(), 100_000);
        assert!((9_800..10_000).contains(&waited.as_millis()), "{waited:?}");
    });
}

#[test]
fn a_slow_peer_does_not_have_more_waiting_for_it_than_a_turn_and_what_was_gathered() {
    for kind in [Kind::Unix, Kind::Memory] {
        on_virtual_loop(async move {
            let (one, _other) = kind.streams();
            let limiter = RateLimiter::unlimited();
            let writer = one.writer();
            let writing = spawn(async move {
                loop {
                    // Gathered, then more than fits behind it.
                    for length in [4096, 4096, 4096, 4096, 1_000_000] {
                        let data = vec![0; length];
                        writer.write_limited(&limiter, &data).await.unwrap();
                    }
                }
            });
            turns(100).await;
            let waiting = queued(&one);
            assert!(
                (1..=80 * 1024).contains(&waiting),
                "{waiting} over {kind:?}"
            );
            drop::<Task<()>>(writing);
        });
    }
}

#[test]
fn the_limit_is_not_missed_on_sockets_in_real_time() {
    on_loop(async {
        for limit in [1_000_000, 100_000_000] {
            let limiter = RateLimiter::new(limit);
            let (one, mut other) = tcp();
            let bytes = limit as usize / 2;
            let write = async {
                let data = vec![0; 65_536];
                for piece in std::iter::repeat_n(&data, bytes / data.len() + 1) {
                    one.write_limited(&limiter, piece).await.unwrap();
                }
            };
            let (read, ()) = zip(timed(other.read_bytes(bytes)), write).await;
            assert!(read.1.is_ok());
            // The limit itself is measured by the bench: here others share the machine.
            let fastest = (bytes - limiter.unit()) as f64 / limit as f64;
            assert!(
                read.0.as_secs_f64() > fastest * 0.98,
                "{:?} at {limit}",
                read.0
            );
        }
    });
}
