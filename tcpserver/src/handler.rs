//! What a server's author writes: `handle_stream`.

use std::error::Error;
use std::pin::Pin;
use std::task::{Context, Poll};

use iostream::IoStream;
use pin_project_lite::pin_project;

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
    note = "arguments of async closures need their types: `async |stream: IoStream, connection: \
            Connection| {{ ... }}`"
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

impl<F, O> StreamHandler for F
where
    F: AsyncFn(IoStream, Connection) -> O + 'static,
    O: HandlerOutcome,
{
    fn handle_stream(
        &self,
        stream: IoStream,
        connection: Connection,
    ) -> impl Future<Output = Result<(), BoxError>> {
        Converted {
            future: self(stream, connection),
        }
    }
}

/// What an `async fn` that handles streams returns: `Result<(), BoxError>`, and nothing else.
///
/// It exists for the compiler's sake, which so can say what is wrong with another type.
///
/// ```
/// # use tcpserver::{BoxError, Connection, IoStream, TcpServer};
/// async fn greet(stream: IoStream, _: Connection) -> Result<(), BoxError> {
///     stream.write(b"hello\n").await?;
///     Ok(())
/// }
/// let server = TcpServer::new(greet);
/// ```
#[diagnostic::on_unimplemented(
    message = "a stream handler cannot return `{Self}`",
    label = "this handler returns `{Self}`",
    note = "a handler is an `async fn(IoStream, Connection) -> Result<(), BoxError>`: it ends with \
            `Ok(())`, and `?` turns any error into a `BoxError`"
)]
pub trait HandlerOutcome: sealed::Sealed {
    #[doc(hidden)]
    fn into_result(self) -> Result<(), BoxError>;
}

impl HandlerOutcome for Result<(), BoxError> {
    fn into_result(self) -> Result<(), BoxError> {
        self
    }
}

mod sealed {
    pub trait Sealed {}

    impl Sealed for Result<(), super::BoxError> {}
}

pin_project! {
    /// A handler's future, whose output the compiler knows to be a result only by a trait. An
    /// `async` block around it would hold it twice, and every idle connection would pay for that.
    struct Converted<F> {
        #[pin]
        future: F,
    }
}

impl<F: Future<Output: HandlerOutcome>> Future for Converted<F> {
    type Output = Result<(), BoxError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.project()
            .future
            .poll(context)
            .map(HandlerOutcome::into_result)
    }
}
