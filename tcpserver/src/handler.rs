//! What a server's author writes: `handle_stream`.

use std::error::Error;

use iostream::IoStream;

use crate::connection::Connection;

/// Any error: what handlers return, so that `?` works on every kind.
pub type BoxError = Box<dyn Error>;

/// Handles one connection after another, many at a time.
///
/// An `async fn`, an `async` closure that holds what it needs in an `Rc`, or a struct fits:
///
/// ```
/// use std::{cell::Cell, rc::Rc};
/// use tcpserver::{BoxError, Connection, IoStream, StreamHandler, TcpServer};
///
/// async fn echo(mut stream: IoStream, _: Connection) -> Result<(), BoxError> {
///     loop {
///         let line = stream.read_until(b"\n", 4096).await?;
///         stream.write(&line).await?;
///     }
/// }
/// let by_function = TcpServer::new(echo);
///
/// let visitors = Rc::new(Cell::new(0));
/// let by_closure = TcpServer::new(async move |stream: IoStream, _: Connection| {
///     visitors.set(visitors.get() + 1);
///     stream.write(format!("you are visitor {}\n", visitors.get()).as_bytes()).await?;
///     Ok(())
/// });
///
/// struct Greeter {
///     greeting: String,
/// }
///
/// impl StreamHandler for Greeter {
///     async fn handle_stream(&self, stream: IoStream, _: Connection) -> Result<(), BoxError> {
///         stream.write(self.greeting.as_bytes()).await?;
///         Ok(())
///     }
/// }
/// let by_struct = TcpServer::new(Greeter { greeting: "hello\n".into() });
/// ```
///
/// The server owns its handler. To keep a struct in sight as well, share it and hand the call on:
///
/// ```
/// # use std::rc::Rc;
/// # use tcpserver::{BoxError, Connection, IoStream, StreamHandler, TcpServer};
/// # #[derive(Default)]
/// # struct Store;
/// # impl StreamHandler for Store {
/// #     async fn handle_stream(&self, _: IoStream, _: Connection) -> Result<(), BoxError> { Ok(()) }
/// # }
/// let store = Rc::new(Store::default());
/// let shared = store.clone();
/// let server = TcpServer::new(async move |stream: IoStream, connection: Connection| {
///     shared.handle_stream(stream, connection).await
/// });
/// ```
///
/// # Testing
///
/// A handler is a function of a stream, so a test needs neither a server nor time:
///
/// ```
/// use std::time::Duration;
/// use tcpserver::{BoxError, Connection, IoStream, StreamHandler};
///
/// async fn patient(mut stream: IoStream, _: Connection) -> Result<(), BoxError> {
///     let now = stream.io_loop().now();
///     stream.set_deadline(Some(now + Duration::from_secs(60)));
///     stream.read_until(b"\n", 4096).await?;
///     Ok(())
/// }
///
/// ioloop::testing::run(async {
///     let (_client, server) = IoStream::pair();
///     let result = patient.handle_stream(server, Connection::in_memory()).await;
///     assert_eq!(result.unwrap_err().to_string(), "the stream's deadline has passed");
/// });
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot handle streams",
    label = "this is not a stream handler",
    note = "a handler is an `async fn(IoStream, Connection) -> Result<(), BoxError>`, an async \
            closure of that form, or a type that implements `StreamHandler`",
    note = "it is `async`, takes both arguments, and returns `Result<(), BoxError>` whatever its \
            errors are: `?` turns them into a `BoxError`"
)]
pub trait StreamHandler: 'static {
    /// Handles one connection, to its end.
    ///
    /// The stream is closed when it is dropped, after what was written has been sent. A peer that
    /// leaves between two messages makes reads fail with `Error::Closed`: a handler just says `?`,
    /// and the server takes it as the normal end. Any other error is logged with the peer's
    /// address. A panic is logged too, and ends this connection only.
    ///
    /// # Cancel safety
    /// The future is dropped where it waits when a shutdown's grace period is over.
    fn handle_stream(
        &self,
        stream: IoStream,
        connection: Connection,
    ) -> impl Future<Output = Result<(), BoxError>>;
}

// An async fn of another form would be told what `AsyncFn` wants, not what a handler is.
#[diagnostic::do_not_recommend]
impl<F> StreamHandler for F
where
    F: AsyncFn(IoStream, Connection) -> Result<(), BoxError> + 'static,
{
    fn handle_stream(
        &self,
        stream: IoStream,
        connection: Connection,
    ) -> impl Future<Output = Result<(), BoxError>> {
        self(stream, connection)
    }
}
