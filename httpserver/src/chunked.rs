//! The chunked transfer coding (RFC 9112, 7.1), as a pure decoder.

use memchr::memchr;

use crate::lines::{field_line, is_text_byte, is_token_byte};
use crate::reject::{BAD_REQUEST, BODY_TOO_LARGE, HEAD_TOO_LARGE, Reject};

/// Takes a chunked body apart, whatever the pieces in which it arrives.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    state: State,
    /// What lines that are no data took so far, less what the data allows them.
    overhead: usize,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum State {
    /// Before the line with a chunk's size.
    #[default]
    Size,
    /// That many bytes of a chunk are to come, one at least.
    Data(u64),
    /// Before the line end behind a chunk's data.
    DataEnd,
    /// Behind the last chunk.
    Trailers,
    Done,
}

impl Decoder {
    pub(crate) fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Decodes from the front of `bytes`, and says how many it took; the data goes to `data`. None
    /// taken means that more must arrive.
    ///
    /// It stops before the body would exceed `max` bytes more, with an error; and after so many
    /// chunks that the loop must not be held any longer.
    pub(crate) fn decode(
        &mut self,
        bytes: &[u8],
        max: u64,
        data: &mut Vec<u8>,
    ) -> Result<usize, Reject> {
        let mut used = 0;
        for _ in 0..STEPS_MAX {
            let rest = &bytes[used..];
            let allowed = max.saturating_sub(data.len() as u64);
            let step = match self.state {
                State::Size => self.size(rest, allowed)?,
                // The limit may be lower than it was when the chunk's size was read.
                State::Data(left) if left > allowed => return Err(BODY_TOO_LARGE),
                State::Data(left) => self.data(rest, left, data),
                State::DataEnd => self.data_end(rest)?,
                State::Trailers => self.trailers(rest)?,
                State::Done => 0,
            };
            if step == 0 {
                break;
            }
            used += step;
        }
        Ok(used)
    }

    fn size(&mut self, bytes: &[u8], max: u64) -> Result<usize, Reject> {
        let Some(line) = line(bytes, LINE_MAX)? else {
            return Ok(0);
        };
        let digits = line
            .iter()
            .take_while(|byte| byte.is_ascii_hexdigit())
            .count();
        let size = hexadecimal(&line[..digits])?;
        check_extensions(&line[digits..])?;
        if size > max {
            return Err(BODY_TOO_LARGE);
        }
        // Otherwise a few bytes of data could come with gigabytes of extensions.
        let allowed = size.saturating_mul(2).saturating_add(16);
        let allowed = usize::try_from(allowed).unwrap_or(usize::MAX);
        self.overhead = (self.overhead + line.len()).saturating_sub(allowed);
        if self.overhead > OVERHEAD_MAX {
            return Err(BAD_REQUEST.because("more chunk extensions than anybody needs"));
        }
        self.state = match size {
            0 => State::Trailers,
            size => State::Data(size),
        };
        Ok(line.len() + 2)
    }

    fn data(&mut self, bytes: &[u8], left: u64, data: &mut Vec<u8>) -> usize {
        let count = left.min(bytes.len() as u64);
        data.extend_from_slice(&bytes[..count as usize]);
        self.state = match left - count {
            0 => State::DataEnd,
            left => State::Data(left),
        };
        count as usize
    }

    fn data_end(&mut self, bytes: &[u8]) -> Result<usize, Reject> {
        match bytes {
            [b'\r', b'\n', ..] => {
                self.state = State::Size;
                Ok(2)
            }
            [] | [b'\r'] => Ok(0),
            _ => Err(BAD_REQUEST.because("a chunk longer than its size")),
        }
    }

    /// Checks the trailer fields and drops them: none may change what was decided by the head
    /// (RFC 9110, 6.5.1).
    fn trailers(&mut self, bytes: &[u8]) -> Result<usize, Reject> {
        let mut end = 0;
        for count in 0.. {
            let Some(line) = line(&bytes[end..], LINE_MAX)? else {
                break;
            };
            let start = end;
            end += line.len() + 2;
            if end > TRAILERS_MAX || count > TRAILER_FIELDS_MAX {
                return Err(HEAD_TOO_LARGE.because("the trailer fields are over the limit"));
            }
            if line.is_empty() {
                self.state = State::Done;
                return Ok(end);
            }
            field_line(&bytes[start..end])?;
        }
        Ok(0)
    }
}

/// The first line, without its CR LF; none if it is not complete.
fn line(bytes: &[u8], max: usize) -> Result<Option<&[u8]>, Reject> {
    let Some(end) = memchr(b'\n', bytes) else {
        // A CR may be the last byte that has come, but nothing may follow it.
        let has_bare_cr = memchr(b'\r', bytes).is_some_and(|at| at + 1 < bytes.len());
        return match bytes.len() > max || has_bare_cr {
            true => Err(BAD_REQUEST.because("a bad line in a chunked body")),
            false => Ok(None),
        };
    };
    match bytes[..end].strip_suffix(b"\r") {
        Some(line) if line.len() <= max && memchr(b'\r', line).is_none() => Ok(Some(line)),
        _ => Err(BAD_REQUEST.because("a bad line in a chunked body")),
    }
}

fn hexadecimal(digits: &[u8]) -> Result<u64, Reject> {
    if digits.is_empty() {
        return Err(BAD_REQUEST.because("a chunk without a size"));
    }
    let add = |number: u64, &digit: &u8| {
        let digit = char::from(digit).to_digit(16)?;
        number.checked_mul(16)?.checked_add(digit.into())
    };
    digits.iter().try_fold(0, add).ok_or(BODY_TOO_LARGE)
}

/// Extensions mean nothing to us, but must be what RFC 9112 (7.1.1) calls so: one may hide a line
/// end from somebody who looks less closely.
fn check_extensions(mut rest: &[u8]) -> Result<(), Reject> {
    let bad = BAD_REQUEST.because("a bad chunk extension");
    while !rest.is_empty() {
        rest = skip_blanks(rest).strip_prefix(b";").ok_or(bad)?;
        rest = skip_token(skip_blanks(rest)).ok_or(bad)?;
        if let Some(value) = skip_blanks(rest).strip_prefix(b"=") {
            let value = skip_blanks(value);
            rest = match value.strip_prefix(b"\"") {
                Some(quoted) => skip_quoted(quoted).ok_or(bad)?,
                None => skip_token(value).ok_or(bad)?,
            };
        }
    }
    Ok(())
}

fn skip_blanks(bytes: &[u8]) -> &[u8] {
    let blanks = bytes
        .iter()
        .take_while(|&&byte| byte == b' ' || byte == b'\t');
    &bytes[blanks.count()..]
}

fn skip_token(bytes: &[u8]) -> Option<&[u8]> {
    match bytes
        .iter()
        .take_while(|&&byte| is_token_byte(byte))
        .count()
    {
        0 => None,
        length => Some(&bytes[length..]),
    }
}

/// What follows the closing quote.
fn skip_quoted(mut bytes: &[u8]) -> Option<&[u8]> {
    loop {
        bytes = match bytes {
            [b'"', rest @ ..] => return Some(rest),
            [b'\\', escaped, rest @ ..] if is_text_byte(*escaped) => rest,
            [b'\\', ..] => return None,
            [byte, rest @ ..] if is_text_byte(*byte) => rest,
            _ => return None,
        };
    }
}

/// The longest line with a chunk's size, or trailer field: nobody sends extensions, and those who
/// do send signatures of some hundred bytes.
const LINE_MAX: usize = 4096;

/// What all extensions of one body may take together, beyond twice its data.
const OVERHEAD_MAX: usize = 16 * 1024;

/// What all trailer fields may take together, and how many there may be.
const TRAILERS_MAX: usize = 8 * 1024;
const TRAILER_FIELDS_MAX: usize = 32;

/// What is decoded at once: some ten microseconds of the smallest chunks.
const STEPS_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    /// Decodes what arrives in pieces of `step` bytes.
    fn decode(body: &[u8], step: usize) -> Result<Vec<u8>, Reject> {
        let (mut decoder, mut data, mut used) = (Decoder::default(), Vec::new(), 0);
        for end in (0..body.len()).step_by(step).chain([body.len()]) {
            while used < end {
                match decoder.decode(&body[used..end], 1000, &mut data)? {
                    0 => break,
                    count => used += count,
                }
            }
        }
        assert!(decoder.is_done() && used == body.len(), "{used}");
        Ok(data)
    }

    #[test]
    fn a_body_is_the_same_whatever_its_pieces() {
        let body = b"5\r\nhello\r\n0A ; ext = \"a;\\\"b\"\r\n0123456789\r\n000;x\r\nA: b\r\n\r\n";
        for step in 1..=body.len() {
            assert_eq!(decode(body, step).unwrap(), b"hello0123456789", "{step}");
        }
    }

    #[test]
    fn what_is_no_chunk_is_refused() {
        for size in [
            "", " 5", "5 ", "+5", "0x5", "5x", "5;", "5;=a", "5;a=", "5;a=\"b", "5\n", "5\r", "-0",
            "5;a\rb", "5;\0", "1_0", "5;a b", "g",
        ] {
            let body = format!("{size}\r\nhello\r\n0\r\n\r\n");
            for step in [1, body.len()] {
                let error = decode(body.as_bytes(), step).expect_err(size);
                assert_eq!(error.status, 400, "{size:?}");
            }
        }
        for body in [
            "5\r\nhelloX\r\n0\r\n\r\n",
            "5\r\nhello0\r\n\r\n",
            "0\r\nX : y\r\n\r\n",
        ] {
            assert!(decode(body.as_bytes(), 1).is_err(), "{body:?}");
        }
    }

    #[test]
    fn limits_are_kept() {
        let status = |body: String| decode(body.as_bytes(), 7).unwrap_err().status.as_u16();
        assert_eq!(status("3e9\r\n".into()), 413);
        assert_eq!(status("fffffffffffffffff\r\n".into()), 413);
        assert_eq!(status(format!("5;{}", "a".repeat(LINE_MAX))), 400);
        let chunk = format!("1;{}\r\nx\r\n", "a".repeat(1000));
        assert_eq!(status(chunk.repeat(OVERHEAD_MAX / 1000 + 2)), 400);
        let trailer = format!("a: {}\r\n", "b".repeat(1000));
        assert_eq!(status(format!("0\r\n{}\r\n", trailer.repeat(9))), 431);
        let trailers = "a: b\r\n".repeat(TRAILER_FIELDS_MAX + 1);
        assert_eq!(status(format!("0\r\n{trailers}\r\n")), 431);
    }

    #[test]
    fn many_tiny_chunks_are_not_decoded_at_once() {
        let body = "1\r\nx\r\n".repeat(1000);
        let used = Decoder::default().decode(body.as_bytes(), 1000, &mut Vec::new());
        assert!(used.unwrap() < body.len());
    }
}
