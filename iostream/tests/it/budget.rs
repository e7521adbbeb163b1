//! No stream holds the loop, and none that waits keeps it turning.

use std::cell::Cell;
use std::rc::Rc;
use std::task::Poll;

use ioloop::IoLoop;
use iostream::{Error, IoStream};

use crate::scripted::Scripted;
use crate::support::{attempt, on_loop, spawn, turns, until};
use crate::transports::{Kind, from_fd, tcp, tcp_sockets};

/// How much is counted between two turns of another task, at most and on average. At most it is
/// twice what a turn allows, since the two tasks may change places in the queue.
async fn most_per_turn(count: &Rc<Cell<usize>>) -> usize {
    const TURNS: usize = 200;
    let (mut most, began, mut before) = (0, count.get(), count.get());
    for _ in 0..TURNS {
        turns(1).await;
        most = most.max(count.get() - before);
        before = count.get();
    }
    (most / 2).max((before - began) / (TURNS + 1))
}

fn flooded(kind: Kind) -> (IoStream, ioloop::Task<()>) {
    let (one, other) = kind.streams();
    let lines = b"line\n".repeat(100_000);
    let flood = spawn(async move { while other.write(&lines).await.is_ok() {} });
    (one, flood)
}

#[test]
fn a_flooded_stream_does_not_keep_others_from_their_turn() {
    for kind in [Kind::Tcp, Kind::Unix, Kind::Memory, Kind::Cut(1000)] {
        on_loop(async move {
            let (mut one, flood) = flooded(kind);
            let messages = Rc::new(Cell::new(0));
            let reader = spawn({
                let messages = messages.clone();
                async move {
                    while one.read_until(b"\n", 100).await.is_ok() {
                        messages.set(messages.get() + 1);
                    }
                }
            });
            until(|| messages.get() > 0).await;
            let most = most_per_turn(&messages).await;
            assert!(most > 50 && most <= 256, "{most} over {kind:?}");
            drop((reader, flood));
        });
    }
}

#[test]
fn system_calls_are_counted_too() {
    for kind in [Kind::Tcp, Kind::Unix, Kind::Memory] {
        on_loop(async move {
            let (mut one, flood) = flooded(kind);
            let calls = Rc::new(Cell::new(0));
            let reader = spawn({
                let calls = calls.clone();
                async move {
                    let mut byte = [0; 1];
                    while one.read_into(&mut byte).await.is_ok() {
                        calls.set(calls.get() + 1);
                    }
                }
            });
            let most = most_per_turn(&calls).await;
            assert!((1..=33).contains(&most), "{most} over {kind:?}");
            drop((reader, flood));
        });
    }
}

#[test]
fn a_parser_that_never_finds_anything_does_not_hold_the_loop() {
    on_loop(async {
        let mut endless = IoStream::from_transport(Scripted {
            read: Some(Box::new(|buffer: &mut [u8]| Poll::Ready(Ok(buffer.len())))),
            ..Scripted::default()
        });
        let asked = Rc::new(Cell::new(0));
        let reader = spawn({
            let asked = asked.clone();
            async move {
                let message = endless.read_with(|_| {
                    asked.set(asked.get() + 1);
                    Ok::<_, Error>(None::<((), usize)>)
                });
                message.await
            }
        });
        let most = most_per_turn(&asked).await;
        assert!((1..=33).contains(&most), "{most}");
        drop(reader);
    });
}

#[test]
fn a_writer_whose_bytes_are_all_taken_does_not_hold_the_loop() {
    on_loop(async {
        let (one, mut other) = tcp();
        let writes = Rc::new(Cell::new(0));
        let writer = spawn({
            let writes = writes.clone();
            async move {
                while one.write(b"x").await.is_ok() {
                    writes.set(writes.get() + 1);
                }
            }
        });
        let reader = spawn(async move { while other.read_some(65536).await.is_ok() {} });
        let most = most_per_turn(&writes).await;
        assert!((1..=33).contains(&most), "{most}");
        drop((reader, writer));
    });
}

#[test]
fn whoever_has_waited_is_not_made_to_give_way() {
    on_loop(async {
        let (mut one, mut other) = tcp();
        let echo = spawn(async move {
            while let Ok(byte) = other.read_bytes(1).await {
                other.write(&byte).await.unwrap();
            }
        });
        let before = IoLoop::current().metrics().polls;
        for _ in 0..300 {
            one.write(b"x").await.unwrap();
            one.read_bytes(1).await.unwrap();
        }
        // Each of the two tasks is polled once a round, by the event.
        let polls = IoLoop::current().metrics().polls - before;
        assert!(polls <= 2 * 300 + 2, "{polls}");
        drop(echo);
    });
}

/// How many turns the loop makes while nothing should happen.
async fn turns_made() -> u64 {
    let io_loop = IoLoop::current();
    let before = io_loop.metrics().turns;
    ioloop::sleep(std::time::Duration::from_millis(30)).await;
    io_loop.metrics().turns - before
}

#[test]
fn unread_input_does_not_keep_the_loop_turning() {
    on_loop(async {
        let (mut one, other) = tcp();
        // Registered by a read, then left alone.
        assert!(attempt(one.read_bytes(1)).await.is_none());
        other.write(&[0; 100_000]).await.unwrap();
        let turns = turns_made().await;
        assert!(turns <= 6, "{turns}");
        assert_eq!(one.read_bytes(100_000).await.unwrap().len(), 100_000);
    });
}

#[test]
fn a_peer_that_closed_or_reset_does_not_keep_the_loop_turning() {
    on_loop(async {
        for resets in [false, true] {
            let (mut one, other) = tcp();
            assert!(attempt(one.read_bytes(1)).await.is_none());
            one.write(&[0; 10_000_000]).await.unwrap();
            turns(5).await;
            if resets {
                other.abort();
            } else {
                drop(other);
            }
            let turns = turns_made().await;
            assert!(turns <= 60, "{turns}, reset: {resets}");
            let turns = turns_made().await;
            assert!(turns <= 6, "{turns}, reset: {resets}");
            one.abort();
        }
    });
}

#[test]
fn a_reader_and_a_watcher_of_an_idle_stream_do_not_keep_the_loop_turning() {
    on_loop(async {
        let (one, other) = tcp_sockets();
        let (mut reader, writer) = from_fd(one).split();
        let other = from_fd(other);
        let reading = spawn(async move { reader.read_bytes(1).await.map(drop) });
        let flushed = spawn(async move { writer.flush().await });
        let watching = spawn(async move { other.peer_closed().await });
        turns(3).await;
        let turns = turns_made().await;
        assert!(turns <= 3, "{turns}");
        drop((reading, flushed, watching));
    });
}

#[test]
fn a_full_peer_does_not_keep_the_loop_turning() {
    for kind in [Kind::Tcp, Kind::Unix, Kind::Memory] {
        on_loop(async move {
            let (one, other) = kind.streams();
            one.write(&[0; 10_000_000]).await.unwrap();
            let flush = spawn(async move { one.flush().await });
            turns_made().await;
            let turns = turns_made().await;
            assert!(turns <= 6, "{turns} over {kind:?}");
            drop((flush, other));
        });
    }
}
