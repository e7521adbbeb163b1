//! What a handler knows of its connection beside the stream.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::{fmt, io};

use ioloop::Task;
use iostream::{Aborter, Address, IoStream, OnClose};
use pin_project_lite::pin_project;

use crate::connections::{Connections, LINGER_WHILE_DRAINING};
use crate::drain::{Drain, Draining};
use crate::peer::Peer;

/// One connection of a server: its addresses, and whether the server is stopping.
///
/// A small handle that a handler gets beside the stream, and may keep, clone or drop at will.
///
/// ```
/// use tcpserver::{BoxError, Connection, IoStream};
///
/// async fn greet(stream: IoStream, connection: Connection) -> Result<(), BoxError> {
///     let greeting = format!("hello, {}\n", connection.peer_address());
///     stream.write(greeting.as_bytes()).await?;
///     Ok(())
/// }
///
/// # ioloop::testing::run(async {
/// let (mut client, server) = IoStream::pair();
/// greet(server, Connection::in_memory()).await.unwrap();
/// assert_eq!(client.read_until_close(100).await.unwrap(), b"hello, memory\n");
/// # });
/// ```
#[derive(Clone)]
pub struct Connection {
    record: Rc<Record>,
}

/// What there is once per connection: the handler's handle and the stream's observer in one.
pub(crate) struct Record {
    connections: Rc<Connections>,
    /// None while there is no stream: before the handler's task has begun, and after it is closed.
    stream: Cell<Option<Aborter>>,
    peer: Peer,
    /// Its place in the table. When the handler has ended and the stream is closed, it may be
    /// another connection's.
    pub(crate) key: u32,
    /// The handler is about to run, or runs.
    pub(crate) has_handler: Cell<bool>,
    pub(crate) is_cut: Cell<bool>,
}

impl Connection {
    /// A connection without a server, for tests of a handler. It never drains; to test that, use
    /// [`TcpServer::connect_in_memory`](crate::TcpServer::connect_in_memory).
    ///
    /// ```
    /// let connection = tcpserver::Connection::in_memory();
    /// assert_eq!(connection.peer_address().to_string(), "memory");
    /// ```
    pub fn in_memory() -> Connection {
        let record = Record::new(Rc::default(), 0, Address::Memory);
        record.has_handler.set(false);
        Connection::new(Rc::new(record))
    }

    pub(crate) fn new(record: Rc<Record>) -> Connection {
        Connection { record }
    }

    /// The connection's stream is open: the server counts it until it is closed.
    pub(crate) fn observe(&self, stream: &IoStream) {
        let aborter = stream.aborter();
        if self.is_draining() {
            aborter.set_linger_timeout(LINGER_WHILE_DRAINING);
        }
        self.record.stream.set(Some(aborter));
        stream.on_close(self.record.clone());
    }

    pub(crate) fn handler_ended(&self) {
        let task = self.record.connections.take_task(&self.record);
        // Its memory goes now, though the stream may be sent for long.
        task.into_iter().for_each(Task::detach);
        self.record.has_handler.set(false);
        self.record.leave_if_over();
    }

    /// Where the peer is, as it was when the connection was accepted.
    ///
    /// ```
    /// let connection = tcpserver::Connection::in_memory();
    /// println!("{}", connection.peer_address());
    /// ```
    pub fn peer_address(&self) -> &Address {
        self.record.peer.address()
    }

    /// Where this side is: of all the addresses that a server listens on, the one that the peer
    /// has connected to.
    ///
    /// # Errors
    /// `NotConnected` if the stream is gone; otherwise what the system says.
    ///
    /// ```
    /// use tcpserver::{BoxError, Connection, IoStream};
    ///
    /// async fn name(stream: IoStream, connection: Connection) -> Result<(), BoxError> {
    ///     stream.write(format!("this is {}\n", connection.local_address()?).as_bytes()).await?;
    ///     Ok(())
    /// }
    /// # let _server = tcpserver::TcpServer::new(name);
    /// ```
    pub fn local_address(&self) -> io::Result<Address> {
        let stream = self.record.stream();
        stream.ok_or(io::ErrorKind::NotConnected)?.local_address()
    }

    /// How many connections the server has, this one included; none if it has no server.
    ///
    /// ```
    /// assert_eq!(tcpserver::Connection::in_memory().server_connections(), 0);
    /// ```
    pub fn server_connections(&self) -> usize {
        self.record.connections.len()
    }

    /// Waits until the server drains: it was told to shut down, and gives its handlers some time.
    ///
    /// A handler that can stop between two messages should then do so.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    ///
    /// ```
    /// use futures_lite::future::or;
    /// use tcpserver::{BoxError, Connection, IoStream};
    ///
    /// async fn ticker(stream: IoStream, connection: Connection) -> Result<(), BoxError> {
    ///     let ticking = async {
    ///         loop {
    ///             stream.write(b"tick\n").await?;
    ///             ioloop::sleep(std::time::Duration::from_secs(1)).await;
    ///         }
    ///     };
    ///     let stopping = async {
    ///         connection.draining().await;
    ///         Ok(())
    ///     };
    ///     or(ticking, stopping).await
    /// }
    /// # let _server = tcpserver::TcpServer::new(ticker);
    /// ```
    pub fn draining(&self) -> Draining<'_> {
        Draining::new(&self.record)
    }

    /// Whether the server is draining.
    ///
    /// ```
    /// assert!(!tcpserver::Connection::in_memory().is_draining());
    /// ```
    pub fn is_draining(&self) -> bool {
        self.record.drain().has_begun()
    }

    /// Waits for `future`, but not longer than until the server drains: then none.
    ///
    /// Around the read that waits for the next message, this is all that a protocol needs to end
    /// well: what has arrived whole is still handled, what has not is not waited for.
    ///
    /// # Cancel safety
    /// That of `future`: the reads of a stream lose nothing.
    ///
    /// ```
    /// use tcpserver::{BoxError, Connection, IoStream};
    ///
    /// async fn echo(mut stream: IoStream, connection: Connection) -> Result<(), BoxError> {
    ///     while let Some(line) = connection.unless_draining(stream.read_until(b"\n", 4096)).await {
    ///         stream.write(&line?).await?;
    ///     }
    ///     Ok(())
    /// }
    /// # let _server = tcpserver::TcpServer::new(echo);
    /// ```
    pub fn unless_draining<F: Future>(&self, future: F) -> UnlessDraining<'_, F> {
        UnlessDraining {
            future,
            draining: self.draining(),
        }
    }
}

impl Record {
    pub(crate) fn new(connections: Rc<Connections>, key: u32, peer: Address) -> Record {
        Record {
            connections,
            stream: Cell::new(None),
            peer: peer.into(),
            key,
            has_handler: Cell::new(true),
            is_cut: Cell::new(false),
        }
    }

    pub(crate) fn stream(&self) -> Option<Aborter> {
        let stream = self.stream.take();
        self.stream.set(stream.clone());
        stream
    }

    pub(crate) fn drain(&self) -> &Drain {
        &self.connections.drain
    }

    fn leave_if_over(&self) {
        let stream = self.stream();
        if !self.has_handler.get() && stream.is_none() {
            self.connections.leave(self);
        }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_tuple("Connection")
            .field(self.peer_address())
            .finish()
    }
}

impl OnClose for Record {
    fn closed(&self) {
        self.stream.set(None);
        self.leave_if_over();
    }
}

pin_project! {
    /// The future that [`Connection::unless_draining`] returns.
    #[derive(Debug)]
    #[must_use = "futures do nothing unless awaited"]
    pub struct UnlessDraining<'a, F> {
        #[pin]
        future: F,
        draining: Draining<'a>,
    }
}

impl<F: Future> Future for UnlessDraining<'_, F> {
    type Output = Option<F::Output>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        // What has arrived is handled, also while draining.
        if let Poll::Ready(output) = this.future.poll(context) {
            return Poll::Ready(Some(output));
        }
        this.draining.poll_and_give_way(context).map(|()| None)
    }
}
