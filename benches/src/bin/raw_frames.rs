//! A server of frames written by hand on epoll, without a framework: ten digits and as many bytes
//! come back likewise.
//!
//! It does the work of `loop { frame = read_with(decimal_prefixed(10, max)).await; write(&frame) }`
//! and no more, as `raw_echo` does it for lines: one `recv` when a frame has arrived, one `send` of
//! its answer, whose length is written anew. It has no timeouts.

use std::error::Error;
use std::mem;
use std::os::fd::OwnedFd;

use squall_benches::dialogue::{FRAME_DIGITS, FRAME_LENGTH_MAX};
use squall_benches::raw::server::{self, Connection, Ended};

fn main() -> Result<(), Box<dyn Error>> {
    server::serve::<Frames>(Shared {
        buffer: vec![0; server::RECEIVE_BUFFER],
        answer: Vec::with_capacity(FRAME_DIGITS + FRAME_LENGTH_MAX),
    })
}

struct Frames {
    socket: OwnedFd,
    /// An incomplete frame; while the connection is blocked also the frames that follow.
    unread: Vec<u8>,
    /// What the socket refused. While there is any, nothing is received.
    pending: Vec<u8>,
}

/// What all connections receive into, and make their answers in.
struct Shared {
    buffer: Vec<u8>,
    answer: Vec<u8>,
}

impl Connection for Frames {
    type Shared = Shared;

    fn new(socket: OwnedFd) -> Frames {
        Frames {
            socket,
            unread: Vec::new(),
            pending: Vec::new(),
        }
    }

    fn receive(&mut self, shared: &mut Shared) -> Result<(), Ended> {
        let Some(received) = server::receive(&self.socket, &mut shared.buffer)? else {
            return Ok(());
        };
        if self.unread.is_empty() {
            return self.serve(received, &mut shared.answer);
        }
        let mut input = mem::take(&mut self.unread);
        input.extend_from_slice(received);
        self.serve(&input, &mut shared.answer)
    }

    fn resume(&mut self, shared: &mut Shared) -> Result<(), Ended> {
        let pending = mem::take(&mut self.pending);
        let sent = server::send(&self.socket, &pending)?;
        if sent < pending.len() {
            self.pending = pending[sent..].to_vec();
            return Ok(());
        }
        let unread = mem::take(&mut self.unread);
        self.serve(&unread, &mut shared.answer)
    }

    fn is_blocked(&self) -> bool {
        !self.pending.is_empty()
    }

    fn socket(&self) -> &OwnedFd {
        &self.socket
    }
}

impl Frames {
    /// Answers every frame that is all in `input`, and keeps the rest.
    fn serve(&mut self, mut input: &[u8], answer: &mut Vec<u8>) -> Result<(), Ended> {
        while let Some(length) = length_of_first(input)? {
            let Some(rest) = input.get(FRAME_DIGITS + length..) else {
                break;
            };
            let request = &input[FRAME_DIGITS..][..length];
            answer.clear();
            answer.extend_from_slice(&digits(length));
            answer.extend_from_slice(request);
            let sent = server::send(&self.socket, answer)?;
            input = rest;
            if sent < answer.len() {
                self.pending = answer[sent..].to_vec();
                break;
            }
        }
        self.unread = input.to_vec();
        Ok(())
    }
}

/// What the digits say, if they are all here. Who sends something else than a digit, no byte at
/// all, or too many, is let go.
#[inline]
fn length_of_first(input: &[u8]) -> Result<Option<usize>, Ended> {
    let digits = &input[..input.len().min(FRAME_DIGITS)];
    if !digits.iter().all(u8::is_ascii_digit) {
        return Err(Ended);
    }
    if digits.len() < FRAME_DIGITS {
        return Ok(None);
    }
    let add = |sum: u64, digit: &u8| sum * 10 + u64::from(digit - b'0');
    match digits.iter().fold(0, add) {
        length @ 1.. if length <= FRAME_LENGTH_MAX as u64 => Ok(Some(length as usize)),
        _ => Err(Ended),
    }
}

#[inline]
fn digits(mut length: usize) -> [u8; FRAME_DIGITS] {
    let mut digits = [b'0'; FRAME_DIGITS];
    for digit in digits.iter_mut().rev() {
        *digit += (length % 10) as u8;
        length /= 10;
    }
    digits
}
