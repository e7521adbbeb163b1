//! The server: listening sockets, a handler, limits, and the way to an orderly end.

use std::cell::{Cell, RefCell};
use std::fmt::{self, Display};
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use ioloop::{IoLoop, timeout};
use iostream::{Address, IoStream};
use socket2::SockRef;

use crate::accept::{AcceptHandle, add_accept_handler};
use crate::bind::{Listener, bind_sockets};
use crate::bind_options::BindOptions;
use crate::connection::Connection;
use crate::connections::Connections;
use crate::handler::StreamHandler;
use crate::processes::{HeldSignals, Role, fork_and};
use crate::report::report;
use crate::settings::{Settings, WhenFull};

/// A TCP server: give it a handler, tell it where to listen.
///
/// ```no_run
/// use tcpserver::{BoxError, Connection, IoStream, TcpServer};
///
/// async fn echo(mut stream: IoStream, _: Connection) -> Result<(), BoxError> {
///     loop {
///         let line = stream.read_until(b"\n", 4096).await?;
///         stream.write(&line).await?;
///     }
/// }
///
/// fn main() -> Result<(), BoxError> {
///     TcpServer::new(echo).run("127.0.0.1:8888")
/// }
/// ```
///
/// A server is a handle: clones are the same server. There are three ways to start it, as in
/// Tornado: [`run`](TcpServer::run) does everything; [`listen`](TcpServer::listen), any number of
/// times, on a loop that you run; [`bind`](TcpServer::bind) before, and
/// [`start`](TcpServer::start) after what must happen in between, such as dropping privileges.
#[doc(alias = "TCPServer")]
pub struct TcpServer<H> {
    server: Rc<Server<H>>,
}

struct Server<H> {
    handler: H,
    settings: Settings,
    connections: Rc<Connections>,
    /// Bound, not started.
    bound: RefCell<Vec<Listener>>,
    accepting: RefCell<Vec<AcceptHandle>>,
    /// Accepting is paused because the limit is reached.
    is_full: Cell<bool>,
}

/// How a [`shutdown`](TcpServer::shutdown) went.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Drained {
    /// Connections that ended by themselves within the grace period.
    pub finished: usize,
    /// Connections that were still there at its end, and were cut.
    pub cut: usize,
}

impl<H: StreamHandler> TcpServer<H> {
    /// A server that handles connections with `handler`. Makes no loop.
    ///
    /// ```
    /// # use tcpserver::{BoxError, Connection, IoStream, TcpServer};
    /// # async fn echo(_: IoStream, _: Connection) -> Result<(), BoxError> { Ok(()) }
    /// let server = TcpServer::new(echo);
    /// ```
    pub fn new(handler: H) -> TcpServer<H> {
        let server = Server {
            handler,
            settings: Settings::default(),
            connections: Rc::default(),
            bound: RefCell::default(),
            accepting: RefCell::default(),
            is_full: Cell::new(false),
        };
        TcpServer {
            server: Rc::new(server),
        }
    }

    /// Listens on `address` and accepts from now on, on this thread's loop. May be called several
    /// times. Says where it listens, with the port that the system chose if zero was asked for.
    ///
    /// # Errors
    /// Those of [`bind_sockets`] and of [`add_sockets`](TcpServer::add_sockets).
    ///
    /// ```
    /// # use tcpserver::{BoxError, Connection, IoStream, TcpServer};
    /// # async fn echo(_: IoStream, _: Connection) -> Result<(), BoxError> { Ok(()) }
    /// # fn main() -> std::io::Result<()> {
    /// let server = TcpServer::new(echo);
    /// for address in server.listen("127.0.0.1:0")? {
    ///     println!("listening on {address}");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn listen(&self, address: impl Display) -> io::Result<Vec<Address>> {
        self.add_sockets(bind_sockets(address, &BindOptions::new())?)
    }

    /// Accepts connections from sockets that listen already: from [`bind_sockets`],
    /// [`bind_unix_socket`](crate::bind_unix_socket), or inherited. Says where they listen.
    ///
    /// # Errors
    /// What the system says when it refuses to watch a socket.
    ///
    /// ```
    /// # use tcpserver::{BoxError, Connection, IoStream, TcpServer};
    /// # async fn echo(_: IoStream, _: Connection) -> Result<(), BoxError> { Ok(()) }
    /// use tcpserver::{BindOptions, bind_sockets};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let options = BindOptions::new().backlog(4096);
    /// TcpServer::new(echo).add_sockets(bind_sockets("127.0.0.1:0", &options)?)?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn add_sockets(&self, listeners: Vec<Listener>) -> io::Result<Vec<Address>> {
        let server = &self.server;
        let changed = Rc::downgrade(server);
        server.connections.set_on_change(Rc::new(move || {
            if let Some(server) = changed.upgrade() {
                server.hold_if_full();
            }
        }));
        let mut handles = Vec::new();
        for listener in listeners {
            // What is accepted inherits it, which saves a system call per connection.
            let _ = SockRef::from(&listener).set_tcp_nodelay(true);
            let this = TcpServer {
                server: Rc::clone(server),
            };
            let handle = add_accept_handler(listener, move |connection, peer| {
                // At once, without the courtesies of a stream: those would keep the descriptor.
                if !this.server.refuses() {
                    this.begin(peer, || IoStream::from_socket(connection));
                }
            })?;
            handles.push(handle);
        }
        let addresses = handles.iter().map(|handle| handle.address().clone());
        let addresses = addresses.collect();
        server.accepting.borrow_mut().extend(handles);
        server.hold_if_full();
        Ok(addresses)
    }

    /// Opens listening sockets on `address` without accepting, and makes no loop:
    /// [`start`](TcpServer::start) accepts. May be called several times. Says where it listens,
    /// with the port that the system chose if zero was asked for.
    ///
    /// # Errors
    /// Those of [`bind_sockets`].
    ///
    /// ```
    /// # use tcpserver::{BoxError, Connection, IoStream, TcpServer};
    /// # async fn echo(_: IoStream, _: Connection) -> Result<(), BoxError> { Ok(()) }
    /// # fn main() -> std::io::Result<()> {
    /// let server = TcpServer::new(echo);
    /// println!("listening on {}", server.bind("127.0.0.1:0")?[0]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn bind(&self, address: impl Display) -> io::Result<Vec<Address>> {
        let listeners = bind_sockets(address, &BindOptions::new())?;
        let addresses = listeners.iter().map(|listener| listener.address().clone());
        let addresses = addresses.collect();
        self.server.bound.borrow_mut().extend(listeners);
        Ok(addresses)
    }

    /// Accepts from what [`bind`](TcpServer::bind) has opened, in so many processes, on the loop
    /// of each one's main thread.
    ///
    /// With one process, nothing is forked: this one is [`Role::Worker(0)`](Role::Worker), which
    /// accepts from now on. With another number, zero and `None` for as many as there are
    /// processors, they are forked as [`fork_processes`](crate::fork_processes) does; it returns in
    /// each worker at once, and in the parent when all workers have ended. The parent keeps the
    /// sockets open until no worker is started any more, so that nobody is refused while one is
    /// replaced.
    ///
    /// # Errors
    /// Those of [`add_sockets`](TcpServer::add_sockets), and of
    /// [`fork_processes`](crate::fork_processes) unless there is to be one process.
    ///
    /// ```no_run
    /// # use tcpserver::{BoxError, Connection, IoStream, Role, TcpServer};
    /// # async fn echo(_: IoStream, _: Connection) -> Result<(), BoxError> { Ok(()) }
    /// fn main() -> Result<(), BoxError> {
    ///     let server = TcpServer::new(echo);
    ///     server.bind("127.0.0.1:8888")?;
    ///     // Drop privileges here.
    ///     match server.start(0, None)? {
    ///         Role::Worker(_) => server.serve(),
    ///         Role::Parent => Ok(()),
    ///     }
    /// }
    /// ```
    pub fn start(
        &self,
        processes: impl Into<Option<usize>>,
        max_restarts: impl Into<Option<usize>>,
    ) -> io::Result<Role> {
        let (role, _) = self.start_and(processes.into(), max_restarts.into(), || {})?;
        Ok(role)
    }

    /// As [`start`](TcpServer::start); a parent calls `forked` when all workers run, and a worker's
    /// signals wait while it holds them.
    pub(crate) fn start_and(
        &self,
        processes: Option<usize>,
        max_restarts: Option<usize>,
        forked: impl FnOnce(),
    ) -> io::Result<(Role, Option<HeldSignals>)> {
        let (role, held) = match processes {
            Some(1) => (Role::Worker(0), None),
            _ => {
                let (role, held) = fork_and(processes, max_restarts, forked, || self.stop())?;
                (role, Some(held))
            }
        };
        match role {
            Role::Worker(_) => {
                let bound = self.server.bound.take();
                self.add_sockets(bound)?;
            }
            Role::Parent => self.stop(),
        }
        Ok((role, held))
    }

    /// Connects to the server in memory, for tests: limits, draining and all, in virtual time.
    ///
    /// ```
    /// # use std::time::Duration;
    /// use tcpserver::{BoxError, Connection, IoStream, TcpServer};
    ///
    /// async fn until_drained(_stream: IoStream, connection: Connection) -> Result<(), BoxError> {
    ///     connection.draining().await;
    ///     Ok(())
    /// }
    ///
    /// ioloop::testing::run(async {
    ///     let server = TcpServer::new(until_drained);
    ///     let client = server.connect_in_memory();
    ///     let drained = server.shutdown(Duration::from_secs(5)).await;
    ///     assert_eq!((drained.finished, drained.cut), (1, 0));
    /// });
    /// ```
    pub fn connect_in_memory(&self) -> IoStream {
        let (client, stream) = IoStream::pair();
        if self.server.refuses() {
            stream.abort();
        } else {
            self.begin(Address::Memory, || stream);
        }
        client
    }

    /// Stops accepting and closes the listening sockets. Connections go on. A second call does
    /// nothing; it may be called anywhere, also in a handler.
    ///
    /// ```
    /// # use tcpserver::{BoxError, Connection, IoStream, TcpServer};
    /// # async fn echo(_: IoStream, _: Connection) -> Result<(), BoxError> { Ok(()) }
    /// # fn main() -> std::io::Result<()> {
    /// let server = TcpServer::new(echo);
    /// let address = server.listen("127.0.0.1:0")?.remove(0).ip().unwrap();
    /// server.stop();
    /// assert!(std::net::TcpStream::connect(address).is_err());
    /// # Ok(())
    /// # }
    /// ```
    pub fn stop(&self) {
        let accepting = self.server.accepting.take();
        drop(accepting);
        let bound = self.server.bound.take();
        drop(bound);
    }

    /// Stops accepting, tells handlers that await [`Connection::draining`], and waits for every
    /// connection to end. What is left after `grace` is cut: its handler is cancelled, its stream
    /// aborted.
    ///
    /// A connection has ended when its handler has returned and its descriptor is closed. Once
    /// draining has begun, a stream that has sent everything waits for its peer to close for a
    /// quarter of a second at most.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the server stopped and its handlers told; nothing is cut.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use tcpserver::{BoxError, Connection, IoStream, TcpServer};
    /// async fn deaf(_stream: IoStream, _: Connection) -> Result<(), BoxError> {
    ///     std::future::pending().await
    /// }
    ///
    /// ioloop::testing::run(async {
    ///     let server = TcpServer::new(deaf);
    ///     let client = server.connect_in_memory();
    ///     let drained = server.shutdown(Duration::from_secs(5)).await;
    ///     assert_eq!((drained.finished, drained.cut), (0, 1));
    /// });
    /// ```
    pub async fn shutdown(&self, grace: Duration) -> Drained {
        self.stop();
        let connections = &self.server.connections;
        let ended_before = connections.ended();
        connections.begin_drain();
        let emptied = timeout(grace, poll_fn(|context| connections.poll_empty(context))).await;
        let finished = (connections.ended() - ended_before) as usize;
        let cut = if emptied.is_ok() {
            0
        } else {
            connections.cut()
        };
        Drained { finished, cut }
    }

    /// How many connections there are.
    ///
    /// ```
    /// # use tcpserver::{BoxError, Connection, IoStream, TcpServer};
    /// # async fn echo(_: IoStream, _: Connection) -> Result<(), BoxError> { Ok(()) }
    /// assert_eq!(TcpServer::new(echo).connections(), 0);
    /// ```
    pub fn connections(&self) -> usize {
        self.server.connections.len()
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.server.settings
    }

    /// A setting was changed that decides whether accepting is paused.
    pub(crate) fn settings_changed(&self) {
        self.server.hold_if_full();
    }

    pub(crate) fn cut(&self) -> usize {
        self.server.connections.cut()
    }

    /// Hands a connection to the handler, in a task of its own that opens the stream: what the
    /// task holds from the start, every idle connection pays for.
    fn begin(&self, peer: Address, open: impl FnOnce() -> IoStream + 'static) {
        let connections = &self.server.connections;
        let record = connections.enter(peer);
        let running = Running(Connection::new(Rc::clone(&record)));
        let server = Rc::clone(&self.server);
        let task = IoLoop::current().spawn(async move {
            let stream = server.prepare(open(), &running.0);
            let result = server
                .handler
                .handle_stream(stream, running.0.clone())
                .await;
            report(result, &running.0);
        });
        connections.set_task(&record, task);
        self.server.hold_if_full();
    }
}

impl<H> Server<H> {
    /// Sets a stream up as this server's settings say.
    fn prepare(&self, stream: IoStream, connection: &Connection) -> IoStream {
        if let Some(timeout) = self.settings.idle_timeout.get() {
            stream.set_idle_timeout(Some(timeout));
        }
        connection.observe(&stream);
        stream
    }

    fn is_at_limit(&self) -> bool {
        self.connections.len() >= self.settings.max_connections.get()
    }

    /// Whether a connection that was accepted must be closed again.
    fn refuses(&self) -> bool {
        let refuses = self.is_at_limit() && self.settings.when_full.get() == WhenFull::Close;
        if refuses {
            tracing::debug!("closed a new connection: the limit is reached");
        }
        refuses
    }

    /// Something has changed that decides whether accepting is paused: the number of connections,
    /// the settings, or the sockets.
    fn hold_if_full(&self) {
        let is_full = self.is_at_limit() && self.settings.when_full.get() == WhenFull::Wait;
        if self.is_full.replace(is_full) || is_full {
            let accepting = self.accepting.borrow();
            accepting.iter().for_each(|handle| handle.hold(is_full));
        }
    }
}

impl<H> Clone for TcpServer<H> {
    fn clone(&self) -> TcpServer<H> {
        TcpServer {
            server: Rc::clone(&self.server),
        }
    }
}

impl<H> fmt::Debug for TcpServer<H> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("TcpServer")
            .field("accepting", &self.server.accepting.borrow())
            .field("connections", &self.server.connections.len())
            .finish()
    }
}

/// Tells the table when the handler has ended, whether it returned, panicked or was cancelled.
struct Running(Connection);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.handler_ended();
    }
}
