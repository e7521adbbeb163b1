//! Waiting for the peer to close eats no data and misses no end.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;

use futures_lite::future::{or, zip};
use futures_lite::{AsyncBufRead, AsyncBufReadExt};
use ioloop::Task;
use iostream::{CloseReason, IoStream};

use crate::support::{attempt, on_loop, pattern, spawn, turns, unread};
use crate::transports::{Kind, tcp};

const KINDS: [Kind; 5] = [
    Kind::Tcp,
    Kind::Unix,
    Kind::Memory,
    Kind::Cut(7),
    Kind::CutTcp(5),
];

fn over(kinds: &[Kind], test: impl AsyncFn(IoStream, IoStream) + Copy + 'static) {
    for kind in kinds.iter().copied() {
        println!("over {kind:?}");
        on_loop(async move {
            let (one, other) = kind.streams();
            test(one, other).await;
        });
    }
}

#[test]
fn it_eats_nothing_and_sees_the_end() {
    over(&KINDS, async |mut one, other| {
        let close = async {
            for piece in [&b"line\n"[..], b"and ", b"more"] {
                other.write(piece).await.unwrap();
                turns(5).await;
            }
            drop(other);
        };
        let (reason, ()) = zip(one.peer_closed(), close).await;
        assert_eq!(reason, CloseReason::EndOfStream);
        assert_eq!(one.peer_closed().await, CloseReason::EndOfStream);
        assert_eq!(one.read_until(b"\n", 10).await.unwrap(), b"line\n");
        assert_eq!(one.read_until_close(100).await.unwrap(), b"and more");
        // The end of what the peer says is not the end of what it hears.
        one.write(b"answer").await.unwrap();
    });
}

#[test]
fn it_sees_a_reset_and_keeps_what_came_before() {
    over(&[Kind::Tcp, Kind::Memory], async |mut one, other| {
        other.write(b"before").await.unwrap();
        other.flush().await.unwrap();
        let abort = async {
            turns(5).await;
            other.abort();
        };
        let (reason, ()) = zip(one.peer_closed(), abort).await;
        assert_eq!(reason, CloseReason::Reset);
        assert!(one.write(b"x").await.is_err());
        assert_eq!(one.read_bytes(6).await.unwrap(), b"before");
    });
}

/// Polls what `make` makes of the stream anew each time, so that several tasks can share it.
async fn shared<T>(stream: &RefCell<IoStream>, make: impl AsyncFn(&mut IoStream) -> T) -> T {
    poll_fn(|context| {
        let mut stream = stream.borrow_mut();
        let mut future = pin!(make(&mut stream));
        future.as_mut().poll(context)
    })
    .await
}

#[test]
fn it_is_not_missed_when_the_reader_is_another_task() {
    over(&KINDS, async |one, other| {
        let one = Rc::new(RefCell::new(one));
        let watch = spawn({
            let one = one.clone();
            async move { shared(&one, async |stream| stream.peer_closed().await).await }
        });
        let second_watch = spawn({
            let one = one.clone();
            async move { shared(&one, async |stream| stream.peer_closed().await).await }
        });
        let read = spawn({
            let one = one.clone();
            async move {
                let mut received = Vec::new();
                while let Ok(message) =
                    shared(&one, async |stream| stream.read_bytes(10).await).await
                {
                    received.extend(message);
                }
                received
            }
        });
        let sent = pattern(2000);
        for piece in sent.chunks(33) {
            other.write(piece).await.unwrap();
            turns(1).await;
        }
        assert!(!watch.is_finished());
        drop(other);
        assert_eq!(watch.await, CloseReason::EndOfStream);
        assert_eq!(second_watch.await, CloseReason::EndOfStream);
        assert!(read.await == sent);
    });
}

#[test]
fn a_read_that_waits_is_not_starved_by_the_watcher() {
    over(&KINDS, async |mut one, other| {
        let sent = pattern(3000);
        let write = async {
            for piece in sent.chunks(100) {
                other.write(piece).await.unwrap();
                turns(1).await;
            }
            drop(other);
        };
        let read = async {
            let mut received = Vec::new();
            loop {
                // Each message is raced against the end, as a handler does that streams.
                let closed = async {
                    turns(1).await;
                    None
                };
                let next = or(async { Some(one.read_bytes(100).await) }, closed).await;
                match next {
                    Some(Ok(message)) => received.extend(message),
                    Some(Err(error)) => break (received, error),
                    None => {
                        attempt(one.peer_closed()).await;
                    }
                }
            }
        };
        let ((received, error), ()) = zip(read, write).await;
        assert!(received == sent);
        assert!(error.is_departure());
    });
}

#[test]
fn more_than_it_takes_in_does_not_fill_the_memory() {
    over(
        &[Kind::Tcp, Kind::Unix, Kind::Memory],
        async |mut one, other| {
            let sent = pattern(1_000_000);
            let write = async {
                other.write(&sent).await.unwrap();
                drop(other);
            };
            let watch_then_read = async {
                let mut more_turns = 50;
                while more_turns > 0 {
                    assert!(attempt(one.peer_closed()).await.is_none());
                    turns(1).await;
                    // The kernel brings the first ones when it likes.
                    more_turns -= usize::from(unread(&one) >= 64 * 1024);
                }
                let kept = unread(&one);
                assert!((64 * 1024..2 * 64 * 1024).contains(&kept), "{kept}");
                let received = one.read_bytes(sent.len()).await.unwrap();
                assert!(received == sent);
                one.peer_closed().await
            };
            let (reason, ()) = zip(watch_then_read, write).await;
            assert_eq!(reason, CloseReason::EndOfStream);
        },
    );
}

/// More than a watcher takes in, and then the end. The watcher has taken in what it does.
async fn with_a_watcher_that_waits_for_room(
    kind: Kind,
) -> (Rc<RefCell<IoStream>>, Task<CloseReason>) {
    let (one, other) = kind.streams();
    other.write(&pattern(100_000)).await.unwrap();
    drop(other);
    while unread(&one) < 64 * 1024 {
        assert!(attempt(one.peer_closed()).await.is_none());
        turns(1).await;
    }
    let one = Rc::new(RefCell::new(one));
    let watch = spawn({
        let one = one.clone();
        async move { shared(&one, async |stream| stream.peer_closed().await).await }
    });
    turns(5).await;
    assert!(!watch.is_finished(), "there is no room");
    (one, watch)
}

#[test]
fn a_watcher_that_waits_for_room_is_not_forgotten() {
    for kind in [Kind::Tcp, Kind::Unix, Kind::Memory] {
        // Whatever way some of it is consumed.
        for way in 0..3 {
            on_loop(async move {
                let (one, watch) = with_a_watcher_that_waits_for_room(kind).await;
                let consumed = shared(&one, async |stream| match way {
                    0 => {
                        let consumed = stream.fill_buf().await.unwrap().len() - 10;
                        Pin::new(stream).consume(consumed);
                        consumed
                    }
                    1 => stream.read_bytes(60_000).await.unwrap().len(),
                    _ => stream.read_into(&mut [0; 60_000]).await.unwrap(),
                });
                let consumed = consumed.await;
                assert_eq!(watch.await, CloseReason::EndOfStream);
                let rest = shared(&one, async |stream| stream.read_until_close(100_000).await);
                assert_eq!(rest.await.unwrap(), pattern(100_000)[consumed..]);
            });
        }
    }
}

#[test]
fn an_end_that_an_earlier_read_has_met_is_not_waited_for() {
    over(&KINDS, async |mut one, other| {
        drop(other);
        assert!(one.read_bytes(1).await.is_err());
        assert_eq!(
            attempt(one.peer_closed()).await,
            Some(CloseReason::EndOfStream)
        );
    });
}

#[test]
fn our_own_abort_ends_the_wait() {
    over(&KINDS, async |one, other| {
        let aborter = one.aborter();
        let watch = spawn(async move { one.peer_closed().await });
        turns(5).await;
        assert!(!watch.is_finished());
        aborter.abort();
        assert_eq!(watch.await, CloseReason::Local);
        drop(other);
    });
}

#[test]
fn a_watcher_that_gave_up_does_not_take_the_readers_wake_up_with_it() {
    on_loop(async {
        let (mut one, other) = tcp();
        for round in 0..20_u8 {
            attempt(one.peer_closed()).await;
            let write = async {
                turns(3).await;
                other.write(&[round]).await.unwrap();
            };
            let (read, ()) = zip(one.read_bytes(1), write).await;
            assert_eq!(read.unwrap(), [round]);
        }
        let close = async {
            turns(3).await;
            drop(other);
        };
        attempt(one.peer_closed()).await;
        assert!(zip(one.read_bytes(1), close).await.0.is_err());
    });
}

#[test]
fn waiting_for_it_does_not_keep_the_stream_open() {
    over(&[Kind::Tcp, Kind::Memory], async |mut one, other| {
        let closed = other.peer_closed();
        let waiting = spawn(closed);
        turns(5).await;
        drop(other);
        assert_eq!(one.read_until_close(10).await.unwrap(), b"");
        drop(one);
        // It hears of the peer's end, or that its own stream is gone, but does hear.
        waiting.await;
    });
}

#[test]
fn without_a_reader_it_keeps_nothing_and_still_sees_the_end() {
    over(&[Kind::Tcp, Kind::Memory], async |one, other| {
        let closed = other.peer_closed();
        let (reader, writer) = other.split();
        drop(reader);
        let waiting = spawn(closed);
        // More than a reader's unread bytes could be: it would wait for room for ever.
        one.write(&pattern(300_000)).await.unwrap();
        drop(one);
        assert_eq!(waiting.await, CloseReason::EndOfStream);
        drop(writer);
    });
}
