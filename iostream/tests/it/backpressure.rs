//! A peer that does not read holds the writer back; a reader that does not read holds the peer.

use std::rc::Rc;

use iostream::{Error, IoStream};

use crate::support::{on_loop, pattern, spawn, turns, unread};
use crate::transports::{Kind, narrow_tcp};

#[test]
fn room_that_the_kernel_makes_is_not_left_unused() {
    on_loop(async {
        let (one, mut other) = narrow_tcp();
        one.set_max_write_buffer_size(1_000_000);
        // The end of the turn sends a part of it: then there is room, though the peer reads nothing.
        one.queue(&[1; 1_000_000]).unwrap();
        one.write(b"x").await.unwrap();
        assert!(matches!(
            one.queue(&[2; 1_000_000]),
            Err(Error::BufferFull { .. })
        ));
        drop(one);
        let received = other.read_until_close(2_000_000).await.unwrap();
        assert_eq!(received.len(), 1_000_001);
    });
}

#[test]
fn a_writer_is_not_left_waiting_when_the_limit_is_raised() {
    on_loop(async {
        let (one, other) = narrow_tcp();
        let one = Rc::new(one);
        one.set_max_write_buffer_size(1000);
        one.write(&[0; 8_000_000]).await.unwrap();
        let write = spawn({
            let one = one.clone();
            async move { one.write(b"x").await }
        });
        turns(5).await;
        assert!(!write.is_finished());
        one.set_max_write_buffer_size(100_000_000);
        write.await.unwrap();
        drop(other);
    });
}

#[test]
fn a_reader_that_stops_reading_does_not_take_in_what_the_peer_sends() {
    on_loop(async {
        let (mut one, other) = narrow_tcp();
        let sent = pattern(2_000_000);
        let write = spawn({
            let sent = sent.clone();
            async move {
                for piece in sent.chunks(10_000) {
                    other.write(piece).await.unwrap();
                }
                other.flush().await.unwrap();
                other
            }
        });
        assert_eq!(one.read_bytes(1).await.unwrap(), sent[..1]);
        for _ in 0..100 {
            turns(1).await;
            assert!(!write.is_finished());
        }
        assert!(unread(&one) <= 64 * 1024);
        let rest = one.read_bytes(sent.len() - 1).await.unwrap();
        assert!(rest == sent[1..]);
        drop(write.await);
    });
}

#[test]
fn a_dropped_reader_does_not_keep_what_nobody_will_read() {
    on_loop(async {
        let (one, other) = Kind::Unix.streams();
        let (mut reader, writer) = one.split();
        other.write(&[0; 3000]).await.unwrap();
        reader.read_bytes(1).await.unwrap();
        assert_eq!(unread(&reader), 2999);
        drop(reader);
        assert_eq!(unread(&writer), 0);
    });
}

#[test]
fn a_burst_in_one_turn_is_not_taken_for_a_slow_peer() {
    ioloop::testing::run(async {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        let (sender, mut receiver) = (
            IoStream::from_fd(ours).unwrap(),
            IoStream::from_fd(theirs).unwrap(),
        );
        sender.set_max_write_buffer_size(16 * 1024);
        // All in one turn: four times the limit, and less than the kernel holds.
        for _ in 0..64 {
            sender.queue(&[7; 1024]).unwrap();
        }
        assert_eq!(
            receiver.read_bytes(64 * 1024).await.unwrap(),
            [7; 64 * 1024]
        );
    });
}
