//! A line echo server written by hand on epoll, without a framework: what the others are held against.
//!
//! It does the work of `loop { line = read_until(b"\n", 4096).await; write(&line).await }` and no
//! more: one `recv` when a line has arrived, one `send` for that line, no `epoll_ctl` unless the
//! client stops reading. A connection that waits for its next line owns no buffer.

use std::error::Error;
use std::mem;
use std::os::fd::OwnedFd;

use memchr::memchr;

use squall_benches::raw::server::{self, Connection, Ended};

fn main() -> Result<(), Box<dyn Error>> {
    server::serve::<Echo>(vec![0; server::RECEIVE_BUFFER])
}

struct Echo {
    socket: OwnedFd,
    /// An incomplete line; while the connection is blocked also the lines that follow.
    unread: Vec<u8>,
    /// What the socket refused. While there is any, nothing is received.
    pending: Vec<u8>,
}

impl Connection for Echo {
    /// What all connections receive into.
    type Shared = Vec<u8>;

    fn new(socket: OwnedFd) -> Echo {
        Echo {
            socket,
            unread: Vec::new(),
            pending: Vec::new(),
        }
    }

    fn receive(&mut self, buffer: &mut Vec<u8>) -> Result<(), Ended> {
        let Some(received) = server::receive(&self.socket, buffer)? else {
            return Ok(());
        };
        if self.unread.is_empty() {
            return self.echo(received, 0);
        }
        let searched = self.unread.len();
        let mut input = mem::take(&mut self.unread);
        input.extend_from_slice(received);
        self.echo(&input, searched)
    }

    fn resume(&mut self, _buffer: &mut Vec<u8>) -> Result<(), Ended> {
        let pending = mem::take(&mut self.pending);
        let sent = server::send(&self.socket, &pending)?;
        if sent < pending.len() {
            self.pending = pending[sent..].to_vec();
            return Ok(());
        }
        let unread = mem::take(&mut self.unread);
        self.echo(&unread, 0)
    }

    fn is_blocked(&self) -> bool {
        !self.pending.is_empty()
    }

    fn socket(&self) -> &OwnedFd {
        &self.socket
    }
}

impl Echo {
    /// Sends back every line of `input`, of which the first `searched` bytes hold no delimiter, and
    /// keeps the rest. A line longer than `LINE_MAX` ends the connection.
    fn echo(&mut self, mut input: &[u8], mut searched: usize) -> Result<(), Ended> {
        while let Some(end) = memchr(b'\n', &input[searched..]) {
            let (line, rest) = input.split_at(searched + end + 1);
            if line.len() > LINE_MAX {
                return Err(Ended);
            }
            let sent = server::send(&self.socket, line)?;
            (input, searched) = (rest, 0);
            if sent < line.len() {
                self.pending = line[sent..].to_vec();
                break;
            }
        }
        if !self.is_blocked() && input.len() >= LINE_MAX {
            return Err(Ended);
        }
        self.unread = input.to_vec();
        Ok(())
    }
}

/// The longest line, with its delimiter.
const LINE_MAX: usize = 4096;
