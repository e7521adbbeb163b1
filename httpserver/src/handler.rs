//! What a server's author writes: `handle_request`.

use crate::error::Error;
use crate::request::Request;
use crate::response::Response;

/// Answers one request after another, many at a time.
///
/// An `async fn`, an `async` closure that holds what it needs in an `Rc`, or a struct fits:
///
/// ```
/// use std::{cell::Cell, rc::Rc};
/// use httpserver::{Error, HttpHandler, HttpServer, Request, Response};
///
/// async fn hello(_: Request) -> Result<Response, Error> {
///     Ok(Response::text("hello\n"))
/// }
/// let by_function = HttpServer::new(hello);
///
/// let visitors = Rc::new(Cell::new(0));
/// let by_closure = HttpServer::new(async move |_: Request| {
///     visitors.set(visitors.get() + 1);
///     Ok(Response::text(format!("you are visitor {}\n", visitors.get())))
/// });
///
/// struct Greeter {
///     greeting: String,
/// }
///
/// impl HttpHandler for Greeter {
///     async fn handle_request(&self, request: Request) -> Result<Response, Error> {
///         Ok(Response::text(format!("{}, {}\n", self.greeting, request.path())))
///     }
/// }
/// let by_struct = HttpServer::new(Greeter { greeting: "hello".into() });
/// ```
///
/// # Testing
///
/// A handler is a function of a request, and requests can be made with the `http` crate:
///
/// ```
/// use httpserver::{Error, HttpHandler, Request, Response};
///
/// async fn shout(mut request: Request) -> Result<Response, Error> {
///     Ok(Response::text(request.body().text().await?.to_uppercase()))
/// }
///
/// # fn main() -> Result<(), Error> {
/// let request: Request = http::Request::post("/").body("hello")?.try_into()?;
/// let mut response = ioloop::testing::run(shout.handle_request(request))?;
/// assert_eq!(response.status(), 200);
/// assert_eq!(ioloop::testing::run(async move { response.body().text().await })?, "HELLO");
/// # Ok(())
/// # }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot handle requests",
    label = "this is not a request handler",
    note = "a handler is an `async fn(Request) -> Result<Response, Error>`, an async closure of \
            that form, or a type that implements `HttpHandler`",
    note = "its error is `httpserver::Error`, whatever its errors are: `?` turns them into one"
)]
pub trait HttpHandler: 'static {
    /// Answers one request.
    ///
    /// An error is answered with its status, and logged if that is 500 or above. A panic in the
    /// future is answered with 500, unless panics end the program. What the handler has not read
    /// of the body is thrown away.
    ///
    /// A client that leaves does not end the handler, which is told by its next read, or by
    /// [`Request::peer_closed`].
    ///
    /// # Cancel safety
    /// The future is dropped where it waits when the server's grace period is over.
    fn handle_request(&self, request: Request) -> impl Future<Output = Result<Response, Error>>;
}

// An async fn of another form would be told what `AsyncFn` wants, not what a handler is.
#[diagnostic::do_not_recommend]
impl<F> HttpHandler for F
where
    F: AsyncFn(Request) -> Result<Response, Error> + 'static,
{
    fn handle_request(&self, request: Request) -> impl Future<Output = Result<Response, Error>> {
        self(request)
    }
}
