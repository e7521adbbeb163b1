//! Writing a response's head.

use std::time::Instant;

use http::{StatusCode, Version};

use crate::body::Body;
use crate::date::date_line;
use crate::response::Response;

/// How a client learns where the body ends (RFC 9112, 6.3).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum BodyEnd {
    /// The head says that there is none, or means that of a body that is not sent, as with HEAD.
    Never(Option<u64>),
    Length(u64),
    Chunked,
    /// With the connection: HTTP/1.0 knows no chunks.
    Close,
}

impl BodyEnd {
    /// `announced` is the length that the handler has set, if it has.
    pub(crate) fn of(
        status: StatusCode,
        announced: Option<u64>,
        body: &Body,
        is_head: bool,
        version: Version,
    ) -> BodyEnd {
        let length = announced.or_else(|| body.length());
        match status {
            // RFC 9110, 8.6: not even a length may be announced with these.
            _ if status.is_informational() || status == StatusCode::NO_CONTENT => {
                BodyEnd::Never(None)
            }
            // What a GET would get; an empty body says nothing about that.
            StatusCode::NOT_MODIFIED => BodyEnd::Never(length.filter(|&length| length > 0)),
            _ if is_head => BodyEnd::Never(length),
            _ => match length {
                Some(length) => BodyEnd::Length(length),
                None if version == Version::HTTP_11 => BodyEnd::Chunked,
                None => BodyEnd::Close,
            },
        }
    }
}

/// Writes the head of `response`. `connection` is what its Connection field says, if anything.
pub(crate) fn write_head(
    out: &mut Vec<u8>,
    response: &Response,
    end: BodyEnd,
    connection: Option<&str>,
    now: Instant,
) {
    write_status_line(out, response.status);
    out.extend_from_slice(&response.lines);
    match end {
        BodyEnd::Length(length) | BodyEnd::Never(Some(length)) => {
            out.extend_from_slice(b"Content-Length: ");
            out.extend_from_slice(itoa::Buffer::new().format(length).as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        BodyEnd::Chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
        BodyEnd::Never(None) | BodyEnd::Close => {}
    }
    if let Some(connection) = connection {
        out.extend_from_slice(b"Connection: ");
        out.extend_from_slice(connection.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    if !response.has_date {
        out.extend_from_slice(&date_line(now));
    }
    out.extend_from_slice(b"\r\n");
}

fn write_status_line(out: &mut Vec<u8>, status: StatusCode) {
    if status == StatusCode::OK {
        out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
        return;
    }
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(status.as_str().as_bytes());
    // The blank stays also without a reason (RFC 9112, 4).
    out.push(b' ');
    out.extend_from_slice(status.canonical_reason().unwrap_or_default().as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// Writes the line before a chunk's data.
pub(crate) fn write_chunk_size(out: &mut Vec<u8>, size: usize) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = (usize::BITS - size.leading_zeros()).div_ceil(4).max(1);
    let digit = |place: u32| DIGITS[(size >> (4 * place)) & 0xf];
    out.extend((0..digits).rev().map(digit));
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_ends_as_the_client_can_understand() {
        let (new, old) = (Version::HTTP_11, Version::HTTP_10);
        let end = |response: &Response, is_head, version| {
            let Response {
                status,
                length,
                body,
                ..
            } = response;
            BodyEnd::of(*status, *length, body, is_head, version)
        };
        let full = Response::text("hello");
        assert_eq!(end(&full, false, new), BodyEnd::Length(5));
        assert_eq!(end(&full, true, new), BodyEnd::Never(Some(5)));
        let stream = || Response::new(Body::stream(futures_lite::stream::empty()));
        assert_eq!(end(&stream(), false, new), BodyEnd::Chunked);
        assert_eq!(end(&stream(), false, old), BodyEnd::Close);
        assert_eq!(end(&stream(), true, new), BodyEnd::Never(None));
        let known = stream().with_header("Content-Length", "7").unwrap();
        assert_eq!(end(&known, false, old), BodyEnd::Length(7));
        for status in [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED] {
            let response = Response::from(status);
            assert_eq!(end(&response, false, new), BodyEnd::Never(None));
        }
    }

    #[test]
    fn chunk_sizes_are_hexadecimal() {
        for size in [0, 1, 0xf, 0x10, 0xabc, 0x1_0000, usize::MAX] {
            let mut out = Vec::new();
            write_chunk_size(&mut out, size);
            assert_eq!(out, format!("{size:x}\r\n").as_bytes());
        }
    }
}
