//! One connection that is full all the time, in one direction or the other.
//!
//! A client asks for what follows with a letter and eight digits: `d00002731` to be sent so many
//! pieces of 64 KiB, `u00002731` to send them itself and be told when all have arrived.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

use crate::client;
use crate::load::{Limit, Progress, Slice, Workload};

/// What the bytes do, as the server sees it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Direction {
    Sent,
    Received,
}

impl Direction {
    /// From what a client asks for.
    pub fn parse(request: &[u8; REQUEST_LENGTH]) -> Option<(Direction, usize)> {
        let direction = match request[0] {
            b'd' => Direction::Sent,
            b'u' => Direction::Received,
            _ => return None,
        };
        let pieces: usize = std::str::from_utf8(&request[1..]).ok()?.parse().ok()?;
        Some((direction, pieces * PIECE))
    }

    fn request(self) -> String {
        let letter = match self {
            Direction::Sent => 'd',
            Direction::Received => 'u',
        };
        format!("{letter}{PIECES_PER_SLICE:08}")
    }
}

/// A slice is so many pieces, whatever the limit; each counts as a request.
pub struct Bulk {
    stream: TcpStream,
    direction: Direction,
    buffer: Vec<u8>,
}

impl Bulk {
    pub fn open(server: SocketAddr, direction: Direction) -> io::Result<Bulk> {
        let stream = client::connect(server, 0)?;
        stream.set_nonblocking(true)?;
        Ok(Bulk {
            stream,
            direction,
            buffer: vec![7; PIECE],
        })
    }
}

impl Workload for Bulk {
    fn run(&mut self, limit: &Limit) -> io::Result<Slice> {
        let started = Instant::now();
        let mut progress = Progress::new(limit, started);
        self.stream.write_all(self.direction.request().as_bytes())?;
        let mut left = PIECES_PER_SLICE * PIECE;
        // Without sleeping: see `poll` in `load.rs`.
        while left > 0 {
            let room = left.min(PIECE);
            let moved = match self.direction {
                Direction::Sent => self.stream.read(&mut self.buffer[..room]),
                Direction::Received => self.stream.write(&self.buffer[..room]),
            };
            match moved {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => {
                    left -= count;
                    progress.last_answer = Instant::now();
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => progress.check_patience()?,
                Err(error) => return Err(error),
            }
        }
        if self.direction == Direction::Received {
            self.stream.set_nonblocking(false)?;
            self.stream
                .read_exact(&mut self.buffer[..ACKNOWLEDGEMENT.len()])?;
            self.stream.set_nonblocking(true)?;
        }
        progress.answer(PIECES_PER_SLICE as u64, started, Instant::now());
        Ok(progress.finish())
    }

    fn answer_length(&self) -> usize {
        PIECE
    }
}

/// What is written at a time.
pub const PIECE: usize = 64 * 1024;

pub const REQUEST_LENGTH: usize = 9;

/// When everything has arrived.
pub const ACKNOWLEDGEMENT: &[u8] = b".";

/// In 24 rounds that makes 4 GiB.
const PIECES_PER_SLICE: usize = 2731;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_says_direction_and_length() {
        for direction in [Direction::Sent, Direction::Received] {
            let request = direction.request().into_bytes().try_into().unwrap();
            let expected = (direction, PIECES_PER_SLICE * PIECE);
            assert_eq!(Direction::parse(&request), Some(expected));
        }
        assert_eq!(Direction::parse(b"x00000001"), None);
        assert_eq!(Direction::parse(b"d0000000x"), None);
    }
}
