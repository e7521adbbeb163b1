//! Reading, over every transport.

use futures_lite::future::zip;
use iostream::{Error, frame};

use crate::support::{attempt, pattern, spawn, turns};
use crate::transports::{End, over_every_transport};

#[test]
fn a_delimiter_that_is_cut_anywhere_is_not_missed() {
    over_every_transport(async |_, mut one, other| {
        let head = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
        for cut in 0..head.len() {
            let in_two_pieces = async {
                let (first, second) = head.split_at(cut);
                other.write.write(first).await.unwrap();
                turns(4).await;
                other.write.write(second).await.unwrap();
            };
            let (read, ()) = zip(one.read.read_until(b"\r\n\r\n", 100), in_two_pieces).await;
            assert_eq!(read.unwrap(), head, "cut at {cut}");
        }
    });
}

#[test]
fn what_follows_a_delimiter_is_not_lost() {
    over_every_transport(async |_, mut one, other| {
        other.write.write(b"one\ntwo\nthr").await.unwrap();
        assert_eq!(one.read.read_until(b"\n", 100).await.unwrap(), b"one\n");
        other.write.write(b"ee\n").await.unwrap();
        assert_eq!(one.read.read_until(b"\n", 100).await.unwrap(), b"two\n");
        assert_eq!(one.read.read_until(b"\n", 100).await.unwrap(), b"three\n");
    });
}

#[test]
fn reading_nothing_does_not_wait() {
    over_every_transport(async |_, mut one, other| {
        let reads_nothing = async |one: &mut End| {
            assert_eq!(attempt(one.read.read_bytes(0)).await.unwrap().unwrap(), b"");
            assert_eq!(attempt(one.read.read_some(0)).await.unwrap().unwrap(), b"");
            assert_eq!(
                attempt(one.read.read_into(&mut [])).await.unwrap().unwrap(),
                0
            );
        };
        reads_nothing(&mut one).await;
        other.write.write(b"x").await.unwrap();
        drop(other);
        assert_eq!(one.read.read_bytes(1).await.unwrap(), b"x");
        assert!(one.read.read_bytes(1).await.is_err());
        reads_nothing(&mut one).await;
    });
}

#[test]
fn some_is_neither_nothing_nor_too_much() {
    over_every_transport(async |_, mut one, other| {
        assert!(attempt(one.read.read_some(10)).await.is_none());
        other.write.write(b"abcdefgh").await.unwrap();
        let mut read = Vec::new();
        while read.len() < 8 {
            let some = one.read.read_some(3).await.unwrap();
            assert!((1..=3).contains(&some.len()), "{}", some.len());
            read.extend(some);
        }
        assert_eq!(read, b"abcdefgh");
        assert!(attempt(one.read.read_some(3)).await.is_none());
    });
}

#[test]
fn reading_into_a_buffer_takes_unread_bytes_first_and_leaves_its_end_alone() {
    over_every_transport(async |_, mut one, other| {
        other.write.write(b"line\nabc").await.unwrap();
        one.read.read_until(b"\n", 100).await.unwrap();
        let mut buffer = [b'-'; 8];
        let mut count = 0;
        while count < 3 {
            count += one.read.read_into(&mut buffer[count..]).await.unwrap();
        }
        assert_eq!(&buffer, b"abc-----");
        other.write.write(b"defgh").await.unwrap();
        let some = one.read.read_into(&mut buffer[..1]).await.unwrap();
        assert_eq!((some, buffer[0]), (1, b'd'));
        assert_eq!(one.read.read_bytes(4).await.unwrap(), b"efgh");
    });
}

#[derive(Debug)]
enum Refused {
    Stream(Error),
    Letter(u8),
}

impl From<Error> for Refused {
    fn from(error: Error) -> Refused {
        Refused::Stream(error)
    }
}

#[test]
fn a_parser_that_fails_consumes_nothing() {
    over_every_transport(async |_, mut one, other| {
        let digits = |bytes: &[u8]| match bytes.iter().find(|byte| !byte.is_ascii_digit()) {
            Some(b';') => Ok(Some(((), bytes.len()))),
            Some(letter) => Err(Refused::Letter(*letter)),
            None => Ok(None),
        };
        other.write.write(b"123x;").await.unwrap();
        for _ in 0..2 {
            let refused = one.read.read_with(digits).await;
            assert!(matches!(refused, Err(Refused::Letter(b'x'))), "{refused:?}");
        }
        assert_eq!(one.read.read_bytes(5).await.unwrap(), b"123x;");
        drop(other);
        let ended = one.read.read_with(digits).await;
        assert!(matches!(
            ended,
            Err(Refused::Stream(Error::Closed { unread: 0, .. }))
        ));
    });
}

#[test]
fn a_parser_is_not_asked_twice_about_the_same_bytes() {
    over_every_transport(async |_, mut one, other| {
        let mut asked = Vec::new();
        let mut ten = frame::exactly(10);
        let parser = |bytes: &[u8]| {
            asked.push(bytes.len());
            ten(bytes)
        };
        let drip = async {
            for byte in b"0123456789" {
                other.write.write(&[*byte]).await.unwrap();
                turns(3).await;
            }
        };
        let (read, ()) = zip(one.read.read_with(parser), drip).await;
        assert_eq!(read.unwrap(), b"0123456789");
        assert!(asked.is_sorted_by(|one, next| one < next), "{asked:?}");
    });
}

#[test]
fn a_read_that_is_dropped_half_way_loses_nothing() {
    over_every_transport(async |_, mut one, other| {
        let sent = pattern(200);
        let drip = spawn({
            let sent = sent.clone();
            async move {
                for byte in sent {
                    other.write.write(&[byte]).await.unwrap();
                    turns(2).await;
                }
                other
            }
        });
        let mut kind = 0;
        while !drip.is_finished() {
            kind += 1;
            let too_much = match kind % 5 {
                0 => attempt(one.read.read_bytes(201)).await.is_some(),
                1 => attempt(one.read.read_until(b"no such", 4096))
                    .await
                    .is_some(),
                2 => attempt(one.read.read_until_close(4096)).await.is_some(),
                3 => attempt(one.read.peer_closed()).await.is_some(),
                _ => attempt(futures_lite::AsyncBufReadExt::fill_buf(&mut one.read))
                    .await
                    .is_some_and(|shown| shown.unwrap().len() > 200),
            };
            assert!(!too_much);
            turns(1).await;
        }
        assert_eq!(one.read.read_bytes(200).await.unwrap(), sent);
        drop(drip.await);
        assert!(one.read.read_bytes(1).await.is_err());
    });
}

#[test]
fn a_thousand_messages_in_one_segment_are_all_read() {
    over_every_transport(async |_, mut one, other| {
        let segment: Vec<u8> = (0..1000)
            .flat_map(|n| format!("{n}\n").into_bytes())
            .collect();
        other.write.write(&segment).await.unwrap();
        for n in 0..1000 {
            let line = one.read.read_until(b"\n", 8).await.unwrap();
            assert_eq!(line, format!("{n}\n").as_bytes());
        }
    });
}

#[test]
fn megabytes_in_both_directions_at_once_arrive_whole() {
    over_every_transport(async |kind, one, other| {
        let sent = pattern(kind.plenty());
        let talk = |end: End| {
            let (mut read, write) = (end.read, end.write);
            let (sent, expected) = (sent.clone(), sent.clone());
            let writer = spawn(async move {
                for piece in sent.chunks(50_000) {
                    write.write(piece).await.unwrap();
                }
                write
            });
            spawn(async move {
                let received = read.read_bytes(expected.len()).await.unwrap();
                assert!(received == expected, "the bytes differ");
                drop(writer.await);
                let after = read.read_until_close(10).await.unwrap();
                assert_eq!(after, b"");
            })
        };
        zip(talk(one), talk(other)).await;
    });
}

#[test]
fn a_parser_may_read_another_stream() {
    over_every_transport(async |kind, mut one, other| {
        let (mut nested, nested_peer) = kind.ends_with(|_| {});
        other.write.write(b"outer 123456").await.unwrap();
        nested_peer.write.write(b"inner\nrest").await.unwrap();
        // What the outer stream has received must not be overwritten by what the inner one does.
        let mut inner = None;
        let outer = one.read.read_with(|bytes| {
            let waker = std::task::Waker::noop();
            let mut context = std::task::Context::from_waker(waker);
            let line = std::pin::pin!(nested.read.read_until(b"\n", 100));
            if let std::task::Poll::Ready(line) = line.poll(&mut context) {
                inner = Some(line.unwrap());
            }
            frame::exactly(12)(bytes)
        });
        assert_eq!(outer.await.unwrap(), b"outer 123456");
        let inner = match inner {
            Some(inner) => inner,
            None => nested.read.read_until(b"\n", 100).await.unwrap(),
        };
        assert_eq!(inner, b"inner\n");
        assert_eq!(nested.read.read_bytes(4).await.unwrap(), b"rest");
    });
}
