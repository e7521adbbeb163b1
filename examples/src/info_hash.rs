//! The twenty bytes that name a torrent.

use std::fmt;
use std::str::FromStr;

use data_encoding::HEXLOWER_PERMISSIVE;
use sha1::{Digest, Sha1};

/// The SHA-1 of a torrent's `info`. Shown, and read, as forty hexadecimal digits.
///
/// ```
/// use examples::info_hash::InfoHash;
///
/// let hash = InfoHash::of(b"d4:name1:xe");
/// assert_eq!(hash.to_string().parse(), Ok(hash));
/// ```
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct InfoHash(pub [u8; 20]);

impl InfoHash {
    /// The hash of the literal bytes of an `info`.
    ///
    /// ```
    /// let hash = examples::info_hash::InfoHash::of(b"");
    /// assert_eq!(hash.to_string(), "da39a3ee5e6b4b0d3255bfef95601890afd80709");
    /// ```
    pub fn of(info: &[u8]) -> InfoHash {
        InfoHash(Sha1::digest(info).into())
    }
}

impl fmt::Display for InfoHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&HEXLOWER_PERMISSIVE.encode(&self.0))
    }
}

impl fmt::Debug for InfoHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "InfoHash({self})")
    }
}

impl FromStr for InfoHash {
    type Err = NotAnInfoHash;

    fn from_str(text: &str) -> Result<InfoHash, NotAnInfoHash> {
        let bytes = HEXLOWER_PERMISSIVE.decode(text.as_bytes());
        let bytes = bytes.ok().and_then(|bytes| bytes.try_into().ok());
        bytes.map(InfoHash).ok_or(NotAnInfoHash)
    }
}

/// A text that is not forty hexadecimal digits.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct NotAnInfoHash;

impl fmt::Display for NotAnInfoHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an info hash is forty hexadecimal digits")
    }
}

impl std::error::Error for NotAnInfoHash {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal_of_either_case_is_read_and_nothing_else() {
        let hash = InfoHash([0xab; 20]);
        assert_eq!("ab".repeat(20).parse(), Ok(hash));
        assert_eq!("AB".repeat(20).parse(), Ok(hash));
        for bad in ["", &"ab".repeat(19), &"ab".repeat(21), &"xy".repeat(20)] {
            assert_eq!(bad.parse::<InfoHash>(), Err(NotAnInfoHash));
        }
    }
}
