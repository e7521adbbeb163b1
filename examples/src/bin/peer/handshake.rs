//! The 68 bytes with which both sides begin.

use examples::info_hash::InfoHash;
use iostream::{Error, frame};

/// What a peer calls itself.
pub(crate) type PeerId = [u8; 20];

/// What we send. No bit of the eight reserved bytes is set: we speak BEP 3 and nothing else.
pub(crate) fn handshake(info_hash: &InfoHash, peer_id: &PeerId) -> Vec<u8> {
    [PROTOCOL, &[0; 8], &info_hash.0, peer_id].concat()
}

/// A parser for `read_with`: the first 48 bytes, which say what torrent it is about.
///
/// It refuses the first wrong byte, however few there are. A peer that would rather encrypt tries
/// again in plain when it is closed, and waits for us as long as it is not.
pub(crate) fn greeting(bytes: &[u8]) -> Result<Option<(InfoHash, usize)>, Error> {
    let known = bytes.len().min(PROTOCOL.len());
    if bytes[..known] != PROTOCOL[..known] {
        return Err(Error::Malformed("not the BitTorrent protocol"));
    }
    let hash = bytes
        .get(PROTOCOL.len() + 8..)
        .and_then(|rest| rest.first_chunk());
    Ok(hash.map(|hash| (InfoHash(*hash), GREETING)))
}

/// A parser for `read_with`: the 20 bytes behind those.
pub(crate) fn peer_id(bytes: &[u8]) -> Result<Option<(PeerId, usize)>, Error> {
    let read = frame::exactly(20)(bytes)?;
    Ok(read.and_then(|(id, used)| Some((id.try_into().ok()?, used))))
}

/// A name of our own: BEP 20's form, and twelve random letters and digits.
pub(crate) fn new_peer_id(mut random: impl FnMut() -> u64) -> PeerId {
    let mut id = *b"-SQ0100-            ";
    for byte in &mut id[8..] {
        *byte = LETTERS[(random() % LETTERS.len() as u64) as usize];
    }
    id
}

const PROTOCOL: &[u8] = b"\x13BitTorrent protocol";

const GREETING: usize = PROTOCOL.len() + 8 + 20;

const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handshake_is_not_misread_wherever_it_is_cut() {
        let bytes = handshake(&InfoHash([7; 20]), &[8; 20]);
        assert_eq!(bytes.len(), 68);
        for cut in 0..48 {
            assert!(matches!(greeting(&bytes[..cut]), Ok(None)), "{cut}");
        }
        assert_eq!(greeting(&bytes).unwrap(), Some((InfoHash([7; 20]), 48)));
        assert_eq!(peer_id(&bytes[48..67]).unwrap(), None);
        assert_eq!(peer_id(&bytes[48..]).unwrap(), Some(([8; 20], 20)));
    }

    #[test]
    fn reserved_bits_are_not_minded() {
        let mut bytes = handshake(&InfoHash([7; 20]), &[8; 20]);
        bytes[20..28].fill(0xff);
        assert_eq!(greeting(&bytes).unwrap(), Some((InfoHash([7; 20]), 48)));
    }

    #[test]
    fn another_protocol_is_not_waited_for() {
        for start in [
            &b"\x14"[..],
            b"GET /",
            b"\x13bit",
            b"\x13BitTorrent protocoL",
        ] {
            assert!(greeting(start).is_err(), "{start:?}");
        }
    }

    #[test]
    fn two_peers_are_not_called_the_same() {
        let mut state = 1_u64;
        let mut random = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            state >> 33
        };
        let (one, other) = (new_peer_id(&mut random), new_peer_id(&mut random));
        assert!(one.starts_with(b"-SQ0100-") && other.starts_with(b"-SQ0100-"));
        assert_ne!(one, other);
    }
}
