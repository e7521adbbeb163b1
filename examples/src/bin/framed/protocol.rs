//! What stands in front of every request and reply: its length in ten digits.

/// How many digits a length has.
pub(crate) const DIGITS: usize = 10;

/// The largest length that the digits can say.
pub(crate) const LENGTH_MAX: u64 = 9_999_999_999;

/// The digits in front of a message of `length` bytes; none if they cannot say that.
pub(crate) fn header(length: usize) -> Option<[u8; DIGITS]> {
    let mut rest = length as u64;
    if rest > LENGTH_MAX {
        return None;
    }
    let mut digits = [b'0'; DIGITS];
    for digit in digits.iter_mut().rev() {
        *digit += (rest % 10) as u8;
        rest /= 10;
    }
    Some(digits)
}

/// How much of a frame has arrived.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Progress {
    /// So many digits.
    Header(usize),
    /// So many bytes of how many.
    Body(usize, u64),
}

/// How far a frame has come that is not whole yet, and whose digits are digits.
pub(crate) fn progress(bytes: &[u8]) -> Progress {
    match bytes.split_first_chunk::<DIGITS>() {
        None => Progress::Header(bytes.len()),
        Some((digits, body)) => {
            let add = |sum, digit: &u8| sum * 10 + u64::from(digit - b'0');
            Progress::Body(body.len(), digits.iter().fold(0, add))
        }
    }
}

#[cfg(test)]
mod tests {
    use iostream::frame::decimal_prefixed;

    use super::*;

    #[test]
    fn a_header_is_not_what_the_parser_does_not_read() {
        for length in [0, 1, 9, 10, 4096, 1_000_000] {
            let mut frame = header(length).unwrap().to_vec();
            frame.resize(DIGITS + length, b'x');
            let parsed = decimal_prefixed(DIGITS, length)(&frame).unwrap();
            assert_eq!(parsed, Some((vec![b'x'; length], frame.len())));
        }
        assert_eq!(header(1_234_567), Some(*b"0001234567"));
    }

    #[test]
    #[cfg(target_pointer_width = "64")]
    fn a_length_of_eleven_digits_does_not_lose_one() {
        assert_eq!(header(9_999_999_999), Some(*b"9999999999"));
        assert_eq!(header(10_000_000_000), None);
    }

    #[test]
    fn progress_is_not_off_by_a_byte_at_the_end_of_the_header() {
        for (bytes, expected) in [
            (&b""[..], Progress::Header(0)),
            (b"000000001", Progress::Header(9)),
            (b"0000000012", Progress::Body(0, 12)),
            (b"0000000012hello", Progress::Body(5, 12)),
            (b"9999999999", Progress::Body(0, LENGTH_MAX)),
        ] {
            assert_eq!(progress(bytes), expected, "{bytes:?}");
        }
    }
}
