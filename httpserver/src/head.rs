//! A request's head: parsed once, kept as it came, with what decides how its message goes on.

use std::cell::Cell;
use std::mem::{self, MaybeUninit};
use std::rc::Rc;
use std::{fmt, str};

use http::{Method, Version};
use httparse::{Header, Status};

use crate::framing::{Fields, Framing};
use crate::headers::Headers;
use crate::reject::{BAD_REQUEST, HEAD_TOO_LARGE, Reject, VERSION_NOT_SUPPORTED};
use crate::scan::Scanner;
use crate::target::{authority, check_target};

/// A head that was found to be in order.
///
/// The request and its connection share one. Most requests are over before the next is parsed,
/// which then takes the place that the thread has kept.
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
    pub(crate) fn parse(
        &mut self,
        bytes: &[u8],
        max: usize,
    ) -> Result<Option<(Rc<Head>, usize)>, Reject> {
        if self.scanner.is_new() {
            // Mostly a head arrives in one piece and in order. Whatever else it may be is said by
            // the scanner, which looks at each byte once however they come.
            match Head::parse(bytes) {
                Ok(Some((head, length))) if length <= max => return Ok(Some((head, length))),
                _ => {}
            }
        }
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
                check_request_line(line)?;
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
        let mut places = [const { MaybeUninit::uninit() }; FIELDS_MAX];
        let mut request = httparse::Request::new(&mut []);
        let length = match request.parse_with_uninit_headers(bytes, &mut places) {
            Ok(Status::Complete(length)) => length,
            Ok(Status::Partial) => return Ok(None),
            Err(error) => return Err(explain(error, bytes)),
        };
        let head = &bytes[..length];
        check_line_ends(head, request.headers)?;
        let (method, target, path) = check(&request)?;
        let version = match request.version {
            Some(0) => Version::HTTP_10,
            _ => Version::HTTP_11,
        };
        let fields = Fields::collect(request.headers)?;
        fields.check_host(version)?;
        let framing = fields.framing(version)?;
        let expects_continue = fields.expects_continue(version)? && framing != Framing::None;
        let first_field = request.headers.first();

        let mut place = SPARE
            .try_with(Cell::take)
            .ok()
            .flatten()
            .unwrap_or_default();
        let spare = Rc::get_mut(&mut place).expect("what is spare or new has one owner");
        let mut kept = mem::take(&mut spare.bytes);
        kept.clear();
        kept.extend_from_slice(&head[..length - 2]);
        *spare = Head {
            bytes: kept,
            method,
            target: offset(head, target),
            target_end: offset(head, target) + target.len() as u32,
            path: offset(head, target) + path as u32,
            fields: first_field.map_or(length as u32 - 2, |field| offset(head, field.name)),
            version,
            framing,
            keeps_alive: fields.keeps_alive(version),
            expects_continue,
            may_upgrade: fields.may_upgrade(version) && framing == Framing::None,
        };
        Ok(Some((place, length)))
    }

    /// Whoever has used this last gives it back: the thread keeps the place for its next head.
    pub(crate) fn give_back(self: Rc<Head>) {
        if Rc::strong_count(&self) == 1 && self.bytes.capacity() <= SPARE_MAX {
            // While the thread ends there is nowhere to put it.
            let _ = SPARE.try_with(|spare| spare.set(Some(self)));
        }
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

/// Every line must end in CR LF (see [`Scanner`]), and the first is the request line, where
/// httparse lets LF alone end a line, and empty lines come first. What it takes for a line's end
/// is right before each field's name, and twice at the end of the head.
fn check_line_ends(head: &[u8], fields: &[Header<'_>]) -> Result<(), Reject> {
    let ends_before =
        |field: &Header<'_>| head[..offset(head, field.name) as usize].ends_with(b"\r\n");
    let is_right = !head.starts_with(b"\r")
        && !head.starts_with(b"\n")
        && head.ends_with(b"\r\n\r\n")
        && fields.iter().all(ends_before);
    match is_right {
        true => Ok(()),
        false => Err(BAD_REQUEST.because("a line that does not end in CR LF")),
    }
}

/// Checks a request line by itself, line end included.
fn check_request_line(line: &[u8]) -> Result<(), Reject> {
    let mut request = httparse::Request::new(&mut []);
    match request.parse(line) {
        Ok(_) => check(&request).map(drop),
        Err(error) => Err(explain(error, line)),
    }
}

/// What httparse leaves to us of a request line: the method, the target, and where in that the
/// path begins.
fn check<'a>(request: &httparse::Request<'_, 'a>) -> Result<(Method, &'a str, usize), Reject> {
    let method = request.method.unwrap_or_default();
    let method = Method::from_bytes(method.as_bytes())
        .map_err(|_| BAD_REQUEST.because("a method that is no token"))?;
    let target = request.path.unwrap_or_default();
    let path = check_target(&method, target)?;
    Ok((method, target, path))
}

fn explain(error: httparse::Error, head: &[u8]) -> Reject {
    match error {
        httparse::Error::TooManyHeaders => HEAD_TOO_LARGE.because("too many header fields"),
        httparse::Error::Version if names_a_version(head) => VERSION_NOT_SUPPORTED,
        httparse::Error::Version => BAD_REQUEST.because("a request line without a version"),
        httparse::Error::HeaderName => BAD_REQUEST.because("a bad header name"),
        httparse::Error::HeaderValue => BAD_REQUEST.because("a bad header value"),
        _ => BAD_REQUEST.because("a bad request line"),
    }
}

/// Whether the request line is two words and `HTTP/`, a digit, a dot and a digit.
fn names_a_version(head: &[u8]) -> bool {
    let end = memchr::memchr(b'\r', head).unwrap_or(head.len());
    let mut words = head[..end].splitn(3, |&byte| byte == b' ').skip(2);
    match words
        .next()
        .and_then(|version| version.strip_prefix(b"HTTP/"))
    {
        Some([major, b'.', minor]) => major.is_ascii_digit() && minor.is_ascii_digit(),
        _ => false,
    }
}

/// Where `part` lies in `whole`, which it is a part of.
fn offset(whole: &[u8], part: &str) -> u32 {
    (part.as_ptr() as usize - whole.as_ptr() as usize) as u32
}

/// How many header fields a request may have: Apache's `LimitRequestFields`. Browsers send some
/// twenty.
const FIELDS_MAX: usize = 100;

/// The largest buffer that a thread keeps for its next head: that of most browsers.
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
        second.give_back();
        first.give_back();
        let third = parse("PUT / HTTP/1.1\r\nHost: b\r\n\r\n").unwrap();
        assert_ne!(Rc::as_ptr(&third), place, "it was replaced");
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
