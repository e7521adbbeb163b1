//! Stock parsers for `read_with`: pure functions from the bytes that have arrived to a message.
//!
//! Each returns a closure that is asked again with more bytes until it finds a message, and that
//! says how many bytes the message took. A closure serves one message.
//!
//! ```
//! use iostream::{IoStream, frame};
//!
//! # ioloop::testing::run(async {
//! let (mut client, mut server) = IoStream::pair();
//! client.write(b"\x00\x05hello").await.unwrap();
//! let message = server.read_with(frame::length_prefixed(frame::Prefix::U16Big, 1024)).await;
//! assert_eq!(message.unwrap(), b"hello");
//! # });
//! ```

use memchr::memmem;

use crate::error::Error;

/// What a parser answers: a message and the bytes it took, or that it needs more.
pub type Parsed<T> = Result<Option<(T, usize)>, Error>;

/// Everything through the first `delimiter`, which is included.
///
/// `max` counts the delimiter too. Bytes that were searched are not searched again when more
/// arrive. An empty delimiter is found at once, before the first byte.
///
/// ```
/// let mut line = iostream::frame::until(b"\r\n", 1024);
/// assert_eq!(line(b"GET /").unwrap(), None);
/// assert_eq!(line(b"GET /\r\nHost").unwrap(), Some((b"GET /\r\n".to_vec(), 7)));
/// ```
///
/// # Errors
/// The closure answers [`Error::DelimiterNotFound`] as soon as it is not within `max` bytes.
pub fn until(delimiter: &[u8], max: usize) -> impl FnMut(&[u8]) -> Parsed<Vec<u8>> {
    until_after(0, delimiter, max)
}

/// As [`until`], of bytes that were searched in part: there is no delimiter in the first
/// `examined` ones.
pub(crate) fn until_after(
    examined: usize,
    delimiter: &[u8],
    max: usize,
) -> impl FnMut(&[u8]) -> Parsed<Vec<u8>> {
    let mut searched = without_delimiter(examined, delimiter);
    move |bytes| {
        if bytes.is_empty() && !delimiter.is_empty() && max > 0 {
            // Every read begins with this question.
            return Ok(None);
        }
        let end = find(bytes, delimiter, &mut searched);
        match end {
            Some(end) if end <= max => Ok(Some((bytes[..end].to_vec(), end))),
            None if bytes.len() < max => Ok(None),
            _ => Err(Error::DelimiterNotFound { max }),
        }
    }
}

/// Exactly `count` bytes.
///
/// ```
/// let mut four = iostream::frame::exactly(4);
/// assert_eq!(four(b"abc").unwrap(), None);
/// assert_eq!(four(b"abcde").unwrap(), Some((b"abcd".to_vec(), 4)));
/// ```
pub fn exactly(count: usize) -> impl FnMut(&[u8]) -> Parsed<Vec<u8>> {
    move |bytes| Ok(bytes.get(..count).map(|message| (message.to_vec(), count)))
}

/// How a length stands before its message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Prefix {
    /// Two bytes, most significant first.
    U16Big,
    /// Two bytes, least significant first.
    U16Little,
    /// Four bytes, most significant first.
    U32Big,
    /// Four bytes, least significant first.
    U32Little,
}

impl Prefix {
    /// The length that the prefix announces, and its own size; none if it is not all there.
    fn decode(self, bytes: &[u8]) -> Option<(u64, usize)> {
        let length = match self {
            Prefix::U16Big => u16::from_be_bytes(*bytes.first_chunk()?).into(),
            Prefix::U16Little => u16::from_le_bytes(*bytes.first_chunk()?).into(),
            Prefix::U32Big => u32::from_be_bytes(*bytes.first_chunk()?).into(),
            Prefix::U32Little => u32::from_le_bytes(*bytes.first_chunk()?).into(),
        };
        Some((length, self.size()))
    }

    const fn size(self) -> usize {
        match self {
            Prefix::U16Big | Prefix::U16Little => 2,
            Prefix::U32Big | Prefix::U32Little => 4,
        }
    }
}

/// A binary length and as many bytes; the length is not part of the message.
///
/// ```
/// use iostream::frame::{Prefix, length_prefixed};
///
/// let mut message = length_prefixed(Prefix::U32Little, 100);
/// assert_eq!(message(b"\x02\0\0\0hi").unwrap(), Some((b"hi".to_vec(), 6)));
/// ```
///
/// # Errors
/// The closure answers [`Error::TooLong`] when the length is over `max`, before the message has
/// arrived.
pub fn length_prefixed(prefix: Prefix, max: usize) -> impl FnMut(&[u8]) -> Parsed<Vec<u8>> {
    move |bytes| match prefix.decode(bytes) {
        Some((length, size)) => message_after(bytes, size, length, max),
        None => Ok(None),
    }
}

/// `digits` ASCII digits and as many bytes as they say; the digits are not part of the message.
///
/// ```
/// let mut message = iostream::frame::decimal_prefixed(10, 100);
/// assert_eq!(message(b"0000000002hi").unwrap(), Some((b"hi".to_vec(), 12)));
/// assert!(message(b"+000000002hi").is_err());
/// ```
///
/// # Errors
/// The closure answers [`Error::Malformed`] at the first byte that is no digit, and
/// [`Error::TooLong`] when the length is over `max`.
///
/// # Panics
/// If `digits` is zero, or over 19, which is more than a 64-bit number holds.
pub fn decimal_prefixed(digits: usize, max: usize) -> impl FnMut(&[u8]) -> Parsed<Vec<u8>> {
    assert!(
        (1..=19).contains(&digits),
        "a decimal length has 1 to 19 digits"
    );
    move |bytes| {
        let prefix = &bytes[..bytes.len().min(digits)];
        let mut length = 0;
        for byte in prefix {
            if !byte.is_ascii_digit() {
                return Err(Error::Malformed("the length is not all digits"));
            }
            length = length * 10 + u64::from(byte - b'0');
        }
        if prefix.len() < digits {
            return Ok(None);
        }
        message_after(bytes, digits, length, max)
    }
}

/// The message of `length` bytes behind a prefix of `size`.
fn message_after(bytes: &[u8], size: usize, length: u64, max: usize) -> Parsed<Vec<u8>> {
    match usize::try_from(length) {
        Ok(length) if length <= max => {
            let message = bytes[size..].get(..length);
            Ok(message.map(|message| (message.to_vec(), size + length)))
        }
        _ => Err(Error::TooLong { length, max }),
    }
}

/// Where the first `delimiter` ends. `searched` bytes hold no start of one; it is moved on.
fn find(bytes: &[u8], delimiter: &[u8], searched: &mut usize) -> Option<usize> {
    let fresh = &bytes[*searched..];
    let start = match delimiter {
        [byte] => memchr::memchr(*byte, fresh),
        _ => memmem::find(fresh, delimiter),
    };
    let end = start.map(|start| *searched + start + delimiter.len());
    *searched = without_delimiter(bytes.len(), delimiter).max(*searched);
    end
}

/// Where to go on after `examined` bytes without a delimiter: one may have begun in the last ones.
fn without_delimiter(examined: usize, delimiter: &[u8]) -> usize {
    (examined + 1).saturating_sub(delimiter.len()).min(examined)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds a parser one byte more at a time, as a slow peer would.
    fn byte_by_byte(
        bytes: &[u8],
        mut parser: impl FnMut(&[u8]) -> Parsed<Vec<u8>>,
    ) -> Parsed<Vec<u8>> {
        for end in 0..=bytes.len() {
            match parser(&bytes[..end]) {
                Ok(None) => {}
                result => return result,
            }
        }
        Ok(None)
    }

    #[test]
    fn a_delimiter_cut_anywhere_is_found() {
        for delimiter in [&b"\n"[..], b"\r\n", b"\r\n\r\n", b"aab"] {
            let mut bytes = b"aaaa-\r-\r\n-\r-".to_vec();
            bytes.extend_from_slice(delimiter);
            let whole = until(delimiter, 100)(&bytes).unwrap();
            assert!(whole.is_some());
            let cut = byte_by_byte(&bytes, until(delimiter, 100)).unwrap();
            assert_eq!(cut, whole, "{delimiter:?}");
        }
    }

    #[test]
    fn the_limit_counts_the_delimiter_and_is_exact() {
        assert_eq!(
            until(b"\n", 4)(b"abc\nrest").unwrap(),
            Some((b"abc\n".to_vec(), 4))
        );
        assert!(matches!(
            until(b"\n", 3)(b"abc\n"),
            Err(Error::DelimiterNotFound { max: 3 })
        ));
        assert!(matches!(
            until(b"\n", 3)(b"abc"),
            Err(Error::DelimiterNotFound { max: 3 })
        ));
        assert!(matches!(until(b"\n", 4)(b"abc"), Ok(None)));
    }

    #[test]
    fn an_empty_delimiter_ends_before_the_first_byte() {
        assert_eq!(until(b"", 4)(b"abc").unwrap(), Some((Vec::new(), 0)));
    }

    #[test]
    fn lengths_of_every_kind_are_read() {
        for (prefix, bytes) in [
            (Prefix::U16Big, &b"\x00\x03abc!"[..]),
            (Prefix::U16Little, b"\x03\x00abc!"),
            (Prefix::U32Big, b"\x00\x00\x00\x03abc!"),
            (Prefix::U32Little, b"\x03\x00\x00\x00abc!"),
        ] {
            let (message, used) = byte_by_byte(bytes, length_prefixed(prefix, 3))
                .unwrap()
                .unwrap();
            assert_eq!((&message[..], used), (&b"abc"[..], prefix.size() + 3));
        }
    }

    #[test]
    fn a_length_over_the_limit_is_refused_before_its_message() {
        let refused = length_prefixed(Prefix::U32Big, 16)(b"\xFF\xFF\xFF\xFF");
        assert!(matches!(
            refused,
            Err(Error::TooLong {
                length: 0xFFFF_FFFF,
                max: 16
            })
        ));
        let refused = decimal_prefixed(10, 16)(b"9999999999");
        assert!(matches!(
            refused,
            Err(Error::TooLong {
                length: 9_999_999_999,
                max: 16
            })
        ));
    }

    #[test]
    fn a_decimal_length_is_digits_only() {
        for bytes in [&b"1x"[..], b"-000000001", b" 000000001", b"0x00000001"] {
            assert!(matches!(
                decimal_prefixed(10, 99)(bytes),
                Err(Error::Malformed(_))
            ));
        }
        assert_eq!(
            byte_by_byte(b"0000000003abc", decimal_prefixed(10, 3)).unwrap(),
            Some((b"abc".to_vec(), 13))
        );
        assert_eq!(
            decimal_prefixed(2, 3)(b"00").unwrap(),
            Some((Vec::new(), 2))
        );
    }
}
