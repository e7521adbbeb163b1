//! Writing, over every transport.

use std::cell::Cell;
use std::io::IoSlice;
use std::rc::Rc;

use futures_lite::future::zip;
use iostream::{Error, IoStream};

use crate::support::{attempt, on_loop, pattern, queued, spawn, turns, until};
use crate::transports::{End, Kind, over_every_transport, over_every_transport_with};

#[test]
fn queued_and_written_bytes_do_not_overtake_each_other() {
    over_every_transport(async |_, mut one, other| {
        let mut expected = Vec::new();
        for round in 0..50_u8 {
            let pieces = [[round; 3], [round + 100; 3], [round + 50; 3]];
            other.write.queue(&pieces[0]).unwrap();
            other.write.write(&pieces[1]).await.unwrap();
            other.write.clone().queue(&pieces[2]).unwrap();
            expected.extend(pieces.as_flattened());
            if round % 7 == 0 {
                turns(1).await;
            }
        }
        assert_eq!(one.read.read_bytes(expected.len()).await.unwrap(), expected);
    });
}

#[test]
fn a_message_in_more_parts_than_a_call_can_take_arrives_in_order() {
    over_every_transport(async |_, mut one, other| {
        let message = pattern(9_000);
        let mut parts: Vec<IoSlice<'_>> = message.chunks(3).map(IoSlice::new).collect();
        parts.insert(0, IoSlice::new(b""));
        parts.insert(1500, IoSlice::new(b""));
        other.write.write_vectored(&parts).await.unwrap();
        other.write.write_vectored(&[]).await.unwrap();
        other.write.write(b"end").await.unwrap();
        assert_eq!(one.read.read_bytes(9_000).await.unwrap(), message);
        assert_eq!(one.read.read_bytes(3).await.unwrap(), b"end");
    });
}

fn limit_to_1000(stream: &IoStream) {
    stream.set_max_write_buffer_size(1000);
}

/// How much [`fill`] writes at a time. TCP takes a little more whenever it acknowledges late or
/// probes a closed window, so there it is more than the kernel can ever take: full stays full.
fn mouthful(kind: Kind) -> usize {
    match kind {
        Kind::Tcp | Kind::CutTcp(_) => 500_000,
        _ => 500,
    }
}

/// Writes until the peer, which reads nothing, holds it back.
async fn fill(kind: Kind, end: &End) -> usize {
    let (mut written, mut stuck) = (0, 0);
    let mut before = (0, 0);
    let mouthful = vec![7; mouthful(kind)];
    while stuck < 100 {
        if let Some(taken) = attempt(end.write.write(&mouthful)).await {
            taken.unwrap();
            written += mouthful.len();
        }
        turns(1).await;
        let now = (written, queued(&end.write));
        stuck = if now == before { stuck + 1 } else { 0 };
        before = now;
    }
    written
}

#[test]
fn a_full_queue_takes_nothing_of_what_does_not_fit() {
    over_every_transport_with(limit_to_1000, async |kind, mut one, other| {
        let is_full = |result| matches!(result, Err(Error::BufferFull { limit: 1000 }));
        assert!(is_full(other.write.queue(&[1; 1001])), "it never fits");
        let written = fill(kind, &other).await;
        for _ in 0..3 {
            assert!(is_full(other.write.queue(&[2; 1])));
            other.write.queue(&[]).unwrap();
            turns(1).await;
        }
        let received = one.read.read_bytes(written).await.unwrap();
        assert!(received.iter().all(|byte| *byte == 7));
        other.write.flush().await.unwrap();
        other.write.queue(&[3; 1000]).unwrap();
        assert_eq!(one.read.read_bytes(1000).await.unwrap(), [3; 1000]);
        assert!(
            attempt(one.read.read_some(1)).await.is_none(),
            "more than was taken"
        );
    });
}

#[test]
fn a_queue_is_not_full_before_the_transport_has_refused() {
    for kind in [Kind::Tcp, Kind::Unix] {
        on_loop(async move {
            let (mut one, other) = kind.streams();
            limit_to_1000(&other);
            // More than the limit within one turn, but the kernel takes it.
            for _ in 0..20 {
                other.queue(&[1; 600]).unwrap();
            }
            assert_eq!(one.read_bytes(12_000).await.unwrap(), [1; 12_000]);
        });
    }
}

#[test]
fn a_peer_that_does_not_read_does_not_fill_our_memory() {
    over_every_transport_with(limit_to_1000, async |kind, mut one, other| {
        let written = fill(kind, &other).await;
        // One write may go beyond the limit.
        assert!(
            (1000..1000 + mouthful(kind)).contains(&queued(&other.write)),
            "{:?}",
            other.write
        );
        let go_on = spawn(async move {
            other.write.write(b"the rest").await.unwrap();
            other
        });
        turns(20).await;
        assert!(!go_on.is_finished(), "there is no room");
        let received = one.read.read_bytes(written).await.unwrap();
        assert!(received.iter().all(|byte| *byte == 7));
        let _other = go_on.await;
        assert_eq!(one.read.read_bytes(8).await.unwrap(), b"the rest");
    });
}

#[test]
fn a_write_that_is_dropped_while_it_waits_takes_nothing() {
    over_every_transport_with(limit_to_1000, async |kind, mut one, other| {
        let written = fill(kind, &other).await;
        for _ in 0..10 {
            assert!(attempt(other.write.write(b"lost")).await.is_none());
        }
        drop(other);
        let received = one.read.read_until_close(usize::MAX).await.unwrap();
        assert_eq!(received.len(), written);
        assert!(received.iter().all(|byte| *byte == 7));
    });
}

#[test]
fn a_flush_does_not_end_before_everything_is_taken() {
    over_every_transport_with(limit_to_1000, async |kind, mut one, other| {
        let written = fill(kind, &other).await;
        for _ in 0..10 {
            assert!(attempt(other.write.flush()).await.is_none());
            turns(1).await;
        }
        let read = async {
            let read = one.read.read_bytes(written).await;
            assert_eq!(read.unwrap().len(), written);
        };
        let (flushed, ()) = zip(other.write.flush(), read).await;
        flushed.unwrap();
        assert_eq!(queued(&other.write), 0);
    });
}

#[test]
fn many_writers_that_wait_are_all_woken() {
    over_every_transport_with(limit_to_1000, async |kind, mut one, other| {
        let written = fill(kind, &other).await;
        let done = Rc::new(Cell::new(0));
        let writers: Vec<_> = (0..20)
            .map(|_| {
                let (writer, done) = (other.write.clone(), done.clone());
                spawn(async move {
                    writer.write(&[7; 500]).await.unwrap();
                    done.set(done.get() + 1);
                })
            })
            .collect();
        turns(5).await;
        assert_eq!(done.get(), 0);
        let received = one.read.read_bytes(written + 20 * 500).await.unwrap();
        assert!(received.iter().all(|byte| *byte == 7));
        until(|| done.get() == 20).await;
        drop(writers);
    });
}

#[test]
fn a_limit_of_zero_does_not_keep_a_single_write_from_leaving() {
    let set_up = |stream: &IoStream| stream.set_max_write_buffer_size(0);
    over_every_transport_with(set_up, async |_, mut one, other| {
        assert!(matches!(
            other.write.queue(b"x"),
            Err(Error::BufferFull { limit: 0 })
        ));
        for _ in 0..5 {
            other.write.write(b"hello").await.unwrap();
        }
        assert_eq!(one.read.read_bytes(25).await.unwrap(), b"hello".repeat(5));
    });
}
