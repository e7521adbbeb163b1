//! What can be set on a server before it starts, or while it runs.

use std::cell::Cell;
use std::time::Duration;

use crate::handler::{BoxError, StreamHandler};
use crate::server::TcpServer;

/// What the builder methods set, on a server that may have been cloned already.
pub(crate) struct Settings {
    pub(crate) on_serve: Cell<Option<OnServe>>,
    pub(crate) max_connections: Cell<usize>,
    pub(crate) when_full: Cell<WhenFull>,
    pub(crate) idle_timeout: Cell<Option<Duration>>,
    pub(crate) shutdown_grace: Cell<Duration>,
}

type OnServe = Box<dyn FnOnce() -> Result<(), BoxError>>;

/// What happens to those who connect while a server has as many connections as it may.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum WhenFull {
    /// They wait in the kernel's queue, and are accepted when another connection has ended.
    #[default]
    Wait,
    /// They are accepted and closed at once, so that they know.
    Close,
}

impl<H: StreamHandler> TcpServer<H> {
    /// How many connections there may be at once; as many as the process may have descriptors
    /// unless set. A connection counts until its descriptor is closed, which may be after its
    /// handler has returned.
    ///
    /// ```
    /// # use tcpserver::{BoxError, Connection, IoStream, TcpServer};
    /// # async fn echo(_: IoStream, _: Connection) -> Result<(), BoxError> { Ok(()) }
    /// let server = TcpServer::new(echo).max_connections(10_000);
    /// ```
    pub fn max_connections(self, connections: usize) -> TcpServer<H> {
        self.settings().max_connections.set(connections);
        self.settings_changed();
        self
    }

    /// What happens to those who connect above the limit; they wait unless set.
    ///
    /// ```
    /// # use tcpserver::{BoxError, Connection, IoStream, TcpServer, WhenFull};
    /// # async fn echo(_: IoStream, _: Connection) -> Result<(), BoxError> { Ok(()) }
    /// let server = TcpServer::new(echo).max_connections(100).when_full(WhenFull::Close);
    /// ```
    pub fn when_full(self, policy: WhenFull) -> TcpServer<H> {
        self.settings().when_full.set(policy);
        self.settings_changed();
        self
    }

    /// How long a connection may go without a byte in either direction; for ever unless set. After
    /// that, its reads and writes fail with `Error::TimedOut`.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use tcpserver::{BoxError, Connection, IoStream, TcpServer};
    /// # async fn echo(_: IoStream, _: Connection) -> Result<(), BoxError> { Ok(()) }
    /// let server = TcpServer::new(echo).idle_timeout(Duration::from_secs(300));
    /// ```
    pub fn idle_timeout(self, timeout: Duration) -> TcpServer<H> {
        self.settings().idle_timeout.set(Some(timeout));
        self
    }

    /// How long [`run`](TcpServer::run) and [`serve`](TcpServer::serve) let handlers finish after
    /// the first signal: 8 s unless set, less than the ten after which `docker stop` kills.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use tcpserver::{BoxError, Connection, IoStream, TcpServer};
    /// # async fn echo(_: IoStream, _: Connection) -> Result<(), BoxError> { Ok(()) }
    /// let server = TcpServer::new(echo).shutdown_grace(Duration::from_secs(60));
    /// ```
    pub fn shutdown_grace(self, grace: Duration) -> TcpServer<H> {
        self.settings().shutdown_grace.set(grace);
        self
    }

    /// What each process that serves does first, on its own loop and before it takes a connection:
    /// the place for signal handlers, timers and connections of its own. A second one replaces the
    /// first.
    ///
    /// [`run`](TcpServer::run), [`serve`](TcpServer::serve) and those made of them call it: in each
    /// worker of [`serve_processes`](TcpServer::serve_processes), also in one that replaces another,
    /// and never in their parent. An error ends the process as one of serving does.
    ///
    /// ```no_run
    /// # use tcpserver::{BoxError, Connection, IoStream, TcpServer};
    /// # async fn echo(_: IoStream, _: Connection) -> Result<(), BoxError> { Ok(()) }
    /// use ioloop::{IoLoop, signals};
    ///
    /// fn main() -> Result<(), BoxError> {
    ///     let server = TcpServer::new(echo).on_serve(|| {
    ///         let reopen_log = || println!("a new log begins");
    ///         IoLoop::current().add_signal_handler(signals::SIGUSR1, reopen_log)?.detach();
    ///         Ok(())
    ///     });
    ///     let addresses = server.bind("127.0.0.1:8888")?;
    ///     server.serve_processes(0, || println!("listening on {}", addresses[0]))
    /// }
    /// ```
    pub fn on_serve(self, begin: impl FnOnce() -> Result<(), BoxError> + 'static) -> TcpServer<H> {
        self.settings().on_serve.set(Some(Box::new(begin)));
        self
    }
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            on_serve: Cell::new(None),
            // The process's limit of descriptors bounds it; accepting pauses there too.
            max_connections: Cell::new(usize::MAX),
            when_full: Cell::default(),
            idle_timeout: Cell::new(None),
            shutdown_grace: Cell::new(GRACE),
        }
    }
}

/// Less than the ten seconds after which `docker stop` kills.
const GRACE: Duration = Duration::from_secs(8);
