//! A connection of the hand-written HTTP servers: one receive, one send of all its answers.
//!
//! A connection that waits for its next request owns no buffer. There are no timeouts.

use std::mem;
use std::os::fd::OwnedFd;

use crate::raw::server::{self, Connection, Ended};

/// Makes answers of requests, without regard to sockets.
pub trait Responder {
    /// A wait has ended, its requests are next.
    fn begin_turn(&mut self) {}

    /// Appends to `output` the answers to all requests of which `input` holds the head.
    fn respond(&mut self, input: &[u8], output: &mut Vec<u8>) -> Responded;
}

/// How far a responder has come.
pub struct Responded {
    /// Bytes of the input that are done with. More than it has if a body is still to come.
    pub taken: usize,
    /// The connection ends with the last answer.
    pub ends: bool,
}

/// What the connections of a server use in turn.
pub struct Shared<R> {
    responder: R,
    buffer: Vec<u8>,
    output: Vec<u8>,
}

impl<R: Responder> Shared<R> {
    pub fn new(responder: R) -> Shared<R> {
        Shared {
            responder,
            buffer: vec![0; server::RECEIVE_BUFFER],
            output: Vec::new(),
        }
    }
}

pub struct HttpConnection<R> {
    socket: OwnedFd,
    /// An incomplete head.
    unread: Vec<u8>,
    /// How much of a body is still to come, and nobody wants.
    skip: usize,
    /// What the socket refused. While there is any, nothing is received.
    pending: Vec<u8>,
    /// Ends when nothing is pending.
    ends: bool,
    responder: std::marker::PhantomData<R>,
}

impl<R: Responder> Connection for HttpConnection<R> {
    type Shared = Shared<R>;

    fn new(socket: OwnedFd) -> HttpConnection<R> {
        HttpConnection {
            socket,
            unread: Vec::new(),
            skip: 0,
            pending: Vec::new(),
            ends: false,
            responder: std::marker::PhantomData,
        }
    }

    fn begin_turn(shared: &mut Shared<R>) {
        shared.responder.begin_turn();
    }

    fn receive(&mut self, shared: &mut Shared<R>) -> Result<(), Ended> {
        let Some(mut input) = server::receive(&self.socket, &mut shared.buffer)? else {
            return Ok(());
        };
        if self.skip > 0 {
            let skipped = self.skip.min(input.len());
            self.skip -= skipped;
            input = &input[skipped..];
        }
        let mut joined = mem::take(&mut self.unread);
        if !joined.is_empty() {
            joined.extend_from_slice(input);
            input = &joined;
        }
        shared.output.clear();
        let responded = shared.responder.respond(input, &mut shared.output);
        self.ends = responded.ends;
        match input.get(responded.taken..) {
            Some(rest) => self.unread = rest.to_vec(),
            None => self.skip = responded.taken - input.len(),
        }
        self.send(&shared.output)
    }

    fn resume(&mut self, _shared: &mut Shared<R>) -> Result<(), Ended> {
        let pending = mem::take(&mut self.pending);
        self.send(&pending)
    }

    fn is_blocked(&self) -> bool {
        !self.pending.is_empty()
    }

    fn socket(&self) -> &OwnedFd {
        &self.socket
    }
}

impl<R> HttpConnection<R> {
    fn send(&mut self, data: &[u8]) -> Result<(), Ended> {
        if !data.is_empty() {
            let sent = server::send(&self.socket, data)?;
            self.pending = data[sent..].to_vec();
        }
        if self.ends && self.pending.is_empty() {
            return Err(Ended);
        }
        Ok(())
    }
}

/// The longest head. What a connection keeps is no more than this and one receive; what it has
/// pending, no more than the answers to that.
pub const HEAD_MAX: usize = 64 * 1024;
