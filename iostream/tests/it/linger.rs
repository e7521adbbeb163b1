//! After the last handle: everything is sent, no reset destroys it, and all of it is bounded.

use std::io::Read;
use std::time::Duration;

use futures_lite::future::zip;
use ioloop::{IoLoop, sleep};

use crate::support::{Closes, File, on_loop, on_virtual_loop, pattern, spawn, turns, until};
use crate::transports::{Kind, from_fd, narrow_tcp, tcp, tcp_sockets};

#[test]
fn a_handler_that_returns_after_writing_8_mib_to_a_slow_peer_loses_nothing() {
    on_loop(async {
        let (one, mut other) = narrow_tcp();
        let sent = pattern(8 * 1024 * 1024);
        one.write(&sent).await.unwrap();
        drop(one);
        let mut received = Vec::with_capacity(sent.len());
        while received.len() < sent.len() {
            received.extend(other.read_some(64 * 1024).await.unwrap());
            turns(2).await;
        }
        assert!(received == sent);
        assert_eq!(other.read_until_close(0).await.unwrap(), b"");
    });
}

#[test]
fn a_program_that_ends_at_once_does_not_lose_what_it_queued() {
    for drops_reader in [false, true] {
        let (ours, mut theirs) = tcp_sockets();
        let io_loop = IoLoop::current();
        let kept = io_loop.run_until(async {
            let (reader, writer) = from_fd(ours).split();
            writer.queue(b"bye").unwrap();
            drop(writer);
            (!drops_reader).then_some(reader)
        });
        io_loop.close();
        drop(kept);
        let mut received = Vec::new();
        theirs.read_to_end(&mut received).unwrap();
        assert_eq!(received, b"bye");
    }
}

/// A client that sends all of its request before it reads a byte of the answer.
async fn sends_first(kind: Kind, request: usize, answer: usize) {
    let (one, mut other) = match kind {
        Kind::Tcp => narrow_tcp(),
        kind => kind.streams(),
    };
    let answer = pattern(answer);
    one.write(&answer).await.unwrap();
    drop(one);
    for _ in 0..request / 10_000 {
        other.write(&[0; 10_000]).await.unwrap();
        other.flush().await.unwrap();
    }
    let received = other.read_until_close(answer.len()).await.unwrap();
    assert!(
        received == answer,
        "{} of {} bytes",
        received.len(),
        answer.len()
    );
}

#[test]
fn a_peer_that_is_still_sending_does_not_lose_the_last_answer() {
    for kind in [Kind::Tcp, Kind::Unix, Kind::Memory, Kind::Cut(1000)] {
        on_loop(sends_first(kind, 1_000_000, 10));
        // More than the kernel holds: the answer waits for the peer, which waits for us to read.
        on_loop(sends_first(kind, 4_000_000, 8_000_000));
    }
}

#[test]
fn a_peer_that_does_not_close_is_not_waited_for_longer_than_the_linger_timeout() {
    for kind in [Kind::Tcp, Kind::Unix, Kind::Memory] {
        for timeout in [None, Some(Duration::from_secs(1)), Some(Duration::ZERO)] {
            on_virtual_loop(async move {
                let (one, other) = kind.streams();
                let closes = Closes::new();
                one.on_close(closes.clone());
                if let Some(timeout) = timeout {
                    one.set_linger_timeout(timeout);
                }
                let began = IoLoop::current().now();
                drop(one);
                while closes.count() == 0 {
                    sleep(Duration::from_millis(100)).await;
                }
                let expected = timeout.unwrap_or(Duration::from_secs(5));
                let waited = IoLoop::current().now() - began;
                assert!(waited >= expected && waited <= expected + Duration::from_millis(200));
                drop(other);
            });
        }
    }
}

#[test]
fn a_stream_that_waits_for_nobody_is_closed_when_all_is_sent() {
    on_loop(async {
        for length in [0, 10, 4_000_000] {
            let (ours, theirs) = tcp_sockets();
            let (file, one, mut other) = (File::of(&ours), from_fd(ours), from_fd(theirs));
            one.set_linger_timeout(Duration::ZERO);
            let sent = pattern(length);
            one.write(&sent).await.unwrap();
            drop(one);
            // The kernel takes this much at once, and may take less than the rest.
            assert!(!file.is_open() || length > 10);
            assert!(other.read_until_close(length).await.unwrap() == sent);
            until(|| !file.is_open()).await;
        }
    });
}

#[test]
fn a_peer_that_never_stops_sending_is_not_listened_to_for_ever() {
    on_loop(async {
        let (one, other) = tcp();
        let closes = Closes::new();
        one.on_close(closes.clone());
        one.set_linger_timeout(Duration::from_millis(30));
        drop(one);
        let flood = spawn(async move { while other.write(&[0; 10_000]).await.is_ok() {} });
        until(|| closes.count() == 1).await;
        flood.await;
    });
}

#[test]
fn a_peer_that_has_closed_is_not_waited_for() {
    on_virtual_loop(async {
        let (one, other) = tcp_sockets();
        let (file, mut one, other) = (File::of(&one), from_fd(one), from_fd(other));
        drop(other);
        assert!(one.read_some(1).await.is_err());
        one.write(b"nobody reads this").await.unwrap();
        drop(one);
        turns(3).await;
        assert!(!file.is_open());
    });
}

#[test]
fn without_lingering_nothing_is_lost_and_an_open_peer_is_not_waited_for() {
    for kind in [Kind::Tcp, Kind::Unix, Kind::Memory] {
        on_loop(async move {
            for length in [0, 10, 4_000_000] {
                let (one, mut other) = kind.streams();
                one.set_linger_timeout(Duration::ZERO);
                let closes = Closes::new();
                one.on_close(closes.clone());
                let sent = pattern(length);
                one.write(&sent).await.unwrap();
                drop(one);
                let received = other.read_until_close(length).await.unwrap();
                assert!(received == sent, "{kind:?}, {length}");
                until(|| closes.count() == 1).await;
            }
        });
    }
}

#[test]
fn a_peer_that_does_not_read_is_given_up_after_a_minute() {
    for kind in [Kind::Unix, Kind::Memory] {
        on_virtual_loop(async move {
            let (one, mut other) = kind.streams();
            let closes = Closes::new();
            one.on_close(closes.clone());
            one.write(&pattern(4_000_000)).await.unwrap();
            drop(one);
            // As long as it takes something now and then, it is waited for.
            for _ in 0..3 {
                sleep(Duration::from_secs(50)).await;
                assert_eq!(closes.count(), 0);
                other.read_bytes(500_000).await.unwrap();
                turns(20).await;
            }
            let began = IoLoop::current().now();
            while closes.count() == 0 {
                sleep(Duration::from_secs(1)).await;
            }
            let waited = IoLoop::current().now() - began;
            assert!((58..=62).contains(&waited.as_secs()), "{waited:?}");
            let rest = other.read_until_close(usize::MAX).await;
            assert!(
                rest.is_err() || kind == Kind::Unix,
                "it was cut, and that shows"
            );
        });
    }
}

#[test]
fn handles_that_are_kept_are_not_given_up_after_a_minute() {
    on_virtual_loop(async {
        let (one, mut other) = Kind::Memory.streams();
        let sent = pattern(1_000_000);
        one.write(&sent).await.unwrap();
        sleep(Duration::from_secs(3600)).await;
        let (flushed, received) = zip(one.flush(), other.read_bytes(sent.len())).await;
        flushed.unwrap();
        assert!(received.unwrap() == sent);
    });
}

#[test]
fn lingering_does_not_take_more_than_its_share_of_a_turn() {
    on_loop(async {
        let (one, other) = Kind::Memory.streams();
        let io_loop = IoLoop::current();
        drop(one);
        // An endless peer: each turn it refills what was taken.
        let sent = std::rc::Rc::new(std::cell::Cell::new(0_u64));
        let flood = spawn({
            let sent = sent.clone();
            async move {
                while other.write(&[0; 64 * 1024]).await.is_ok() {
                    sent.set(sent.get() + 1);
                }
            }
        });
        let before = io_loop.metrics().turns;
        turns(100).await;
        let (turns, sent) = (io_loop.metrics().turns - before, sent.get());
        assert!(sent <= 40 * turns, "{sent} pieces in {turns} turns");
        drop(flood);
    });
}
