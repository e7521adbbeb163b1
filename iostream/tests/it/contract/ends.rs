//! The end of a stream, from either side, over every transport.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use futures_lite::future::zip;
use iostream::{CloseReason, Error};

use crate::support::{attempt, on_loop, pattern, spawn, turns};
use crate::transports::{Kind, over_every_transport};

#[test]
fn bytes_that_came_before_the_close_are_read_before_it_is_reported() {
    over_every_transport(async |_, mut one, other| {
        other.write.write(b"one\ntwo\nthr").await.unwrap();
        drop(other);
        assert_eq!(one.read.read_until(b"\n", 100).await.unwrap(), b"one\n");
        assert_eq!(one.read.read_bytes(4).await.unwrap(), b"two\n");
        for _ in 0..2 {
            let cut = one.read.read_until(b"\n", 100).await;
            let expected = (CloseReason::EndOfStream, 3);
            assert!(
                matches!(cut, Err(Error::Closed { reason, unread }) if (reason, unread) == expected),
                "{cut:?}"
            );
        }
        assert_eq!(one.read.read_bytes(3).await.unwrap(), b"thr");
        let ended = one.read.read_some(1).await;
        assert!(ended.is_err_and(|error| error.is_departure()));
    });
}

#[test]
fn a_close_is_not_missed_by_a_reader_that_waits() {
    over_every_transport(async |_, mut one, other| {
        let close = async {
            turns(5).await;
            drop(other);
        };
        let (read, ()) = zip(one.read.read_until(b"\n", 100), close).await;
        assert!(matches!(
            read,
            Err(Error::Closed {
                reason: CloseReason::EndOfStream,
                unread: 0
            })
        ));
    });
}

#[test]
fn dropping_a_stream_does_not_lose_what_was_written() {
    over_every_transport(async |kind, mut one, other| {
        let sent = pattern(kind.plenty());
        other.write.write(&sent).await.unwrap();
        drop(other);
        turns(10).await;
        let received = one.read.read_until_close(sent.len()).await.unwrap();
        assert!(
            received == sent,
            "{} of {} bytes came",
            received.len(),
            sent.len()
        );
    });
}

#[test]
fn dropping_a_stream_does_not_lose_what_was_queued_in_the_same_turn() {
    over_every_transport(async |_, mut one, other| {
        other.write.queue(b"bye").unwrap();
        drop(other);
        assert_eq!(one.read.read_until_close(10).await.unwrap(), b"bye");
    });
}

#[test]
fn an_answer_is_not_lost_when_the_peer_has_half_closed() {
    over_every_transport(async |_, mut one, mut other| {
        other.write.write(b"question").await.unwrap();
        drop(other.write);
        assert_eq!(one.read.read_until_close(100).await.unwrap(), b"question");
        turns(5).await;
        one.write.write(b"answer").await.unwrap();
        turns(5).await;
        one.write.write(b", and more").await.unwrap();
        drop(one);
        let answer = other.read.read_until_close(100).await.unwrap();
        assert_eq!(answer, b"answer, and more");
    });
}

#[test]
fn dropping_the_last_writer_is_not_hidden_from_the_peer() {
    over_every_transport(async |_, mut one, mut other| {
        let clone = other.write.clone();
        drop(other.write);
        turns(5).await;
        assert!(
            attempt(one.read.read_some(1)).await.is_none(),
            "a clone still writes"
        );
        clone.write(b"last").await.unwrap();
        drop(clone);
        assert_eq!(one.read.read_until_close(10).await.unwrap(), b"last");
        // The other direction lives on.
        one.write.write(b"still heard").await.unwrap();
        assert_eq!(other.read.read_bytes(11).await.unwrap(), b"still heard");
    });
}

#[test]
fn dropping_the_last_writer_after_the_peer_has_closed_is_not_hidden_either() {
    over_every_transport(async |_, mut one, mut other| {
        drop(other.write);
        assert_eq!(one.read.read_until_close(10).await.unwrap(), b"");
        one.write.queue(b"answer").unwrap();
        drop(one.write);
        // `one.read` is alive: the end must come all the same.
        assert_eq!(other.read.read_until_close(10).await.unwrap(), b"answer");
        drop(one.read);
    });
}

#[test]
fn dropping_the_reader_does_not_break_the_writers() {
    over_every_transport(async |kind, one, mut other| {
        drop(one.read);
        // Nobody will read this; over a pipe it cannot even be sent.
        let sent = other.write.write(b"ignored").await;
        assert!(sent.is_ok() || kind == Kind::Pipes);
        let message = pattern(kind.plenty().min(100_000));
        let write = async {
            for piece in message.chunks(1000) {
                one.write.write(piece).await.unwrap();
            }
        };
        let (received, ()) = zip(other.read.read_bytes(message.len()), write).await;
        assert!(received.unwrap() == message);
    });
}

#[test]
fn an_abort_does_not_leave_anybody_waiting() {
    over_every_transport(async |kind, mut one, other| {
        let sent = spawn({
            let writer = one.write.clone();
            async move {
                // Until the abort: nobody reads at the other end.
                while writer.write(&[0; 100_000]).await.is_ok() {}
                (writer.write(b"x").await, writer.flush().await)
            }
        });
        let flushed = spawn({
            let writer = one.write.clone();
            async move {
                turns(10).await;
                writer.flush().await
            }
        });
        let abort = async {
            turns(50).await;
            one.write.abort();
        };
        // A pipe is aborted on the side that was aborted; the other stream is another descriptor.
        if kind != Kind::Pipes {
            let (read, ()) = zip(one.read.read_some(1), abort).await;
            assert!(is_local(read), "the reader");
        } else {
            abort.await;
        }
        let (write, flush) = sent.await;
        assert!(is_local(write) && is_local(flush), "the writer");
        assert!(is_local(flushed.await), "the flusher");
        drop(other);
    });
}

fn is_local<T>(result: Result<T, Error>) -> bool {
    matches!(
        result,
        Err(Error::Closed {
            reason: CloseReason::Local,
            ..
        })
    )
}

#[test]
fn the_peer_of_an_aborted_stream_does_not_take_it_for_an_orderly_end() {
    over_every_transport(async |kind, one, mut other| {
        one.write.write(b"first half").await.unwrap();
        assert_eq!(other.read.read_bytes(10).await.unwrap(), b"first half");
        // Other handles live on, as those of the handler do that a server aborts.
        let others = (one.read, one.write.clone());
        one.write.abort();
        drop(one.write);
        if kind.can_reset() {
            let ended = other.read.read_until_close(100).await;
            let reset = matches!(
                ended,
                Err(Error::Closed {
                    reason: CloseReason::Reset,
                    ..
                })
            );
            assert!(reset, "{ended:?}");
        }
        drop(others);
    });
}

#[test]
fn writing_to_a_peer_that_is_gone_does_not_wait_for_ever() {
    over_every_transport(async |kind, one, other| {
        if matches!(kind, Kind::Cut(_) | Kind::CutTcp(_)) {
            // The stream below is not aborted: it lingers, and takes what comes.
            return;
        }
        drop(other.read);
        other.write.abort();
        drop(other.write);
        let ended = loop {
            if let Err(error) = one.write.write(&[0; 50_000]).await {
                break error;
            }
        };
        let reason = CloseReason::Reset;
        assert!(
            matches!(ended, Error::Closed { reason: why, .. } if why == reason),
            "{ended:?}"
        );
        assert!(one.write.flush().await.is_err());
        assert!(one.write.queue(b"x").is_err());
    });
}

#[test]
fn a_stream_that_outlives_its_loop_does_not_panic() {
    for kind in Kind::ALL {
        let (mut one, other) = on_loop(async move {
            let (one, mut other) = kind.ends_with(|_| {});
            one.write.queue(&[0; 100_000]).unwrap();
            spawn(async move { other.read.read_bytes(1 << 30).await.map(drop) }).detach();
            (one, other.write)
        });
        other.queue(b"x").unwrap();
        drop(other);
        let mut context = Context::from_waker(Waker::noop());
        // What the kernel has can be had without a loop; waiting cannot.
        let read = pin!(one.read.read_bytes(2));
        assert!(!matches!(read.poll(&mut context), Poll::Ready(Ok(_))));
        drop(one.write);
    }
}
