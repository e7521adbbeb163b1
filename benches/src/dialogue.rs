//! What a client says and must hear in return: the one thing in which the protocols differ.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::ops::Range;

use crate::http::{self, Head};

/// What a server is spoken to in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Protocol {
    /// Lines of so many bytes, with their delimiter, that come back.
    Echo { line_length: usize },
    /// So many bytes behind their length in ten digits, that come back likewise.
    Frames { length: usize },
    /// `GET /`, which any response answers that has a `Content-Length` and is always the same.
    Http(Head),
}

impl Protocol {
    /// Makes one request over a blocking stream, which shows that the server has accepted, and
    /// for HTTP what its response is. Those that follow are sent `depth` at a time.
    pub fn begin(
        &self,
        stream: &mut TcpStream,
        index: usize,
        depth: usize,
    ) -> io::Result<Dialogue> {
        match *self {
            Protocol::Echo { line_length } => {
                let line = line(line_length, index);
                begin_echo(stream, &line, 0, depth)
            }
            Protocol::Frames { length } => {
                let frame = frame(length, index);
                begin_echo(stream, &frame, FRAME_DIGITS, depth)
            }
            Protocol::Http(head) => {
                let request = head.request(stream.peer_addr()?);
                stream.write_all(&request)?;
                let response = http::learn(stream)?;
                let date = Change::Date(response.date);
                Ok(Dialogue::new(&request, &response.bytes, date, depth))
            }
        }
    }
}

/// The answer must be what was sent; what follows differs in the byte at `changes`.
fn begin_echo(
    stream: &mut TcpStream,
    request: &[u8],
    changes: usize,
    depth: usize,
) -> io::Result<Dialogue> {
    stream.write_all(request)?;
    let mut echo = vec![0; request.len()];
    stream.read_exact(&mut echo)?;
    if echo != request {
        return Err(wrong_answer());
    }
    let change = Change::ByteAt(changes);
    Ok(Dialogue::new(request, request, change, depth))
}

/// The requests that one connection sends at once, and how much of their answers has come.
#[derive(Clone, Debug)]
pub struct Dialogue {
    request: Vec<u8>,
    answer: Vec<u8>,
    /// How much of the answer was heard. At its end, nothing is owed.
    heard: usize,
    /// Bytes of the answer to one of the requests.
    answer_length: usize,
    depth: usize,
    change: Change,
}

/// In what a dialogue's exchanges differ.
#[derive(Clone, Debug)]
enum Change {
    /// In a byte of each request, so that the answer to one is not taken for the next one's.
    ByteAt(usize),
    /// In the bytes of the response where the date stands.
    Date(Range<usize>),
}

impl Dialogue {
    fn new(request: &[u8], answer: &[u8], change: Change, depth: usize) -> Dialogue {
        Dialogue {
            request: request.repeat(depth),
            answer: answer.repeat(depth),
            heard: answer.len() * depth,
            answer_length: answer.len(),
            depth,
            change,
        }
    }

    /// What to send next, all at once.
    pub fn next_request(&mut self) -> &[u8] {
        self.heard = 0;
        if let Change::ByteAt(offset) = self.change {
            for bytes in [&mut self.request, &mut self.answer] {
                for at in (offset..bytes.len()).step_by(self.answer_length) {
                    bytes[at] = if bytes[at] == b'z' { b'a' } else { b'z' };
                }
            }
        }
        &self.request
    }

    /// Takes what has been received; true when that was the last of the answers.
    pub fn hear(&mut self, piece: &[u8]) -> io::Result<bool> {
        if piece.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let end = self.heard + piece.len();
        let expected = self.answer.get_mut(self.heard..end);
        let expected = expected.ok_or_else(wrong_answer)?;
        if expected != piece
            && !self
                .change
                .explains(self.heard, self.answer_length, piece, expected)
        {
            return Err(wrong_answer());
        }
        self.heard = end;
        Ok(end == self.answer.len())
    }

    pub fn answer_length(&self) -> usize {
        self.answer_length
    }

    pub fn depth(&self) -> usize {
        self.depth
    }
}

impl Change {
    /// Whether the pieces differ in the date only; if so, the new one is expected from now on, and
    /// until the next second it costs one comparison.
    fn explains(&self, start: usize, length: usize, piece: &[u8], expected: &mut [u8]) -> bool {
        let Change::Date(date) = self else {
            return false;
        };
        for (index, (new, old)) in piece.iter().zip(expected).enumerate() {
            if new != old && !date.contains(&((start + index) % length)) {
                return false;
            }
            *old = *new;
        }
        true
    }
}

/// A line of `length` bytes with its delimiter, at most `LINE_LENGTH_MAX`. Lines with different
/// numbers differ if they have room for it.
fn line(length: usize, number: usize) -> Vec<u8> {
    let mut line = format!("a{number:08x} ").into_bytes();
    line.resize(length - 1, b'.');
    line.push(b'\n');
    line
}

/// `length` bytes behind the digits that say so. Frames with different numbers differ if they have
/// room for it.
fn frame(length: usize, number: usize) -> Vec<u8> {
    let mut frame = format!("{length:0FRAME_DIGITS$}a{number:08x} ").into_bytes();
    frame.resize(FRAME_DIGITS + length, b'.');
    frame
}

fn wrong_answer() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        "the server sent something else than expected",
    )
}

/// The longest line that the echo servers take, with its delimiter.
pub const LINE_LENGTH_MAX: usize = 4096;

/// How many digits the length of a frame has.
pub const FRAME_DIGITS: usize = 10;

/// The most bytes of a frame that the hand-written server takes.
pub const FRAME_LENGTH_MAX: usize = 4096 - FRAME_DIGITS;

/// The most requests that are sent at once: with the longest, what a new socket takes.
pub const DEPTH_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\nDate: 1\r\n\r\nHello";

    fn http(depth: usize) -> Dialogue {
        let date = RESPONSE.iter().position(|&byte| byte == b':').unwrap() + 2;
        let change = Change::Date(date..date + 1);
        let mut dialogue = Dialogue::new(b"GET / HTTP/1.1\r\n\r\n", RESPONSE, change, depth);
        dialogue.next_request();
        dialogue
    }

    fn altered(from: &str, to: &str) -> Vec<u8> {
        let response = std::str::from_utf8(RESPONSE).unwrap();
        assert!(response.contains(from));
        response.replace(from, to).into_bytes()
    }

    #[test]
    fn answer_is_not_complete_before_its_last_byte() {
        let mut dialogue = http(2);
        for _ in 0..2 * RESPONSE.len() - 1 {
            let next = [RESPONSE[dialogue.heard % RESPONSE.len()]];
            assert!(!dialogue.hear(&next).unwrap());
        }
        assert!(dialogue.hear(b"o").unwrap());
    }

    #[test]
    fn only_the_date_may_differ() {
        let mut dialogue = http(2);
        let both = [RESPONSE, &altered("Date: 1", "Date: 2")].concat();
        assert!(dialogue.hear(&both).unwrap());
        for (from, to) in [("200", "500"), ("Hello", "Jello"), ("Date: 1", "Date:11")] {
            assert!(http(1).hear(&altered(from, to)).is_err(), "{to} for {from}");
        }
    }

    #[test]
    fn surplus_and_early_end_are_errors() {
        assert!(http(1).hear(&[RESPONSE, b"H"].concat()).is_err());
        let mut dialogue = http(2);
        assert!(!dialogue.hear(RESPONSE).unwrap());
        assert!(dialogue.hear(b"").is_err());
    }

    #[test]
    fn frames_do_not_differ_in_their_length() {
        let frame = frame(100, 7);
        assert_eq!(frame.len(), FRAME_DIGITS + 100);
        let change = Change::ByteAt(FRAME_DIGITS);
        let mut dialogue = Dialogue::new(&frame, &frame, change, 2);
        let first = dialogue.next_request().to_vec();
        let second = dialogue.next_request().to_vec();
        assert_ne!(first, second);
        for request in [first, second] {
            assert!(request[110..].starts_with(b"0000000100"));
        }
    }

    #[test]
    fn answer_to_the_line_before_is_not_taken_for_an_echo() {
        let line = line(32, 7);
        let mut dialogue = Dialogue::new(&line, &line, Change::ByteAt(0), 2);
        let first = dialogue.next_request().to_vec();
        assert!(dialogue.hear(&first).unwrap());
        dialogue.next_request();
        assert!(dialogue.hear(&first).is_err());
    }
}
