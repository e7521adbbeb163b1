//! Sends and receives as fast as it can, written by hand on epoll: what the others are held against
//! on a connection that is full all the time.

use std::error::Error;
use std::os::fd::OwnedFd;

use squall_benches::bulk::{ACKNOWLEDGEMENT, Direction, PIECE, REQUEST_LENGTH};
use squall_benches::raw::server::{self, Connection, Ended};

fn main() -> Result<(), Box<dyn Error>> {
    server::serve::<Bulk>(Shared {
        input: vec![0; PIECE],
        output: vec![7; PIECE],
    })
}

struct Shared {
    input: Vec<u8>,
    output: Vec<u8>,
}

struct Bulk {
    socket: OwnedFd,
    /// A request that is not complete.
    request: Vec<u8>,
    to_send: usize,
    to_receive: usize,
}

impl Connection for Bulk {
    type Shared = Shared;

    fn new(socket: OwnedFd) -> Bulk {
        Bulk {
            socket,
            request: Vec::new(),
            to_send: 0,
            to_receive: 0,
        }
    }

    fn receive(&mut self, shared: &mut Shared) -> Result<(), Ended> {
        let room = match self.to_receive {
            0 => REQUEST_LENGTH - self.request.len(),
            left => left.min(PIECE),
        };
        let Some(received) = server::receive(&self.socket, &mut shared.input[..room])? else {
            return Ok(());
        };
        if self.to_receive > 0 {
            self.to_receive -= received.len();
            if self.to_receive == 0 {
                server::send(&self.socket, ACKNOWLEDGEMENT)?;
            }
            return Ok(());
        }
        self.request.extend_from_slice(received);
        let Ok(request) = self.request.as_slice().try_into() else {
            return Ok(());
        };
        match Direction::parse(request).ok_or(Ended)? {
            (Direction::Sent, bytes) => self.to_send = bytes,
            (Direction::Received, bytes) => self.to_receive = bytes,
        }
        self.request.clear();
        self.resume(shared)
    }

    fn resume(&mut self, shared: &mut Shared) -> Result<(), Ended> {
        while self.to_send > 0 {
            let piece = &shared.output[..self.to_send.min(PIECE)];
            let sent = server::send(&self.socket, piece)?;
            self.to_send -= sent;
            if sent < piece.len() {
                break;
            }
        }
        Ok(())
    }

    fn is_blocked(&self) -> bool {
        self.to_send > 0
    }

    fn socket(&self) -> &OwnedFd {
        &self.socket
    }
}
