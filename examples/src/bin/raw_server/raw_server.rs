//! RawServer: listening sockets, connections and tasks for one thread, told to a handler.
//!
//! What it does otherwise than BitTorrent's, and why:
//!
//! - It accepts connections in batches, and rests when descriptors run out. The original took one
//!   per event, and slept for a second on any error, with every connection waiting.
//! - A task that adds a task cannot keep input out, and tasks of one moment run in order.
//! - A panic in a handler ends its own connection; one in a task, that task.
//! - Whoever ends a connection, however it ends: `connection_lost` comes once, with the reason.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::rc::Rc;
use std::time::Duration;

use ioloop::{Closed, Event, HandlerId, Interest, IoLoop, Remote};
use rustix::io::Errno;
use socket2::{Domain, Socket, Type};

use crate::single_socket::SingleSocket;

/// What is told of connections. Each may have a handler of its own: [`SingleSocket::set_handler`].
///
/// Calls come from the loop, never from inside `write` or `close`, so a handler is not entered
/// again while it runs. After it has closed a connection it hears of nothing but the loss.
pub trait Handler {
    /// A connection was accepted.
    fn external_connection_made(&self, _socket: &Rc<SingleSocket>) {}

    /// A connection of [`RawServer::start_connection`] is established.
    fn connection_started(&self, _socket: &Rc<SingleSocket>) {}

    /// Bytes have arrived.
    fn data_came_in(&self, _socket: &Rc<SingleSocket>, _data: &[u8]) {}

    /// The peer has nothing more to say, though it may still listen. Who wants to answer later
    /// replaces this; otherwise the connection ends when everything written has gone out.
    fn end_came_in(&self, socket: &Rc<SingleSocket>) {
        socket.close_when_flushed();
    }

    /// Everything written has gone out to the kernel, be it at once or after a while.
    fn connection_flushed(&self, _socket: &Rc<SingleSocket>) {}

    /// The connection is over, in good order or because of an error; or it never came about.
    fn connection_lost(&self, _socket: &Rc<SingleSocket>, _error: Option<&io::Error>) {}
}

/// The server of this thread.
pub struct RawServer {
    pub(super) io_loop: IoLoop,
    max_connections: usize,
    timeout: Duration,
    /// Bound; taken out when the loop begins to accept.
    listeners: RefCell<Vec<Rc<TcpListener>>>,
    accepting: RefCell<Vec<HandlerId>>,
    /// Every connection that is not closed.
    pub(super) sockets: RefCell<HashMap<HandlerId, Rc<SingleSocket>>>,
    /// The last attempt to accept failed for want of descriptors, and the log says so.
    starved: Cell<bool>,
    shutting_down: Cell<bool>,
}

impl RawServer {
    /// `timeout` ends connections, and attempts to connect, on which nothing moves in either
    /// direction for that long, or up to a quarter longer. Zero means never: then peers that
    /// vanish without a word stay until the process ends.
    pub fn new(max_connections: usize, timeout: Duration) -> Rc<RawServer> {
        Rc::new(RawServer {
            io_loop: IoLoop::current(),
            max_connections,
            timeout,
            listeners: RefCell::default(),
            accepting: RefCell::default(),
            sockets: RefCell::default(),
            starved: Cell::new(false),
            shutting_down: Cell::new(false),
        })
    }

    /// Listens on `address` from now on, and accepts once `listen_forever` runs. Returns the
    /// address with the port that was chosen if it was 0.
    pub fn bind(&self, address: SocketAddr) -> io::Result<SocketAddr> {
        let socket = new_socket(address)?;
        socket.set_reuse_address(true)?;
        let bound = socket.bind(&address.into());
        bound
            .and_then(|()| socket.listen(BACKLOG))
            .map_err(|error| {
                io::Error::new(error.kind(), format!("cannot listen on {address}: {error}"))
            })?;
        let listener = Rc::new(TcpListener::from(socket));
        self.listeners.borrow_mut().push(listener.clone());
        listener.local_addr()
    }

    /// Begins to connect. What is written meanwhile goes out once that has succeeded.
    ///
    /// # Errors
    /// What the system refuses at once; `handler` is then told nothing. Whatever fails later
    /// comes as `connection_lost`.
    pub fn start_connection(
        self: &Rc<Self>,
        address: SocketAddr,
        handler: Rc<dyn Handler>,
    ) -> io::Result<Rc<SingleSocket>> {
        let socket = new_socket(address)?;
        match socket.connect(&address.into()) {
            Err(error) if Errno::from_io_error(&error) != Some(Errno::INPROGRESS) => Err(error),
            _ => SingleSocket::add(self, socket.into(), address, handler, false),
        }
    }

    /// Calls `task` once, after `delay`; with no delay, in the next turn.
    pub fn add_task(&self, task: impl FnOnce() + 'static, delay: Duration) {
        self.io_loop.call_later(delay, task);
    }

    /// What other threads add tasks with.
    pub fn external_tasks(&self) -> ExternalTasks {
        ExternalTasks(self.io_loop.remote())
    }

    /// Accepts connections and runs the loop until [`shut_down`](RawServer::shut_down) is done.
    pub fn listen_forever(self: &Rc<Self>, handler: Rc<dyn Handler>) -> io::Result<()> {
        for listener in self.listeners.take() {
            let (server, handler) = (self.clone(), handler.clone());
            let accept = move |listener: &TcpListener, event: Event| {
                server.accept(listener, event.id, &handler);
            };
            let id = self.io_loop.add_handler(listener, Interest::READ, accept)?;
            self.accepting.borrow_mut().push(id);
        }
        if !self.timeout.is_zero() {
            self.scan_for_timeouts();
        }
        RUNNING.set(Some(self.clone()));
        self.io_loop.start();
        RUNNING.take();
        Ok(())
    }

    /// Stops accepting, closes each connection when what it has queued is sent, and ends
    /// `listen_forever` when none is left or `grace` is over. A second call ends it at once.
    pub fn shut_down(&self, grace: Duration) {
        for id in self.accepting.take() {
            self.io_loop.remove_handler(id);
        }
        let sockets = self.sockets();
        if self.shutting_down.replace(true) || sockets.is_empty() {
            return self.io_loop.stop();
        }
        for socket in sockets {
            socket.close_when_flushed();
        }
        let io_loop = self.io_loop.clone();
        self.add_task(move || io_loop.stop(), grace);
    }

    /// The connection of that id, unless it is over.
    pub fn socket(&self, id: HandlerId) -> Option<Rc<SingleSocket>> {
        self.sockets.borrow().get(&id).cloned()
    }

    fn sockets(&self) -> Vec<Rc<SingleSocket>> {
        self.sockets.borrow().values().cloned().collect()
    }

    /// A connection is over; perhaps it was the last that a shutdown waits for.
    pub(super) fn remove_socket(&self, id: HandlerId) {
        self.io_loop.remove_handler(id);
        let _removed = self.sockets.borrow_mut().remove(&id);
        if self.shutting_down.get() && self.sockets.borrow().is_empty() {
            self.io_loop.stop();
        }
    }

    fn accept(self: &Rc<Self>, listener: &TcpListener, id: HandlerId, handler: &Rc<dyn Handler>) {
        for _ in 0..ACCEPTS_PER_EVENT {
            // A handler may have called `shut_down` since the last one.
            if self.shutting_down.get() {
                return;
            }
            match listener.accept() {
                Ok((stream, peer)) => self.take_connection(stream, peer, handler),
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock => return self.starved.set(false),
                    // The peer gave up while it waited in the queue.
                    ErrorKind::ConnectionAborted => {}
                    _ => return self.pause_accepting(id, &error),
                },
            }
        }
    }

    /// At the limit a connection is accepted and closed: left in the queue, its peer would wait.
    fn take_connection(
        self: &Rc<Self>,
        stream: TcpStream,
        peer: SocketAddr,
        handler: &Rc<dyn Handler>,
    ) {
        if self.sockets.borrow().len() >= self.max_connections {
            return tracing::debug!(%peer, "closed at once: the limit of connections is reached");
        }
        // What is written in a turn goes out together, so there is nothing to wait for more for.
        let _ = stream.set_nodelay(true);
        let added = stream
            .set_nonblocking(true)
            .and_then(|()| SingleSocket::add(self, stream, peer, handler.clone(), true));
        match added {
            Ok(socket) => socket.tell(|handler| handler.external_connection_made(&socket)),
            Err(error) => tracing::warn!(%peer, %error, "cannot watch a connection"),
        }
    }

    /// Out of descriptors, as a rule. The listener stays ready, so watching it would spin.
    fn pause_accepting(&self, id: HandlerId, error: &io::Error) {
        if !self.starved.replace(true) {
            tracing::warn!(%error, "cannot accept connections; trying every {ACCEPT_BACK_OFF:?}");
        }
        // Both updates fail only if a shutdown has removed the listener.
        let _ = self.io_loop.update_handler(id, Interest::NONE);
        let io_loop = self.io_loop.clone();
        let resume = move || drop(io_loop.update_handler(id, Interest::READ));
        self.add_task(resume, ACCEPT_BACK_OFF);
    }

    fn scan_for_timeouts(self: &Rc<Self>) {
        let server = self.clone();
        let again = move || server.scan_for_timeouts();
        self.add_task(again, self.timeout / SCANS_PER_TIMEOUT);
        let now = self.io_loop.now();
        for socket in self.sockets() {
            if now.saturating_duration_since(socket.last_hit.get()) >= self.timeout {
                socket.end(Some(ErrorKind::TimedOut.into()));
            }
        }
    }
}

/// Adds tasks to the server from other threads.
pub struct ExternalTasks(Remote);

impl ExternalTasks {
    /// Calls `task` on the server's thread, in the next turn. Connections cannot travel to other
    /// threads; their ids can, and [`RawServer::socket`] finds them again.
    ///
    /// # Errors
    /// [`Closed`] if the server's loop is closed.
    pub fn add_task(
        &self,
        task: impl FnOnce(&Rc<RawServer>) + Send + 'static,
    ) -> Result<(), Closed> {
        self.0.add_callback(|| {
            if let Some(server) = RUNNING.with_borrow(Clone::clone) {
                task(&server);
            }
        })
    }
}

thread_local! {
    /// The server whose `listen_forever` runs on this thread, where callbacks from other threads
    /// find it: they are `Send`, so they cannot hold it.
    static RUNNING: RefCell<Option<Rc<RawServer>>> = const { RefCell::new(None) };
}

/// Accepted connections inherit the type of service; a system that refuses it serves as well.
fn new_socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    if address.is_ipv4() {
        let _ = socket.set_tos_v4(TYPE_OF_SERVICE);
    }
    Ok(socket)
}

/// BitTorrent 3.4's: class selector 1, below what people wait for.
const TYPE_OF_SERVICE: u32 = 32;

/// As long as the system allows, which cuts it to its own maximum.
const BACKLOG: i32 = 4096;

/// A storm of connections must not keep those that are established waiting.
const ACCEPTS_PER_EVENT: usize = 64;

/// Long enough not to spin, short enough that nobody notices once descriptors are free again.
const ACCEPT_BACK_OFF: Duration = Duration::from_millis(100);

/// Connections are cut at most a quarter of the timeout late.
const SCANS_PER_TIMEOUT: u32 = 4;
