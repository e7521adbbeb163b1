//! Random mixtures of reads against a model that has all bytes at once.

use fastrand::Rng;
use futures_lite::future::or;
use iostream::{Error, IoStream, frame};

use crate::support::{on_loop, spawn, turns};
use crate::transports::Kind;

/// One read, as the stream is asked for it.
#[derive(Clone, Debug)]
enum Read {
    Until(&'static [u8], usize),
    Bytes(usize),
    Some(usize),
    Decimal(usize),
}

/// What comes of it. Errors are compared by name: where bytes are cut decides which one is first.
#[derive(Debug, PartialEq)]
enum Outcome {
    Message(Vec<u8>),
    NotFound,
    Refused,
    Closed(usize),
}

fn random_read(random: &mut Rng) -> Read {
    let delimiters: [&[u8]; 4] = [b"\n", b"\r\n", b"ab", b"aab"];
    match random.u8(..4) {
        0 => Read::Until(delimiters[random.usize(..4)], random.usize(1..40)),
        1 => Read::Bytes(random.usize(..20)),
        2 => Read::Some(random.usize(1..20)),
        _ => Read::Decimal(random.usize(..20)),
    }
}

/// The obvious implementation, on everything that will ever come.
fn expected(read: &Read, all: &[u8]) -> Outcome {
    let message = |length: usize| Outcome::Message(all[..length].to_vec());
    let closed = Outcome::Closed(all.len());
    match *read {
        Read::Until(delimiter, max) => {
            let found = (0..all.len()).find(|start| all[*start..].starts_with(delimiter));
            match found.map(|start| start + delimiter.len()) {
                Some(end) if end <= max => message(end),
                None if all.len() < max => closed,
                _ => Outcome::NotFound,
            }
        }
        Read::Bytes(count) if count <= all.len() => message(count),
        Read::Some(_) | Read::Bytes(_) => closed,
        Read::Decimal(max) => match all.get(..2) {
            _ if all.iter().take(2).any(|byte| !byte.is_ascii_digit()) => Outcome::Refused,
            None => closed,
            Some(digits) => {
                let length = usize::from((digits[0] - b'0') * 10 + digits[1] - b'0');
                match all[2..].get(..length) {
                    _ if length > max => Outcome::Refused,
                    Some(message) => Outcome::Message(message.to_vec()),
                    None => closed,
                }
            }
        },
    }
}

async fn perform(stream: &mut IoStream, read: &Read) -> Outcome {
    let result = match *read {
        Read::Until(delimiter, max) => stream.read_until(delimiter, max).await,
        Read::Bytes(count) => stream.read_bytes(count).await,
        Read::Some(max) => stream.read_some(max).await,
        Read::Decimal(max) => stream.read_with(frame::decimal_prefixed(2, max)).await,
    };
    match result {
        Ok(message) => Outcome::Message(message),
        Err(Error::DelimiterNotFound { .. }) => Outcome::NotFound,
        Err(Error::TooLong { .. } | Error::Malformed(_)) => Outcome::Refused,
        Err(Error::Closed { unread, .. }) => Outcome::Closed(unread),
        Err(other) => panic!("{other:?}"),
    }
}

/// As [`perform`], but now and then it is dropped half way and begun again.
async fn perform_with_interruptions(
    stream: &mut IoStream,
    read: &Read,
    random: &mut Rng,
) -> Outcome {
    loop {
        let patience = random.usize(..6);
        let gives_up = async {
            turns(patience).await;
            None
        };
        if let Some(outcome) = or(async { Some(perform(stream, read).await) }, gives_up).await {
            return outcome;
        }
    }
}

async fn mixture(kind: Kind, seed: u64) {
    let mut random = Rng::with_seed(seed);
    let alphabet = b"ab\r\n01234";
    let all: Vec<u8> = (0..1500)
        .map(|_| alphabet[random.usize(..alphabet.len())])
        .collect();
    let (mut stream, peer) = kind.streams();
    let writing = spawn({
        let (all, mut random) = (all.clone(), random.fork());
        async move {
            let mut rest = all.as_slice();
            while !rest.is_empty() {
                let (piece, after) = rest.split_at(random.usize(1..=rest.len().min(60)));
                match random.bool() {
                    true => peer.write(piece).await.unwrap(),
                    false => peer.queue(piece).unwrap(),
                }
                rest = after;
                turns(random.usize(..3)).await;
            }
        }
    });
    let mut rest = all.as_slice();
    let mut ended = 0;
    while ended < 3 {
        let read = random_read(&mut random);
        let outcome = perform_with_interruptions(&mut stream, &read, &mut random).await;
        match (&read, &outcome) {
            // How much there is depends on timing; that it is what comes next does not.
            (Read::Some(max), Outcome::Message(some)) => {
                assert!(!some.is_empty() && some.len() <= *max && rest.starts_with(some));
                rest = &rest[some.len()..];
                continue;
            }
            _ => assert_eq!(outcome, expected(&read, rest), "{read:?}, seed {seed}"),
        }
        match outcome {
            Outcome::Message(message) => {
                let prefix = if matches!(read, Read::Decimal(_)) {
                    2
                } else {
                    0
                };
                rest = &rest[prefix + message.len()..];
            }
            Outcome::Closed(_) => ended += 1,
            // So that a delimiter out of reach does not stop the show.
            Outcome::NotFound | Outcome::Refused => {
                let skipped = stream.read_bytes(1).await.unwrap();
                assert_eq!(skipped, rest[..1]);
                rest = &rest[1..];
            }
        }
    }
    writing.await;
}

#[test]
fn no_mixture_of_reads_differs_from_the_model() {
    for kind in [
        Kind::Tcp,
        Kind::Unix,
        Kind::Memory,
        Kind::Cut(3),
        Kind::CutTcp(5),
    ] {
        for seed in 0..8 {
            on_loop(mixture(kind, seed));
        }
    }
}
