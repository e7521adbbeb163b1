//! Shutting down tells how it went, and ends writing for every handle.

use iostream::{CloseReason, Error};

use crate::support::{on_loop, pattern, spawn, turns};
use crate::transports::{Kind, tcp};

const KINDS: [Kind; 5] = [
    Kind::Tcp,
    Kind::Unix,
    Kind::Memory,
    Kind::Cut(100),
    Kind::CutTcp(100),
];

fn closed_by<T>(result: Result<T, Error>) -> Option<CloseReason> {
    match result {
        Err(Error::Closed { reason, .. }) => Some(reason),
        _ => None,
    }
}

#[test]
fn it_does_not_end_before_everything_is_taken() {
    for kind in KINDS {
        on_loop(async move {
            let (one, mut other) = kind.streams();
            let sent = pattern(kind.plenty());
            one.write(&sent).await.unwrap();
            let shutdown = spawn(one.shutdown());
            if kind == Kind::Tcp {
                turns(20).await;
                assert!(!shutdown.is_finished());
            }
            assert!(other.read_until_close(sent.len()).await.unwrap() == sent);
            shutdown.await.unwrap();
        });
    }
}

#[test]
fn other_handles_do_not_write_after_it() {
    for kind in KINDS {
        on_loop(async move {
            let (one, mut other) = kind.streams();
            let writer = one.writer();
            writer.queue(b"last").unwrap();
            one.shutdown().await.unwrap();
            // The reason is ours: the peer has not broken the connection.
            assert_eq!(
                closed_by(writer.write(b"x").await),
                Some(CloseReason::Local)
            );
            assert_eq!(closed_by(writer.queue(b"x")), Some(CloseReason::Local));
            assert_eq!(other.read_until_close(10).await.unwrap(), b"last");
        });
    }
}

#[test]
fn a_writer_does_not_get_in_while_it_waits() {
    for kind in KINDS {
        on_loop(async move {
            let (one, mut other) = kind.streams();
            let sent = pattern(kind.plenty());
            let writer = one.writer();
            one.write(&sent).await.unwrap();
            let shutdown = spawn(one.shutdown());
            turns(2).await;
            let (written, is_done) = (writer.write(b"too late").await, shutdown.is_finished());
            assert!(written.is_err() || is_done, "over {kind:?}");
            assert!(other.read_until_close(sent.len()).await.unwrap() == sent);
            shutdown.await.unwrap();
        });
    }
}

#[test]
fn it_does_not_call_an_aborted_or_broken_stream_well() {
    for kind in [Kind::Tcp, Kind::Memory] {
        on_loop(async move {
            let (one, other) = kind.streams();
            one.queue(b"thrown away").unwrap();
            one.aborter().abort();
            assert_eq!(closed_by(one.shutdown().await), Some(CloseReason::Local));
            drop(other);

            let (mut one, other) = kind.streams();
            other.abort();
            assert_eq!(closed_by(one.read_bytes(1).await), Some(CloseReason::Reset));
            assert_eq!(closed_by(one.shutdown().await), Some(CloseReason::Reset));
        });
    }
}

#[test]
fn dropping_its_future_loses_nothing() {
    for kind in KINDS {
        on_loop(async move {
            let (one, mut other) = kind.streams();
            let sent = pattern(1_000_000.min(kind.plenty()));
            one.write(&sent).await.unwrap();
            drop(crate::support::attempt(one.shutdown()).await);
            assert!(other.read_until_close(sent.len()).await.unwrap() == sent);
        });
    }
}

#[test]
fn the_peer_can_answer_after_it() {
    for kind in KINDS {
        on_loop(async move {
            let (one, mut other) = kind.streams();
            let (mut reader, mut writer) = one.split();
            writer.queue(b"question").unwrap();
            futures_lite::AsyncWriteExt::close(&mut writer)
                .await
                .unwrap();
            assert_eq!(other.read_until_close(100).await.unwrap(), b"question");
            other.write(b"answer").await.unwrap();
            drop(other);
            assert_eq!(reader.read_until_close(100).await.unwrap(), b"answer");
        });
    }
}

#[test]
fn an_answer_to_a_peer_that_has_left_is_an_error() {
    on_loop(async {
        let (one, other) = tcp();
        one.write(b"unread by the peer").await.unwrap();
        drop(other);
        // Its linger ends when ours does; then it is gone, or has reset.
        let (mut reader, writer) = one.split();
        assert!(reader.read_some(1).await.is_err());
        writer.abort();
    });
}
