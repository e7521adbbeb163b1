//! Finding the end of a head as its bytes arrive, each byte looked at once.

use memchr::{memchr, memchr_iter};

use crate::lines::is_token_byte;
use crate::reject::{BAD_REQUEST, HEAD_TOO_LARGE, Reject, TARGET_TOO_LONG};

/// How far a head has been looked through, over as many arrivals as it takes.
///
/// Every line must end in CR LF and no CR may stand alone: RFC 9112 (2.2) lets a server be
/// lenient here, and two servers that are lenient in different ways are how requests get
/// smuggled.
#[derive(Debug, Default)]
pub(crate) struct Scanner {
    /// Bytes before this were looked at.
    scanned: usize,
    /// Where the line begins that is being looked at.
    line: usize,
    /// Where the request line begins and ends, line end included, when it is complete.
    start: usize,
    request_line: usize,
}

/// Where the parts of a complete head lie.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Extent {
    /// The request line; before it are empty lines, which a server ignores (RFC 9112, 2.2).
    pub(crate) start: usize,
    /// Behind the empty line.
    pub(crate) end: usize,
}

impl Scanner {
    /// Looks at what is new in `bytes`, which begin as they did before.
    pub(crate) fn scan(&mut self, bytes: &[u8], max: usize) -> Result<Option<Extent>, Reject> {
        let examined = self.scanned;
        while let Some(found) = memchr(b'\n', &bytes[self.scanned..]) {
            let line_feed = self.scanned + found;
            if line_feed == 0 || bytes[line_feed - 1] != b'\r' {
                return Err(BAD_REQUEST.because("a line that does not end in CR LF"));
            }
            self.scanned = line_feed + 1;
            let is_empty = line_feed - 1 == self.line;
            self.line = self.scanned;
            match (is_empty, self.request_line > 0) {
                (true, true) if self.scanned <= max => {
                    return Ok(Some(Extent {
                        start: self.start,
                        end: self.scanned,
                    }));
                }
                (true, true) => break,
                (true, false) => self.start = self.line,
                (false, true) => {}
                (false, false) => self.request_line = self.line,
            }
        }
        self.scanned = bytes.len();
        if bytes.len() > max {
            return Err(match self.request_line {
                0 if self.start > max / 2 => BAD_REQUEST.because("empty lines and no request"),
                length if length == 0 || length > max => TARGET_TOO_LONG,
                _ => HEAD_TOO_LARGE,
            });
        }
        self.check_beginning(bytes)?;
        check_returns(&bytes[examined.saturating_sub(1)..])?;
        Ok(None)
    }

    /// Refuses what no request begins with: who speaks another protocol may be waiting for us.
    fn check_beginning(&self, bytes: &[u8]) -> Result<(), Reject> {
        match bytes.get(self.start) {
            Some(b'\r') | None => Ok(()),
            Some(&byte) if is_token_byte(byte) => Ok(()),
            Some(_) => Err(BAD_REQUEST.because("this is not HTTP")),
        }
    }

    /// The request line, if the head is not complete but this is.
    pub(crate) fn request_line<'a>(&self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        (self.request_line > 0).then(|| &bytes[self.start..self.request_line])
    }

    /// Whether nothing was looked at yet, not even empty lines.
    pub(crate) fn is_new(&self) -> bool {
        self.scanned == 0
    }

    /// Whether anything but empty lines has arrived.
    pub(crate) fn has_begun(&self) -> bool {
        self.scanned > self.start
    }
}

/// A CR may be the last byte that has come, but nothing else than an LF may follow it. In a head
/// that is complete, the parser sees to that.
fn check_returns(bytes: &[u8]) -> Result<(), Reject> {
    let is_wrong = |at: usize| bytes.get(at + 1).is_some_and(|&next| next != b'\n');
    match memchr_iter(b'\r', bytes).any(is_wrong) {
        true => Err(BAD_REQUEST.because("a CR without its LF")),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(bytes: &[u8]) -> Result<Option<Extent>, Reject> {
        Scanner::default().scan(bytes, 1000)
    }

    #[test]
    fn the_end_is_found_wherever_the_pieces_part() {
        let head = b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\nrest";
        for first in 0..head.len() {
            for second in first..head.len() {
                let mut scanner = Scanner::default();
                let pieces = [&head[..first], &head[..second], &head[..]];
                let found = pieces
                    .iter()
                    .find_map(|piece| scanner.scan(piece, 100).unwrap());
                assert_eq!(found, Some(Extent { start: 2, end: 29 }));
            }
        }
    }

    #[test]
    fn lines_that_end_otherwise_are_refused_as_soon_as_they_are_seen() {
        for bad in [
            "GET / HTTP/1.1\n",
            "\n",
            "GET / HTTP/1.1\r\nHost: a\n\r\n",
            "GET / HTTP/1.1\rHost",
            "GET / HTTP/1.1\r\n\r \n",
            "\r\rGET",
            "GET / HTTP/1.1\r\nA: b\r\r\n",
            "\x05\x01\0",
            "\r\n\x16\x03",
        ] {
            assert!(scan(bad.as_bytes()).is_err(), "{bad:?}");
            let mut scanner = Scanner::default();
            let mut arrivals = (1..=bad.len()).map(|end| &bad.as_bytes()[..end]);
            assert!(
                arrivals.any(|bytes| scanner.scan(bytes, 1000).is_err()),
                "{bad:?}"
            );
        }
        assert_eq!(scan(b"GET / HTTP/1.1\r\nHost: a\r").unwrap(), None);
    }

    #[test]
    fn a_head_may_be_as_long_as_the_limit_and_no_longer() {
        let head = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        assert!(Scanner::default().scan(head, head.len()).unwrap().is_some());
        assert!(Scanner::default().scan(head, head.len() - 1).is_err());
        // What follows the head does not count.
        let more = [&head[..], &[b'x'; 100]].concat();
        assert!(
            Scanner::default()
                .scan(&more, head.len())
                .unwrap()
                .is_some()
        );
        let line = Scanner::default().scan(&[b'x'; 101], 100).unwrap_err();
        assert_eq!(line.status, TARGET_TOO_LONG.status);
        let whole = [&[b'x'; 101][..], b"\r\nHost: a\r\n\r\n"].concat();
        let line = Scanner::default().scan(&whole, 100).unwrap_err();
        assert_eq!(line.status, TARGET_TOO_LONG.status);
        let field = Scanner::default().scan(b"GET / HTTP/1.1\r\nHost: abcdef", 20);
        assert_eq!(field.unwrap_err().status, HEAD_TOO_LARGE.status);
    }
}
