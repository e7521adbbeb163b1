//! A request's head: parsed once, kept as it came, with what decides how its message goes on.

use std::fmt;
use std::mem::MaybeUninit;
use std::rc::Rc;

use http::{Method, Version};
use httparse::Status;

use crate::framing::{Fields, Framing};
use crate::headers::Headers;
use crate::reject::{BAD_REQUEST, HEAD_TOO_LARGE, Reject, VERSION_NOT_SUPPORTED};
use crate::scan::{Extent, Scanner};
use crate::target::{authority, check_target};

/// A head that was found to be in order.
#[derive(Debug)]
pub(crate) struct Head {
    /// From the request line to the last header field, as they came. ASCII up to `fields`.
    bytes: Rc<[u8]>,
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
    ) -> Result<Option<(Head, usize)>, Reject> {
        if let Some(extent) = self.scanner.scan(bytes, max)? {
            let end = extent.end;
            return Ok(Some((Head::parse(bytes, &extent)?, end)));
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

impl Head {
    fn parse(bytes: &[u8], extent: &Extent) -> Result<Head, Reject> {
        let head = &bytes[extent.start..extent.end];
        let mut places = [const { MaybeUninit::uninit() }; FIELDS_MAX];
        let mut request = httparse::Request::new(&mut []);
        match request.parse_with_uninit_headers(head, &mut places) {
            Ok(Status::Complete(length)) if length == head.len() => {}
            Ok(_) => return Err(BAD_REQUEST),
            Err(error) => return Err(explain(error, head)),
        }
        let (method, target, path) = check(&request)?;
        let version = match request.version {
            Some(0) => Version::HTTP_10,
            _ => Version::HTTP_11,
        };
        let fields = Fields::collect(request.headers)?;
        fields.check_host(version)?;
        let framing = fields.framing(version)?;
        Ok(Head {
            target: offset(head, target),
            target_end: offset(head, target) + target.len() as u32,
            path: offset(head, target) + path as u32,
            fields: (extent.fields - extent.start) as u32,
            keeps_alive: fields.keeps_alive(version),
            expects_continue: fields.expects_continue(version)? && framing != Framing::None,
            may_upgrade: fields.may_upgrade(version) && framing == Framing::None,
            version,
            framing,
            method,
            bytes: head[..head.len() - 2].into(),
        })
    }

    /// The request line, for the log: it outlives the request.
    pub(crate) fn request_line(&self) -> RequestLine {
        RequestLine {
            bytes: self.bytes.clone(),
            end: self.fields,
        }
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
        std::str::from_utf8(bytes).expect("a target is ASCII")
    }
}

/// What was asked for.
pub(crate) struct RequestLine {
    bytes: Rc<[u8]>,
    end: u32,
}

impl fmt::Display for RequestLine {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = self.bytes[..self.end as usize].trim_ascii_end();
        let line = &line[..line.len().min(LOGGED_MAX)];
        String::from_utf8_lossy(line).fmt(formatter)
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

/// How much of a request line the log is given.
const LOGGED_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(head: &str) -> Result<Head, Reject> {
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
