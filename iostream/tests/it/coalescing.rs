//! What one turn writes leaves in one piece.

use std::cell::Cell;
use std::io::IoSlice;
use std::os::unix::net::UnixDatagram;
use std::rc::Rc;

use iostream::IoStream;

use crate::support::{attempt, on_loop, turns};
use crate::transports::{Counting, from_fd};

/// A stream of which each call that sends is one datagram to the other socket.
fn observed() -> (IoStream, UnixDatagram) {
    let (ours, theirs) = UnixDatagram::pair().unwrap();
    theirs.set_nonblocking(true).unwrap();
    (from_fd(ours), theirs)
}

/// The datagrams that have come, each as long as the call that sent it.
fn sent(socket: &UnixDatagram) -> Vec<Vec<u8>> {
    let mut buffer = vec![0; 100_000];
    std::iter::from_fn(|| socket.recv(&mut buffer).ok().map(|n| buffer[..n].to_vec())).collect()
}

#[test]
fn what_a_turn_queues_does_not_leave_in_pieces() {
    on_loop(async {
        let (stream, peer) = observed();
        for round in 0..3 {
            for _ in 0..100 {
                stream.queue(b"x").unwrap();
            }
            stream.writer().queue(b"y").unwrap();
            assert!(sent(&peer).is_empty(), "not before the end of the turn");
            turns(1).await;
            let expected = [b"x".repeat(100), b"y".to_vec()].concat();
            assert_eq!(sent(&peer), [expected], "in turn {round}");
        }
        stream.abort();
    });
}

#[test]
fn a_write_takes_along_what_was_queued_before() {
    on_loop(async {
        let (stream, peer) = observed();
        stream.queue(b"head ").unwrap();
        stream.write(b"body").await.unwrap();
        stream.queue(b" tail").unwrap();
        stream.flush().await.unwrap();
        turns(2).await;
        assert_eq!(sent(&peer), [b"head body".to_vec(), b" tail".to_vec()]);
        stream.abort();
    });
}

#[test]
fn a_write_does_not_wait_for_the_end_of_the_turn() {
    on_loop(async {
        let (stream, peer) = observed();
        let written = attempt(stream.write(b"now")).await;
        assert!(written.is_some_and(|written| written.is_ok()));
        assert_eq!(sent(&peer), [b"now"]);
        stream.abort();
    });
}

#[test]
fn the_parts_of_a_message_leave_in_one_call() {
    on_loop(async {
        let (stream, peer) = observed();
        let parts = [
            IoSlice::new(b"one "),
            IoSlice::new(b"two "),
            IoSlice::new(b"three"),
        ];
        stream.write_vectored(&parts).await.unwrap();
        turns(2).await;
        assert_eq!(sent(&peer), [b"one two three"]);
        stream.abort();
    });
}

#[test]
fn a_boxed_transport_is_not_called_once_for_each_piece_either() {
    on_loop(async {
        let (inner, mut peer) = IoStream::pair();
        let writes = Rc::new(Cell::new(0));
        let stream = IoStream::from_transport(Counting {
            inner,
            writes: writes.clone(),
        });
        for round in 1..=3 {
            for _ in 0..100 {
                stream.queue(b"x").unwrap();
                stream.write(b"y").await.unwrap_or_default();
            }
            stream.flush().await.unwrap();
            // `write` gives way now and then, and each turn may send what it has.
            assert!(writes.get() <= round * 8, "{} calls", writes.get());
        }
        assert_eq!(peer.read_bytes(600).await.unwrap(), b"xy".repeat(300));
        stream.abort();
    });
}
