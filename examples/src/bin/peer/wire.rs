//! What peers say to each other after the handshake: a length of four bytes, a kind, a body.

use iostream::Error;

use crate::bitfield::{self, Bitfield};
use crate::layout::{BLOCK, Block, Layout};

/// One message (BEP 3). Numbers are big endian.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Message {
    KeepAlive,
    Choke,
    Unchoke,
    Interested,
    NotInterested,
    Have(u32),
    Bitfield(Bitfield),
    Request(Block),
    Piece(Block, Vec<u8>),
    Cancel(Block),
    /// Of a table that we do not have (BEP 5); some send it unasked.
    Port,
}

/// A parser for `read_with`. It refuses as early as the bytes show it: what is longer than anything
/// that we would have asked for, of a wrong length, of an unknown kind, or out of range.
pub(crate) fn message(
    layout: &Layout,
) -> impl FnMut(&[u8]) -> Result<Option<(Message, usize)>, Error> {
    let layout = *layout;
    let bitfield = bitfield::length(layout.pieces());
    let max = usize::max(1 + bitfield, PIECE_HEADER + BLOCK as usize);
    move |bytes| {
        let Some((prefix, rest)) = bytes.split_first_chunk() else {
            return Ok(None);
        };
        let length = u32::from_be_bytes(*prefix) as usize;
        if length > max {
            let length = length as u64;
            return Err(Error::TooLong { length, max });
        }
        if length == 0 {
            return Ok(Some((Message::KeepAlive, 4)));
        }
        let Some((&kind, rest)) = rest.split_first() else {
            return Ok(None);
        };
        let is_right = match kind {
            CHOKE..=NOT_INTERESTED => length == 1,
            HAVE => length == 5,
            BITFIELD => length == 1 + bitfield,
            REQUEST | CANCEL => length == 13,
            PIECE => length > PIECE_HEADER,
            PORT => length == 3,
            _ => return Err(Error::Malformed("a message of an unknown kind")),
        };
        if !is_right {
            return Err(Error::Malformed("a message of a wrong length"));
        }
        let Some(body) = rest.get(..length - 1) else {
            return Ok(None);
        };
        Ok(Some((decode(kind, body, &layout)?, 4 + length)))
    }
}

/// The kind is known, and the length is right for it.
fn decode(kind: u8, body: &[u8], layout: &Layout) -> Result<Message, Error> {
    let block = |length| Block {
        piece: number(body, 0),
        begin: number(body, 1),
        length,
    };
    let existing = |block: Block| match layout.contains(block) {
        true => Ok(block),
        false => Err(Error::Malformed("a block that does not exist")),
    };
    Ok(match kind {
        CHOKE => Message::Choke,
        UNCHOKE => Message::Unchoke,
        INTERESTED => Message::Interested,
        NOT_INTERESTED => Message::NotInterested,
        HAVE if number(body, 0) < layout.pieces() => Message::Have(number(body, 0)),
        HAVE => return Err(Error::Malformed("a piece that does not exist")),
        BITFIELD => Bitfield::from_bytes(body, layout.pieces())
            .map(Message::Bitfield)
            .ok_or(Error::Malformed("a bitfield with spare bits"))?,
        REQUEST => Message::Request(existing(block(number(body, 2)))?),
        CANCEL => Message::Cancel(existing(block(number(body, 2)))?),
        PIECE => {
            let data = &body[PIECE_HEADER - 1..];
            // The length of a message, which holds it, is a `u32`.
            Message::Piece(existing(block(data.len() as u32))?, data.to_vec())
        }
        _ => Message::Port,
    })
}

/// The number at this place, of those that a body consists of; zero behind its end.
fn number(body: &[u8], place: usize) -> u32 {
    let bytes = body.get(4 * place..).and_then(|rest| rest.first_chunk());
    bytes.map_or(0, |bytes| u32::from_be_bytes(*bytes))
}

impl Message {
    /// As it goes out. (Blocks go out in parts, behind their [`piece_header`].)
    pub(crate) fn encode(&self) -> Vec<u8> {
        match self {
            Message::KeepAlive => vec![0; 4],
            Message::Choke => framed(CHOKE, &[]),
            Message::Unchoke => framed(UNCHOKE, &[]),
            Message::Interested => framed(INTERESTED, &[]),
            Message::NotInterested => framed(NOT_INTERESTED, &[]),
            Message::Have(piece) => framed(HAVE, &piece.to_be_bytes()),
            Message::Bitfield(pieces) => framed(BITFIELD, pieces.as_bytes()),
            Message::Request(block) => framed(REQUEST, &named(block)),
            Message::Piece(block, data) => [&piece_header(block)[..], data].concat(),
            Message::Cancel(block) => framed(CANCEL, &named(block)),
            Message::Port => framed(PORT, &[0; 2]),
        }
    }
}

/// What stands in front of a block's bytes.
pub(crate) fn piece_header(block: &Block) -> [u8; 4 + PIECE_HEADER] {
    let mut header = [0; 4 + PIECE_HEADER];
    header[..4].copy_from_slice(&(PIECE_HEADER as u32 + block.length).to_be_bytes());
    header[4] = PIECE;
    header[5..].copy_from_slice(&named(block)[..8]);
    header
}

fn framed(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = 1 + body.len() as u32;
    [&length.to_be_bytes(), &[kind][..], body].concat()
}

fn named(block: &Block) -> [u8; 12] {
    let mut bytes = [0; 12];
    let numbers = [block.piece, block.begin, block.length];
    for (place, number) in bytes.chunks_exact_mut(4).zip(numbers) {
        place.copy_from_slice(&number.to_be_bytes());
    }
    bytes
}

const CHOKE: u8 = 0;
const UNCHOKE: u8 = 1;
const INTERESTED: u8 = 2;
const NOT_INTERESTED: u8 = 3;
const HAVE: u8 = 4;
const BITFIELD: u8 = 5;
const REQUEST: u8 = 6;
const PIECE: u8 = 7;
const CANCEL: u8 = 8;
const PORT: u8 = 9;

/// Kind, piece and beginning, in front of a block.
const PIECE_HEADER: usize = 9;

#[cfg(test)]
mod tests {
    use super::*;

    fn layout() -> Layout {
        Layout::new(100_000, 40_000).unwrap()
    }

    fn parse(bytes: &[u8]) -> Result<Option<(Message, usize)>, Error> {
        message(&layout())(bytes)
    }

    fn block(piece: u32, begin: u32, length: u32) -> Block {
        Block {
            piece,
            begin,
            length,
        }
    }

    #[test]
    fn no_message_is_misread_wherever_it_is_cut() {
        let mut pieces = Bitfield::new(3);
        pieces.add(1);
        for sent in [
            Message::KeepAlive,
            Message::Choke,
            Message::Unchoke,
            Message::Interested,
            Message::NotInterested,
            Message::Have(2),
            Message::Bitfield(pieces),
            Message::Request(block(1, 16_384, 16_384)),
            Message::Piece(block(2, 19_998, 2), b"xy".to_vec()),
            Message::Piece(block(0, 0, BLOCK), vec![7; BLOCK as usize]),
            Message::Cancel(block(0, 0, 1)),
            Message::Port,
        ] {
            let bytes = sent.encode();
            for cut in 0..bytes.len() {
                assert!(
                    matches!(parse(&bytes[..cut]), Ok(None)),
                    "{sent:?} at {cut}"
                );
            }
            let followed = [&bytes[..], &[0; 3]].concat();
            assert_eq!(parse(&followed).unwrap(), Some((sent, bytes.len())));
        }
    }

    #[test]
    fn what_is_wrong_is_not_waited_for() {
        for start in [
            // Too long for anything, and a length of two gigabytes.
            &[0, 0, 0x40, 10][..],
            &[0x7f, 0xff, 0xff, 0xff],
            // Unknown kinds: of the fast extension, of BEP 10, and of nobody.
            &[0, 0, 0, 1, 14],
            &[0, 0, 0, 2, 20],
            &[0, 0, 0, 1, 99],
            // Wrong lengths.
            &[0, 0, 0, 2, 0],
            &[0, 0, 0, 4, 4],
            &[0, 0, 0, 3, 5],
            &[0, 0, 0, 1, 5],
            &[0, 0, 0, 12, 6],
            &[0, 0, 0, 14, 8],
            &[0, 0, 0, 9, 7],
            &[0, 0, 0, 2, 9],
        ] {
            assert!(parse(start).is_err(), "{start:?}");
        }
    }

    #[test]
    fn what_does_not_exist_is_not_a_message() {
        for bytes in [
            framed(HAVE, &3_u32.to_be_bytes()),
            framed(BITFIELD, &[0b0001_0000]),
            framed(REQUEST, &named(&block(3, 0, 1))),
            framed(REQUEST, &named(&block(2, 0, 20_001))),
            framed(REQUEST, &named(&block(0, u32::MAX, 2))),
            framed(REQUEST, &named(&block(0, 0, 0))),
            framed(CANCEL, &named(&block(9, 0, 1))),
            Message::Piece(block(2, 19_999, 2), vec![0; 2]).encode(),
        ] {
            assert!(parse(&bytes).is_err(), "{bytes:?}");
        }
    }
}
