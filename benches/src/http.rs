//! The HTTP requests that are sent, and what one response shows of all that will follow.

use std::io::{self, Read};
use std::net::{SocketAddr, TcpStream};
use std::ops::Range;

/// How much a request says beside its first line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Head {
    /// What wrk sends: a `Host` and no more.
    Small,
    /// Twelve fields in 700 bytes.
    Browser,
    /// The connection ends with the answer.
    Closing,
}

impl Head {
    pub fn request(self, server: SocketAddr) -> Vec<u8> {
        let fields = match self {
            Head::Small => "",
            Head::Browser => BROWSER_FIELDS,
            Head::Closing => "Connection: close\r\n",
        };
        format!("GET / HTTP/1.1\r\nHost: {server}\r\n{fields}\r\n").into_bytes()
    }
}

/// A complete response, as it will come again and again.
#[derive(Debug)]
pub struct Response {
    pub bytes: Vec<u8>,
    /// Where the date stands in them; nowhere if it has none.
    pub date: Range<usize>,
}

/// Receives one response, which must have succeeded and say how long it is.
pub fn learn(stream: &mut TcpStream) -> io::Result<Response> {
    let mut bytes = Vec::new();
    loop {
        let mut piece = [0; 4096];
        let count = stream.read(&mut piece)?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        bytes.extend_from_slice(&piece[..count]);
        match parse(&bytes)? {
            Some((length, date)) if length == bytes.len() => return Ok(Response { bytes, date }),
            Some((length, _)) if length < bytes.len() => {
                return Err(unusable("a response too long"));
            }
            _ => {}
        }
    }
}

/// The length of the response at the start of `bytes`, and where its date is, once all of the head
/// is there.
fn parse(bytes: &[u8]) -> io::Result<Option<(usize, Range<usize>)>> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    let status = response.parse(bytes);
    let status = status.map_err(|error| unusable(&format!("no HTTP response: {error}")))?;
    let httparse::Status::Complete(head) = status else {
        return Ok(None);
    };
    if response.code != Some(200) {
        let code = response.code.unwrap_or_default();
        return Err(unusable(&format!("a response with status {code}")));
    }
    let value = |name: &str| {
        let mut headers = response.headers.iter();
        headers.find(|header| header.name.eq_ignore_ascii_case(name))
    };
    let body = value("Content-Length")
        .and_then(|length| std::str::from_utf8(length.value).ok()?.parse().ok());
    let body: usize = body.ok_or_else(|| unusable("a response without Content-Length"))?;
    let date = value("Date").map_or(0..0, |date| {
        let start = date.value.as_ptr().addr() - bytes.as_ptr().addr();
        start..start + date.value.len()
    });
    Ok(Some((head + body, date)))
}

fn unusable(what: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("the server sent {what}"),
    )
}

const BROWSER_FIELDS: &str = concat!(
    "Connection: keep-alive\r\n",
    "Cache-Control: max-age=0\r\n",
    "sec-ch-ua: \"Chromium\";v=\"128\", \"Not;A=Brand\";v=\"24\", \"Google Chrome\";v=\"128\"\r\n",
    "sec-ch-ua-mobile: ?0\r\n",
    "sec-ch-ua-platform: \"Linux\"\r\n",
    "Upgrade-Insecure-Requests: 1\r\n",
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) ",
    "Chrome/128.0.0.0 Safari/537.36\r\n",
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n",
    "Accept-Encoding: gzip, deflate, br, zstd\r\n",
    "Accept-Language: en-GB,en-US;q=0.9,en;q=0.8,de;q=0.7\r\n",
    "Cookie: session=6f1c2a9e4b7d4f0f9d3c5e8a1b2c3d4e; theme=dark; consent=necessary; ",
    "visitor=2b8d1f0a7c6e45d39a81; since=2024-08-01T12:00:00Z\r\n",
);

/// More than any server sends.
const HEADERS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn browser_sends_twelve_fields_in_700_bytes() {
        let request = Head::Browser.request("127.0.0.1:8888".parse().unwrap());
        let mut headers = [httparse::EMPTY_HEADER; 12];
        let mut parsed = httparse::Request::new(&mut headers);
        assert!(parsed.parse(&request).unwrap().is_complete());
        assert_eq!(parsed.headers.len(), 12);
        assert!((680..720).contains(&request.len()), "{}", request.len());
    }

    #[test]
    fn length_counts_head_and_body_and_the_date_is_found() {
        let response = b"HTTP/1.1 200 OK\r\ndate: now\r\ncontent-length: 5\r\n\r\nHello";
        let (length, date) = parse(response).unwrap().unwrap();
        assert_eq!(length, response.len());
        assert_eq!(&response[date], b"now");
        assert!(parse(&response[..response.len() - 6]).unwrap().is_none());
    }

    #[test]
    fn response_that_failed_or_does_not_say_its_length_is_refused() {
        for response in [
            "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
            "a00000000 .....\n",
        ] {
            assert!(parse(response.as_bytes()).is_err(), "{response}");
        }
    }
}
