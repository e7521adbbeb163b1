//! Streams as futures-io types, mixed with the streams' own operations, over every transport.

use std::io::ErrorKind;

use futures_lite::future::zip;
use futures_lite::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, StreamExt, io};

use crate::support::{pattern, turns};
use crate::transports::{Kind, over_every_transport};

#[test]
fn bytes_that_were_shown_and_not_consumed_are_not_lost() {
    over_every_transport(async |_, mut one, other| {
        let sent = pattern(4000);
        let write = async {
            for piece in sent.chunks(37) {
                other.write.write(piece).await.unwrap();
                turns(1).await;
            }
        };
        let read = async {
            let mut read = Vec::new();
            let mut step = 0;
            while read.len() < sent.len() {
                step += 1;
                match step % 6 {
                    0 | 3 => {
                        let shown = one.read.fill_buf().await.unwrap();
                        let count = shown.len().min(step % 11);
                        read.extend_from_slice(&shown[..count]);
                        one.read.consume(count);
                    }
                    1 => read.extend(one.read.read_some(5).await.unwrap()),
                    2 => read.extend(one.read.read_bytes(1).await.unwrap()),
                    4 => {
                        let mut bytes = [0; 3];
                        let count = AsyncReadExt::read(&mut one.read, &mut bytes).await.unwrap();
                        read.extend_from_slice(&bytes[..count]);
                    }
                    _ => {
                        let missed = one.read.read_until(b"no such delimiter", 1).await;
                        assert!(missed.is_err());
                    }
                }
            }
            read
        };
        let (read, ()) = zip(read, write).await;
        assert!(read == sent);
    });
}

#[test]
fn lines_read_through_the_trait_do_not_swallow_what_follows() {
    over_every_transport(async |_, mut one, mut other| {
        other.write.write_all(b"one\ntwo\nrest").await.unwrap();
        let mut lines = (&mut one.read).lines();
        assert_eq!(lines.next().await.unwrap().unwrap(), "one");
        assert_eq!(lines.next().await.unwrap().unwrap(), "two");
        drop(lines);
        assert_eq!(one.read.read_bytes(4).await.unwrap(), b"rest");
    });
}

#[test]
fn copying_through_the_traits_loses_nothing() {
    over_every_transport(async |kind, mut one, mut other| {
        let sent = pattern(kind.plenty());
        let write = async {
            io::copy(sent.as_slice(), &mut other.write).await.unwrap();
            other.write.close().await.unwrap();
            // Of a pipe only this tells the peer.
            drop(other.write);
        };
        let mut received = Vec::new();
        let (read, ()) = zip(one.read.read_to_end(&mut received), write).await;
        read.unwrap();
        assert!(received == sent);
    });
}

#[test]
fn closing_through_the_trait_is_not_hidden_from_the_peer() {
    over_every_transport(async |kind, mut one, mut other| {
        other.write.write_all(b"last").await.unwrap();
        let clone = other.write.clone();
        other.write.close().await.unwrap();
        other.write.close().await.unwrap();
        for writer in [&other.write, &clone] {
            let refused = writer.queue(b"x").unwrap_err();
            let reason = iostream::CloseReason::Local;
            assert!(
                matches!(refused, iostream::Error::Closed { reason: why, .. } if why == reason)
            );
        }
        let refused = other.write.write_all(b"x").await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::NotConnected);
        // Of a pipe only closing the descriptor tells, which the last handle does.
        if kind != Kind::Pipes {
            assert_eq!(one.read.read_until_close(10).await.unwrap(), b"last");
            one.write.write(b"still heard").await.unwrap();
            assert_eq!(other.read.read_bytes(11).await.unwrap(), b"still heard");
        }
    });
}

#[test]
fn the_end_is_no_error_for_the_traits_and_a_cut_is() {
    over_every_transport(async |kind, mut one, other| {
        other.write.write(b"abc").await.unwrap();
        drop(other);
        let mut bytes = [0; 8];
        let cut = one.read.read_exact(&mut bytes).await.unwrap_err();
        assert_eq!(cut.kind(), ErrorKind::UnexpectedEof);
        assert_eq!(
            AsyncReadExt::read(&mut one.read, &mut bytes).await.unwrap(),
            0
        );
        assert_eq!(one.read.fill_buf().await.unwrap(), b"");
        if kind.can_reset() {
            let (mut one, other) = kind.ends_with(|_| {});
            drop(other.read);
            other.write.abort();
            let reset = AsyncReadExt::read(&mut one.read, &mut bytes)
                .await
                .unwrap_err();
            assert_eq!(reset.kind(), ErrorKind::ConnectionReset);
        }
    });
}
