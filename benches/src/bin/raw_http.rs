//! An HTTP server written by hand on epoll, without a framework: what the others are held against.
//!
//! It parses each head, looks up what a server must know of it, and writes the response's head
//! piece by piece. Pipelined requests are answered in order, all of one `recv` with one `send`.
//! A body is skipped if its length is given, and refused if it is chunked.

use std::error::Error;
use std::mem::MaybeUninit;

use httparse::{Header, Request, Status};

use squall_benches::date::Date;
use squall_benches::hello;
use squall_benches::raw::http::{HEAD_MAX, HttpConnection, Responded, Responder, Shared};
use squall_benches::raw::server;

fn main() -> Result<(), Box<dyn Error>> {
    let hello = Hello { date: Date::now() };
    server::serve::<HttpConnection<Hello>>(Shared::new(hello))
}

struct Hello {
    date: Date,
}

impl Responder for Hello {
    fn begin_turn(&mut self) {
        self.date.refresh();
    }

    fn respond(&mut self, input: &[u8], output: &mut Vec<u8>) -> Responded {
        let mut taken = 0;
        while let Some(rest) = input.get(taken..).filter(|rest| !rest.is_empty()) {
            match self.respond_to_one(rest, output) {
                Next::At(end) => taken = taken.saturating_add(end),
                Next::Unknown => break,
                Next::Never => return Responded { taken, ends: true },
            }
        }
        Responded { taken, ends: false }
    }
}

/// Where the next request begins.
enum Next {
    At(usize),
    /// This one's head is not complete.
    Unknown,
    /// The connection ends.
    Never,
}

impl Hello {
    fn respond_to_one(&self, input: &[u8], output: &mut Vec<u8>) -> Next {
        let mut headers = [const { MaybeUninit::uninit() }; HEADERS_MAX];
        let mut request = Request::new(&mut []);
        let head_length = match request.parse_with_uninit_headers(input, &mut headers) {
            Ok(Status::Complete(length)) if length <= HEAD_MAX => length,
            Ok(Status::Partial) if input.len() <= HEAD_MAX => return Next::Unknown,
            Ok(_) | Err(httparse::Error::TooManyHeaders) => {
                return refuse(output, "431 Request Header Fields Too Large");
            }
            Err(_) => return refuse(output, "400 Bad Request"),
        };
        let Some(fields) = Fields::find(request.headers) else {
            return refuse(output, "400 Bad Request");
        };
        let is_new = request.version == Some(1);
        if is_new && fields.hosts != 1 {
            return refuse(output, "400 Bad Request");
        }
        if fields.is_chunked {
            return refuse(output, "501 Not Implemented");
        }
        let next = head_length.saturating_add(fields.body_length.unwrap_or(0));
        if fields.expects_continue && next > input.len() {
            output.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
        }
        hello::write_head(output, self.date.as_bytes());
        let keeps_alive = !fields.close && (is_new || fields.keep_alive);
        match (keeps_alive, is_new) {
            (true, true) => {}
            (true, false) => output.extend_from_slice(b"Connection: keep-alive\r\n"),
            (false, _) => output.extend_from_slice(b"Connection: close\r\n"),
        }
        output.extend_from_slice(b"\r\n");
        if request.method != Some("HEAD") {
            output.extend_from_slice(hello::BODY.as_bytes());
        }
        if keeps_alive {
            Next::At(next)
        } else {
            Next::Never
        }
    }
}

fn refuse(output: &mut Vec<u8>, status: &str) -> Next {
    output.extend_from_slice(b"HTTP/1.1 ");
    output.extend_from_slice(status.as_bytes());
    output.extend_from_slice(b"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    Next::Never
}

/// The headers that a server has to act on.
#[derive(Default)]
struct Fields {
    hosts: usize,
    body_length: Option<usize>,
    is_chunked: bool,
    close: bool,
    keep_alive: bool,
    expects_continue: bool,
}

impl Fields {
    /// None if they contradict each other, or say nothing that can be understood.
    fn find(headers: &[Header<'_>]) -> Option<Fields> {
        let mut fields = Fields::default();
        for Header { name, value } in headers {
            if name.eq_ignore_ascii_case("Host") {
                fields.hosts += 1;
            } else if name.eq_ignore_ascii_case("Connection") {
                for option in value.split(|&byte| byte == b',') {
                    let option = option.trim_ascii();
                    fields.close |= option.eq_ignore_ascii_case(b"close");
                    fields.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
                }
            } else if name.eq_ignore_ascii_case("Content-Length") {
                let length = decimal(value)?;
                if fields.body_length.is_some_and(|other| other != length) {
                    return None;
                }
                fields.body_length = Some(length);
            } else if name.eq_ignore_ascii_case("Transfer-Encoding") {
                fields.is_chunked = true;
            } else if name.eq_ignore_ascii_case("Expect") {
                fields.expects_continue = value.eq_ignore_ascii_case(b"100-continue");
            }
        }
        Some(fields)
    }
}

/// Digits only, and not too many; `str::parse` would take a sign.
fn decimal(text: &[u8]) -> Option<usize> {
    if !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// As many as the framework takes.
const HEADERS_MAX: usize = 64;
