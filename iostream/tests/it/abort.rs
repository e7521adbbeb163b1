//! Aborting closes at once, whatever the stream is doing.

use std::time::Duration;

use iostream::{CloseReason, Error, IoStream, frame};

use crate::support::{Closes, File, on_loop, on_virtual_loop, spawn, timed, turns};
use crate::transports::{from_fd, narrow_tcp, tcp, tcp_sockets};

/// Both ends as streams, and what the first one's descriptor refers to.
fn watched_tcp() -> (IoStream, IoStream, File) {
    let (one, other) = tcp_sockets();
    let file = File::of(&one);
    (from_fd(one), from_fd(other), file)
}

/// Fails unless the descriptor is closed within a few turns, and in no time.
async fn is_closed_promptly(file: &File) {
    let (waited, ()) = timed(turns(5)).await;
    assert!(waited < Duration::from_secs(1), "{waited:?}");
    assert!(!file.is_open(), "the descriptor is still open");
}

#[test]
fn an_aborted_stream_does_not_keep_its_descriptor() {
    on_virtual_loop(async {
        let (one, _other, file) = watched_tcp();
        one.queue(b"never mind").unwrap();
        one.abort();
        is_closed_promptly(&file).await;
    });
}

#[test]
fn a_stream_that_waits_in_other_tasks_does_not_keep_its_descriptor() {
    on_virtual_loop(async {
        let (one, _other, file) = watched_tcp();
        let aborter = one.aborter();
        let (mut reader, writer) = one.split();
        let writing = spawn(async move { while writer.write(&[0; 100_000]).await.is_ok() {} });
        let reading = spawn(async move { reader.read_bytes(1).await.is_err() });
        turns(5).await;
        assert!(!writing.is_finished() && !reading.is_finished());
        aborter.abort();
        writing.await;
        assert!(reading.await);
        is_closed_promptly(&file).await;
    });
}

#[test]
fn a_stream_that_is_still_being_sent_does_not_keep_its_descriptor() {
    on_virtual_loop(async {
        let (one, _other, file) = watched_tcp();
        let (aborter, closes) = (one.aborter(), Closes::new());
        one.on_close(closes.clone());
        one.write(&[0; 16 * 1024 * 1024]).await.unwrap();
        drop(one);
        turns(10).await;
        assert!(file.is_open(), "there is more to send");
        aborter.abort();
        is_closed_promptly(&file).await;
        assert_eq!(closes.count(), 1);
        aborter.abort();
        assert_eq!(closes.count(), 1);
    });
}

#[test]
fn a_stream_that_lingers_does_not_keep_its_descriptor() {
    on_virtual_loop(async {
        let (one, mut other, file) = watched_tcp();
        let aborter = one.aborter();
        one.write(b"bye").await.unwrap();
        drop(one);
        assert_eq!(other.read_until_close(10).await.unwrap(), b"bye");
        turns(10).await;
        assert!(file.is_open(), "the peer has not closed");
        aborter.abort();
        is_closed_promptly(&file).await;
    });
}

#[test]
fn an_abort_in_the_turn_of_a_drop_does_not_leave_the_stream_behind() {
    on_virtual_loop(async {
        for is_queued in [false, true] {
            let (one, _other, file) = watched_tcp();
            let aborter = one.aborter();
            if is_queued {
                one.queue(b"x").unwrap();
            }
            drop(one);
            aborter.abort();
            is_closed_promptly(&file).await;
        }
    });
}

#[test]
fn what_was_unsent_does_not_reach_the_peer() {
    on_loop(async {
        let (one, mut other) = narrow_tcp();
        one.write(&[7; 8 * 1024 * 1024]).await.unwrap();
        turns(10).await;
        one.abort();
        let mut received = 0;
        let end = loop {
            match other.read_some(65536).await {
                Ok(some) => received += some.len(),
                Err(error) => break error,
            }
        };
        assert!(received < 8 * 1024 * 1024);
        let reason = CloseReason::Reset;
        assert!(matches!(end, Error::Closed { reason: why, .. } if why == reason));
    });
}

#[test]
fn bytes_that_came_before_a_reset_are_not_lost_with_it() {
    on_loop(async {
        let (one, mut other) = tcp();
        one.write(b"line\nhalf").await.unwrap();
        one.abort();
        // The reset has come too, and the kernel keeps what it has.
        turns(10).await;
        assert_eq!(other.read_until(b"\n", 100).await.unwrap(), b"line\n");
        let cut = other.read_until(b"\n", 100).await.unwrap_err();
        let expected = (CloseReason::Reset, 4);
        assert!(
            matches!(cut, Error::Closed { reason, unread } if (reason, unread) == expected),
            "{cut:?}"
        );
        assert_eq!(other.read_bytes(4).await.unwrap(), b"half");
        assert!(
            other.write(b"x").await.is_err(),
            "a reset ends both directions"
        );
    });
}

#[test]
fn everything_is_refused_after_an_abort_and_nothing_waits() {
    on_loop(async {
        let (one, mut other) = tcp();
        other.write(b"arrived").await.unwrap();
        let (mut reader, writer) = one.split();
        assert_eq!(reader.read_bytes(1).await.unwrap(), b"a");
        let aborted = writer.clone();
        aborted.abort();
        assert_eq!(
            reader.read_bytes(6).await.unwrap(),
            b"rrived",
            "it was here already"
        );
        assert!(reader.read_some(1).await.is_err());
        assert!(reader.read_until_close(1).await.is_err());
        assert_eq!(reader.peer_closed().await, CloseReason::Local);
        assert!(writer.queue(b"x").is_err());
        assert!(writer.write(b"x").await.is_err());
        assert!(writer.flush().await.is_err());
        assert!(other.read_bytes(1).await.is_err());
    });
}

#[test]
fn a_parser_may_use_its_own_stream() {
    on_loop(async {
        let (one, mut other) = tcp();
        let (mut reader, writer) = one.split();
        other.write(b"onetworest").await.unwrap();
        let answered = reader.read_with(|bytes| {
            let message = frame::exactly(3)(bytes)?;
            if message.is_some() {
                writer.queue(b"read")?;
            }
            Ok::<_, Error>(message)
        });
        assert_eq!(answered.await.unwrap(), b"one");
        assert_eq!(other.read_bytes(4).await.unwrap(), b"read");
        let aborted = reader.read_with(|bytes| {
            writer.abort();
            frame::exactly(3)(bytes)
        });
        assert_eq!(aborted.await.unwrap(), b"two");
        // What was here already can still be read, and then it is over.
        assert_eq!(reader.read_bytes(4).await.unwrap(), b"rest");
        assert!(reader.read_bytes(1).await.is_err());
    });
}
