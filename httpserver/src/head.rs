//! A request's head: parsed once, kept as it came, with what decides how its message goes on.

use std::cell::Cell;
use std::rc::Rc;
use std::{fmt, str};

use http::{Method, Version};

use crate::framing::{Fields, Framing};
use crate::headers::Headers;
use crate::lines::{field_line, request_line};
use crate::reject::{BAD_REQUEST, HEAD_TOO_LARGE, Reject};
use crate::scan::Scanner;
use crate::target::{authority, check_target};

/// A head that was found to be in order.
///
/// The request and its connection share one, and the thread keeps the last: most requests are over
/// before the next is parsed, which then takes its place.
#[derive(Debug, Default)]
pub(crate) struct Head {
    /// From the request line to the last header field, as they came. ASCII up to `fields`.
    bytes: Vec<u8>,
    method: Method,
    /// Where the target begins and ends in `bytes`, and its path begins.
    target: u32,
    target_end: u32,
    path: u32,
    fields: u32,
    pub(crate) version: Version,
    pub(crate) framing: Framing,
    /// The connection may go on after this request.
    pub(crate) keeps_alive: bool,
    pub(crate) expects_continue: bool,
    /// The client asks for another protocol, and nothing stands against it.
    pub(crate) may_upgrade: bool,
}

/// Parses a head while it arrives.
#[derive(Debug, Default)]
pub(crate) struct HeadParser {
    scanner: Scanner,
    request_line_was_checked: bool,
}

impl HeadParser {
    /// The head and how many bytes it takes, if it is complete.
    ///
    /// A request line that is no such thing is refused before the rest has come: who speaks
    /// another protocol should hear of it.
    #[inline]
    pub(crate) fn parse(
        &mut self,
        bytes: &[u8],
        max: usize,
    ) -> Result<Option<(Rc<Head>, usize)>, Reject> {
        if self.scanner.is_new() {
            // Mostly a head arrives in one piece and in order.
            match Head::parse(bytes) {
                Ok(Some((head, length))) if length <= max => return Ok(Some((head, length))),
                _ => {}
            }
        }
        self.parse_by_lines(bytes, max)
    }

    /// Whatever else it may be is said by the scanner, which looks at each byte once however they
    /// come.
    fn parse_by_lines(
        &mut self,
        bytes: &[u8],
        max: usize,
    ) -> Result<Option<(Rc<Head>, usize)>, Reject> {
        if let Some(extent) = self.scanner.scan(bytes, max)? {
            return match Head::parse(&bytes[extent.start..extent.end])? {
                Some((head, length)) if extent.start + length == extent.end => {
                    Ok(Some((head, extent.end)))
                }
                _ => Err(BAD_REQUEST),
            };
        }
        if !self.request_line_was_checked {
            if let Some(line) = self.scanner.request_line(bytes) {
                if let Some(line) = request_line(line)? {
                    check_target(&line.method, line.target)?;
                }
                self.request_line_was_checked = true;
            }
        }
        Ok(None)
    }

    /// Whether anything of a request has arrived.
    pub(crate) fn has_begun(&self) -> bool {
        self.scanner.has_begun()
    }
}

thread_local! {
    static SPARE: Cell<Option<Rc<Head>>> = const { Cell::new(None) };
}

impl Head {
    /// Parses a head that begins with its request line, and says how long it is; none if it is not
    /// complete.
    fn parse(bytes: &[u8]) -> Result<Option<(Rc<Head>, usize)>, Reject> {
        let spare = SPARE.try_with(Cell::take).ok().flatten();
        let mut place = spare.unwrap_or_default();
        let head = match Rc::get_mut(&mut place) {
            Some(head) => head,
            // It is still in use, as that of a handler which waits.
            None => {
                place = Rc::default();
                Rc::get_mut(&mut place).expect("what is new has one owner")
            }
        };
        let filled = head.fill(bytes);
        if head.bytes.capacity() <= SPARE_MAX {
            // While the thread ends there is nowhere to keep it.
            let _ = SPARE.try_with(|spare| spare.set(Some(Rc::clone(&place))));
        }
        Ok(filled?.map(|length| (place, length)))
    }

    /// Puts another head into this place, which it fills only if it is complete and in order.
    // In place: where there is more to keep in registers, most of this is moving things about.
    fn fill(&mut self, bytes: &[u8]) -> Result<Option<usize>, Reject> {
        let Some(fields) = self.fill_in_request_line(bytes)? else {
            return Ok(None);
        };
        let Some(end) = self.fill_in_fields(bytes, fields)? else {
            return Ok(None);
        };
        self.bytes.clear();
        self.bytes.extend_from_slice(&bytes[..end]);
        Ok(Some(end + 2))
    }

    /// Says where the fields begin.
    #[inline(never)]
    fn fill_in_request_line(&mut self, bytes: &[u8]) -> Result<Option<usize>, Reject> {
        let Some(line) = request_line(bytes)? else {
            return Ok(None);
        };
        let path = check_target(&line.method, line.target)?;
        self.method = line.method;
        self.version = line.version;
        self.target = line.start as u32;
        self.path = (line.start + path) as u32;
        self.target_end = (line.start + line.target.len()) as u32;
        self.fields = line.length as u32;
        Ok(Some(line.length))
    }

    /// Says where the empty line is.
    fn fill_in_fields(&mut self, bytes: &[u8], start: usize) -> Result<Option<usize>, Reject> {
        let mut fields = Fields::default();
        let mut end = start;
        for count in 0.. {
            let rest = &bytes[end..];
            if rest.starts_with(b"\r\n") {
                break;
            }
            let Some(field) = field_line(rest)? else {
                return Ok(None);
            };
            if count == FIELDS_MAX {
                return Err(HEAD_TOO_LARGE.because("too many header fields"));
            }
            fields.add(field)?;
            end += field.length();
        }
        fields.check_host(self.version)?;
        self.framing = fields.framing(self.version)?;
        let has_body = self.framing != Framing::None;
        self.expects_continue = fields.expects_continue(self.version)? && has_body;
        self.keeps_alive = fields.keeps_alive(self.version);
        self.may_upgrade = fields.may_upgrade(self.version) && !has_body;
        Ok(Some(end))
    }

    /// The request line, for the log.
    pub(crate) fn request_line(&self) -> RequestLine<'_> {
        RequestLine(&self.bytes[..self.fields as usize])
    }

    pub(crate) fn method(&self) -> &Method {
        &self.method
    }

    pub(crate) fn target(&self) -> &str {
        self.text(self.target, self.target_end)
    }

    /// The path, without the query.
    pub(crate) fn path(&self) -> &str {
        let path = self.path_and_query();
        match &path[..memchr::memchr(b'?', path.as_bytes()).unwrap_or(path.len())] {
            "" => "/",
            path => path,
        }
    }

    pub(crate) fn query(&self) -> Option<&str> {
        self.path_and_query()
            .split_once('?')
            .map(|(_, query)| query)
    }

    pub(crate) fn host(&self) -> Option<&str> {
        authority(self.target()).or_else(|| self.headers().get("host"))
    }

    pub(crate) fn headers(&self) -> Headers<'_> {
        Headers::new(&self.bytes[self.fields as usize..])
    }

    fn path_and_query(&self) -> &str {
        self.text(self.path, self.target_end)
    }

    fn text(&self, start: u32, end: u32) -> &str {
        let bytes = &self.bytes[start as usize..end as usize];
        str::from_utf8(bytes).expect("a target is ASCII")
    }
}

/// What was asked for.
pub(crate) struct RequestLine<'a>(&'a [u8]);

impl fmt::Display for RequestLine<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = self.0.trim_ascii_end();
        let line = &line[..line.len().min(LOGGED_MAX)];
        String::from_utf8_lossy(line).fmt(formatter)
    }
}

/// How many header fields a request may have: Apache's `LimitRequestFields`. Browsers send some
/// twenty.
const FIELDS_MAX: usize = 100;

/// The largest buffer that a thread keeps for its next head: more than most browsers need.
const SPARE_MAX: usize = 4096;

/// How much of a request line the log is given.
const LOGGED_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    fn parse(head: &str) -> Result<Rc<Head>, Reject> {
        let parsed = HeadParser::default().parse(head.as_bytes(), 100_000)?;
        let (head, length) = parsed.expect("the head is complete");
        assert!(length > 0);
        Ok(head)
    }

    #[test]
    fn a_head_is_kept_as_it_came() {
        let head = parse("\r\nGET http://h/a?b=c HTTP/1.1\r\nHost: x\r\nA:  b \r\n\r\n").unwrap();
        assert_eq!(head.method(), Method::GET);
        assert_eq!(head.target(), "http://h/a?b=c");
        assert_eq!((head.path(), head.query()), ("/a", Some("b=c")));
        assert_eq!(head.host(), Some("h"));
        assert_eq!(head.headers().get("a"), Some("b"));
        let head = parse("OPTIONS * HTTP/1.0\r\n\r\n").unwrap();
        assert_eq!((head.path(), head.query(), head.host()), ("*", None, None));
        assert_eq!(head.version, Version::HTTP_10);
    }

    #[test]
    fn a_bad_request_line_is_refused_before_the_rest_has_come() {
        let status = |line: &str| {
            let mut parser = HeadParser::default();
            parser
                .parse(line.as_bytes(), 1000)
                .unwrap_err()
                .status
                .as_u16()
        };
        assert_eq!(status("GET /\r\n"), 400);
        assert_eq!(status("GET / HTTP/2.0\r\n"), 505);
        assert_eq!(status("GET / HTTP/1.1 x\r\n"), 400);
        assert_eq!(status("GET /# HTTP/1.1\r\n"), 400);
        assert_eq!(status("CONNECT a:1 HTTP/1.1\r\n"), 501);
        assert!(
            HeadParser::default()
                .parse(b"GET / HTTP/1.1\r\n", 1000)
                .unwrap()
                .is_none()
        );
    }

    /// Whole, a head is parsed at once; in two pieces, what is wrong is found line by line.
    #[test]
    fn a_head_is_understood_alike_whole_and_in_pieces() {
        let whole = b"GET /a?b HTTP/1.1\r\nHost: a:1\r\nConnection: close\r\nA: b\r\n\r\nGET";
        let outcome = |head: &Head, length| {
            let parts = (head.bytes.clone(), head.fields, head.target_end, length);
            (parts, head.keeps_alive, head.framing)
        };
        for place in 0..whole.len() {
            for inserted in [
                &b"\n"[..],
                b"\r",
                b"\r\n",
                b" ",
                b":",
                b"\0",
                b"\x80",
                b"x",
                b"",
            ] {
                for replaced in [0, 1] {
                    let rest = &whole[(place + replaced).min(whole.len())..];
                    let bytes = [&whole[..place], inserted, rest].concat();
                    let at_once = HeadParser::default().parse(&bytes, 1000);
                    let mut parser = HeadParser::default();
                    let in_pieces = match parser.parse(&bytes[..3], 1000) {
                        Ok(_) => parser.parse(&bytes, 1000),
                        refused => refused,
                    };
                    let outcome = |parsed: Result<Option<(Rc<Head>, usize)>, Reject>| -> Result<_, StatusCode> {
                        let found = parsed.map_err(|reject| reject.status)?;
                        Ok(found.map(|(head, length)| outcome(&head, length)))
                    };
                    let text = bytes.escape_ascii();
                    assert_eq!(outcome(at_once), outcome(in_pieces), "{text}");
                }
            }
        }
    }

    #[test]
    fn nothing_of_a_head_stays_for_the_next() {
        let first = parse("POST /1 HTTP/1.0\r\nContent-Length: 7\r\nA: secret\r\n\r\n").unwrap();
        let second = parse("GET /2 HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        assert_eq!(first.target(), "/1", "it is still held");
        let place = Rc::as_ptr(&second);
        drop(second);
        let third = parse("PUT / HTTP/1.1\r\nHost: b\r\n\r\n").unwrap();
        assert_eq!(Rc::as_ptr(&third), place, "it is used again");
        assert_eq!(third.method(), Method::PUT);
        assert_eq!((third.framing, third.keeps_alive), (Framing::None, true));
        assert_eq!(third.headers().into_iter().count(), 1);
        assert_eq!(third.request_line().to_string(), "PUT / HTTP/1.1");
    }

    #[test]
    fn the_number_of_fields_is_limited() {
        let head = |fields: usize| {
            format!(
                "GET / HTTP/1.1\r\nHost: a\r\n{}\r\n",
                "a: b\r\n".repeat(fields - 1)
            )
        };
        assert!(parse(&head(FIELDS_MAX)).is_ok());
        assert_eq!(parse(&head(FIELDS_MAX + 1)).unwrap_err().status, 431);
    }
}
