//! What a handler knows of its connection beside the stream.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::{fmt, io};

use iostream::{Address, IoStream, OnClose};
use pin_project_lite::pin_project;

use crate::connections::Connections;
use crate::drain::{Drain, Draining};

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
    /// May be another connection's when the handler has ended and the stream is closed.
    key: usize,
    /// The stream was closed: nothing is asked of the table any more.
    is_closed: Cell<bool>,
    peer: Address,
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
        Connection::new(Rc::default(), usize::MAX, Address::Memory)
    }

    pub(crate) fn new(connections: Rc<Connections>, key: usize, peer: Address) -> Connection {
        Connection {
            record: Rc::new(Record {
                connections,
                key,
                is_closed: Cell::new(false),
                peer,
            }),
        }
    }

    /// The connection's stream is open: the server counts it until it is closed.
    pub(crate) fn observe(&self, stream: &IoStream) {
        self.record
            .connections
            .stream_opened(self.record.key, stream.aborter());
        stream.on_close(self.record.clone());
    }

    pub(crate) fn handler_ended(&self) {
        self.record.connections.handler_ended(self.record.key);
    }

    /// Where the peer is, as it was when the connection was accepted.
    ///
    /// ```
    /// let connection = tcpserver::Connection::in_memory();
    /// println!("{}", connection.peer_address());
    /// ```
    pub fn peer_address(&self) -> &Address {
        &self.record.peer
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
        if self.record.is_closed.get() {
            return Err(io::ErrorKind::NotConnected.into());
        }
        self.record.connections.local_address(self.record.key)
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
        Draining::new(self.drain())
    }

    /// Whether the server is draining.
    ///
    /// ```
    /// assert!(!tcpserver::Connection::in_memory().is_draining());
    /// ```
    pub fn is_draining(&self) -> bool {
        self.drain().has_begun()
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

    fn drain(&self) -> &Drain {
        &self.record.connections.drain
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_tuple("Connection")
            .field(&self.record.peer)
            .finish()
    }
}

impl OnClose for Record {
    fn closed(&self) {
        self.is_closed.set(true);
        self.connections.stream_closed(self.key);
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
