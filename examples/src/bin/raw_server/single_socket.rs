//! SingleSocket: one connection, which queues what is written and tells its handler the rest.
//!
//! `write` and `close` only take note. At the end of the turn the socket *settles*: it sends,
//! tells of what has changed and sets what it is watched for. So a handler is never entered from
//! its own calls, several writes make one system call, and `connection_flushed` comes in any case.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::{Duration, Instant};

use ioloop::{Event, HandlerId, Interest, Notice, Notify, Source};

use crate::raw_server::{Handler, RawServer};

/// A connection of a [`RawServer`]. Its descriptor is closed when the last `Rc` is dropped, so let
/// go of it in `connection_lost`.
pub struct SingleSocket {
    pub server: Rc<RawServer>,
    pub peer: SocketAddr,
    stream: TcpStream,
    /// Set before `add` returns.
    id: OnceCell<HandlerId>,
    handler: RefCell<Rc<dyn Handler>>,
    phase: Cell<Phase>,
    /// False until `start_connection` has succeeded: nothing is sent or read.
    connected: Cell<bool>,
    input_ended: Cell<bool>,
    output: RefCell<VecDeque<u8>>,
    /// What goes to `connection_lost`. If it is set earlier, output has failed: nothing more is
    /// queued, and the loss is told when what had arrived before is read.
    failure: RefCell<Option<io::Error>>,
    /// When bytes last moved, in either direction.
    pub(super) last_hit: Cell<Instant>,
    /// `settle` will be called, or runs; once the loss is told, for ever.
    settling: Cell<bool>,
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Phase {
    Open,
    /// Sends what is queued, then half-closes. From here on, input is discarded.
    Closing,
    /// Has half-closed, and waits for the peer to do so: closing over unread input would make a
    /// reset, which destroys what the peer has not read yet.
    Lingering,
    Closed,
}

impl SingleSocket {
    /// Makes a connection known to the loop and to the server.
    pub(super) fn add(
        server: &Rc<RawServer>,
        stream: TcpStream,
        peer: SocketAddr,
        handler: Rc<dyn Handler>,
        connected: bool,
    ) -> io::Result<Rc<SingleSocket>> {
        let socket = Rc::new(SingleSocket {
            server: server.clone(),
            peer,
            stream,
            id: OnceCell::new(),
            handler: RefCell::new(handler),
            phase: Cell::new(Phase::Open),
            connected: Cell::new(connected),
            input_ended: Cell::new(false),
            output: RefCell::default(),
            failure: RefCell::default(),
            last_hit: Cell::new(server.io_loop.now()),
            settling: Cell::new(false),
        });
        let id = server
            .io_loop
            .add_source(socket.clone(), socket.interest())?;
        socket.id.get_or_init(|| id);
        server.sockets.borrow_mut().insert(id, socket.clone());
        Ok(socket)
    }

    /// Queues `data`, which is sent at the end of the turn. Without effect on a connection that
    /// is closed or closing. One that has more than [`OUTPUT_MAX`] queued is lost.
    pub fn write(self: &Rc<Self>, data: &[u8]) {
        if self.phase.get() != Phase::Open || self.failure.borrow().is_some() {
            return;
        }
        self.output.borrow_mut().extend(data);
        if self.output.borrow().len() > OUTPUT_MAX {
            let message = "more output queued than the limit allows";
            return self.end(Some(io::Error::new(ErrorKind::StorageFull, message)));
        }
        self.settle_later();
    }

    /// Closes now, discarding what is queued. The original told no one of that; here
    /// `connection_lost` comes as for any other end.
    pub fn close(self: &Rc<Self>) {
        self.end(None);
    }

    /// Closes as soon as everything written has gone out, and in a way that lets the peer read it
    /// all. Input is discarded from here on.
    pub fn close_when_flushed(self: &Rc<Self>) {
        if self.phase.get() == Phase::Open {
            self.phase.set(Phase::Closing);
            self.settle_later();
        }
    }

    /// From the next call on, `handler` is told of this connection.
    pub fn set_handler(&self, handler: Rc<dyn Handler>) {
        let _previous = self.handler.replace(handler);
    }

    /// Whether everything written has gone out to the kernel.
    pub fn is_flushed(&self) -> bool {
        self.output.borrow().is_empty()
    }

    /// Names the connection; unlike the connection itself, also on other threads.
    pub fn id(&self) -> HandlerId {
        *self.id.get().expect("`add` sets it before it returns")
    }

    /// Calls the handler. If it panics, that ends this connection and nothing else.
    pub(super) fn tell(self: &Rc<Self>, call: impl FnOnce(&dyn Handler)) {
        let handler = self.handler.borrow().clone();
        // No borrow of the server's or the socket's state is alive here, so both are whole; what
        // the handler has broken of its own is lost with the connection.
        if catch_unwind(AssertUnwindSafe(|| call(&*handler))).is_err() {
            tracing::error!(peer = %self.peer, "a handler panicked; its connection is closed");
            self.end(Some(io::Error::other("the handler panicked")));
        }
    }

    /// Ends the connection; the handler hears of it when the socket settles.
    pub(super) fn end(self: &Rc<Self>, error: Option<io::Error>) {
        if self.phase.replace(Phase::Closed) == Phase::Closed {
            return;
        }
        if let Some(error) = error {
            self.failure.borrow_mut().get_or_insert(error);
        }
        self.output.take();
        // The peer sees the end now, also if somebody still holds this.
        let _ = self.stream.shutdown(Shutdown::Both);
        self.server.remove_socket(self.id());
        self.settle_later();
    }

    fn settle_later(self: &Rc<Self>) {
        if !self.settling.replace(true) {
            self.server.io_loop.notify_at_end_of_turn(self.clone());
        }
    }

    fn settle(self: &Rc<Self>) {
        if self.connected.get() && !self.is_flushed() {
            self.send();
        }
        if self.phase.get() == Phase::Closing && self.connected.get() && self.is_flushed() {
            self.half_close();
        }
        if self.phase.get() != Phase::Closed {
            let io_loop = &self.server.io_loop;
            if let Err(error) = io_loop.update_handler(self.id(), self.interest()) {
                self.end(Some(error));
            }
        }
        if self.phase.get() == Phase::Closed {
            let failure = self.failure.take();
            return self.tell(|handler| handler.connection_lost(self, failure.as_ref()));
        }
        self.settling.set(false);
    }

    /// One attempt per turn: what the kernel does not take waits until there is room.
    fn send(self: &Rc<Self>) {
        let result = (&self.stream).write(self.output.borrow().as_slices().0);
        match result {
            Ok(count) => {
                self.output.borrow_mut().drain(..count);
                self.last_hit.set(self.server.io_loop.now());
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return self.output_failed(error),
        }
        if self.is_flushed() {
            // Idle connections hold no memory for output.
            self.output.take();
            if self.phase.get() == Phase::Open {
                self.tell(|handler| handler.connection_flushed(self));
            }
        }
    }

    /// The peer is gone, but what it sent before may not be read yet: the loss can wait for that.
    fn output_failed(self: &Rc<Self>, error: io::Error) {
        self.output.take();
        self.failure.replace(Some(error));
        if self.input_ended.get() {
            self.end(None);
        }
    }

    fn half_close(self: &Rc<Self>) {
        if self.input_ended.get() || self.stream.shutdown(Shutdown::Write).is_err() {
            return self.end(None);
        }
        self.phase.set(Phase::Lingering);
        let socket = Rc::downgrade(self);
        let give_up = move || {
            if let Some(socket) = socket.upgrade() {
                socket.close();
            }
        };
        self.server.add_task(give_up, LINGER);
    }

    fn finish_connecting(self: &Rc<Self>) {
        match self.stream.take_error() {
            Ok(None) => {
                self.connected.set(true);
                self.last_hit.set(self.server.io_loop.now());
                self.settle_later();
                self.tell(|handler| handler.connection_started(self));
            }
            Ok(Some(error)) | Err(error) => self.end(Some(error)),
        }
    }

    /// One read per event: under level-triggering the rest comes in the next turn, and a loss
    /// after what had arrived before it.
    fn read(self: &Rc<Self>) {
        let mut buffer = [0; RECEIVE_MAX];
        match (&self.stream).read(&mut buffer) {
            Ok(0) => self.input_has_ended(),
            Ok(count) => {
                self.last_hit.set(self.server.io_loop.now());
                if self.phase.get() == Phase::Open {
                    self.tell(|handler| handler.data_came_in(self, &buffer[..count]));
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => self.end(Some(error)),
        }
    }

    fn input_has_ended(self: &Rc<Self>) {
        self.input_ended.set(true);
        self.settle_later();
        match self.phase.get() {
            Phase::Open if self.failure.borrow().is_none() => {
                self.tell(|handler| handler.end_came_in(self));
            }
            // What is queued still goes out.
            Phase::Closing => {}
            _ => self.end(None),
        }
    }

    /// A peer that does not read is not read from.
    fn reads(&self) -> bool {
        let may_read = self.connected.get() && !self.input_ended.get();
        may_read && self.output.borrow().len() <= OUTPUT_HIGH
    }

    /// The end of an attempt to connect shows as room to write.
    fn interest(&self) -> Interest {
        let writes = !self.connected.get() || !self.is_flushed();
        match (self.reads(), writes) {
            (true, true) => Interest::BOTH,
            (true, false) => Interest::READ,
            (false, true) => Interest::WRITE,
            (false, false) => Interest::NONE,
        }
    }
}

impl AsFd for SingleSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

impl Source for SingleSocket {
    /// A hang-up counts as both directions, so that reading and writing find out what it was.
    fn ready(self: Rc<Self>, event: Event) {
        if !self.connected.get() {
            return self.finish_connecting();
        }
        if event.readable && self.reads() {
            self.read();
        }
        if event.writable {
            self.settle_later();
        }
    }
}

impl Notify for SingleSocket {
    fn notify(self: Rc<Self>, _: Notice) {
        self.settle();
    }
}

/// While more than this is queued, nothing more is read: enough to keep a fast network busy. Two
/// sides that both send so much without reading wait for each other until the timeout.
const OUTPUT_HIGH: usize = 256 * 1024;

/// What a handler that goes on writing can cost. Several times the largest frame or page here, of
/// which one beyond [`OUTPUT_HIGH`] may be queued.
const OUTPUT_MAX: usize = 4 * 1024 * 1024;

/// BitTornado's: a few packets more than a fast peer sends within a turn.
const RECEIVE_MAX: usize = 32 * 1024;

/// How long a peer may take to read the last bytes and close: several retransmissions.
const LINGER: Duration = Duration::from_secs(2);
