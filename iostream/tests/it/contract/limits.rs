//! Limits are exact, and reaching one loses nothing, over every transport.

use iostream::{Error, IoStream, frame};

use crate::support::{attempt, spawn, turns, unread};
use crate::transports::{over_every_transport, over_every_transport_with};

#[test]
fn the_limit_of_a_delimiter_is_not_off_by_one() {
    over_every_transport(async |_, mut one, other| {
        other.write.write(b"12345\r\nrest").await.unwrap();
        for too_small in [0, 1, 5, 6] {
            let missed = one.read.read_until(b"\r\n", too_small).await;
            assert!(
                matches!(missed, Err(Error::DelimiterNotFound { max }) if max == too_small),
                "{missed:?}"
            );
        }
        assert_eq!(one.read.read_until(b"\r\n", 7).await.unwrap(), b"12345\r\n");
    });
}

#[test]
fn a_delimiter_that_is_not_found_consumes_nothing() {
    over_every_transport(async |_, mut one, other| {
        other.write.write(b"abcdef").await.unwrap();
        let missed = one.read.read_until(b"\n", 6).await;
        assert!(matches!(missed, Err(Error::DelimiterNotFound { max: 6 })));
        other.write.write(b"\n").await.unwrap();
        assert_eq!(one.read.read_until(b"\n", 7).await.unwrap(), b"abcdef\n");
    });
}

#[test]
fn a_limit_is_not_reached_before_its_last_byte_has_come() {
    over_every_transport(async |_, mut one, other| {
        other.write.write(b"abcde").await.unwrap();
        // Whatever has come by now, it is less than six bytes.
        for _ in 0..20 {
            assert!(attempt(one.read.read_until(b"\n", 6)).await.is_none());
            turns(1).await;
        }
        other.write.write(b"\n").await.unwrap();
        assert_eq!(one.read.read_until(b"\n", 6).await.unwrap(), b"abcde\n");
    });
}

#[test]
fn a_message_that_announces_too_much_is_refused_before_it_has_come() {
    over_every_transport(async |_, mut one, other| {
        other.write.write(b"0000000017").await.unwrap();
        let refused = one.read.read_with(frame::decimal_prefixed(10, 16)).await;
        assert!(matches!(
            refused,
            Err(Error::TooLong {
                length: 17,
                max: 16
            })
        ));
        assert_eq!(one.read.read_bytes(10).await.unwrap(), b"0000000017");
    });
}

#[test]
fn too_much_before_the_close_can_still_be_read() {
    over_every_transport(async |_, mut one, other| {
        other.write.write(b"0123456789").await.unwrap();
        drop(other);
        let too_much = one.read.read_until_close(9).await;
        assert!(matches!(too_much, Err(Error::BufferFull { limit: 9 })));
        assert_eq!(one.read.read_until_close(10).await.unwrap(), b"0123456789");
        assert_eq!(one.read.read_until_close(0).await.unwrap(), b"");
    });
}

#[test]
fn a_parser_without_a_limit_does_not_fill_the_memory() {
    let set_up = |stream: &IoStream| stream.set_max_buffer_size(1000);
    over_every_transport_with(set_up, async |kind, mut one, other| {
        let flood = spawn(async move {
            let zeros = vec![0; kind.plenty()];
            other.write.write(&zeros).await.map(|()| other)
        });
        // Trying again must not take in more.
        for _ in 0..50 {
            let endless = one.read.read_with(|_| Ok::<_, Error>(None::<((), usize)>));
            let full = endless.await;
            assert!(
                matches!(full, Err(Error::BufferFull { limit: 1000 })),
                "{full:?}"
            );
        }
        let kept = unread(&one.read);
        assert!((1001..=1000 + 64 * 1024).contains(&kept), "{kept}");
        // Nothing was lost.
        let zeros = one.read.read_bytes(1001).await;
        assert!(zeros.is_ok_and(|zeros| zeros == [0; 1001]));
        drop(flood);
    });
}
