//! What a handler is asked.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;

use http::{Method, Version};
use iostream::{CloseReason, PeerClosed};
use tcpserver::Connection;

use crate::body::Body;
use crate::head::Head;
use crate::headers::Headers;

/// A request: its head, its body, and the connection it came on.
///
/// The head is complete and in order, or the handler would not see it; nothing of the body was
/// read. Whatever of it the handler leaves unread is thrown away.
///
/// ```
/// use httpserver::{Error, Method, Request, Response, StatusCode};
///
/// async fn app(mut request: Request) -> Result<Response, Error> {
///     match (request.method(), request.path()) {
///         (&Method::GET, "/") => Ok(Response::text("hello\n")),
///         (&Method::POST, "/echo") => Ok(Response::new(request.body().bytes().await?)),
///         (_, "/" | "/echo") => Err(Error::new(StatusCode::METHOD_NOT_ALLOWED)),
///         _ => Err(Error::new(StatusCode::NOT_FOUND)),
///     }
/// }
/// # let _server = httpserver::HttpServer::new(app);
/// ```
#[doc(alias = "HTTPServerRequest")]
pub struct Request {
    head: Rc<Head>,
    body: Body,
    connection: Connection,
    /// None for a request that did not come over a stream.
    closed: Option<PeerClosed>,
}

impl Request {
    pub(crate) fn new(
        head: Rc<Head>,
        body: Body,
        connection: Connection,
        closed: Option<PeerClosed>,
    ) -> Request {
        Request {
            head,
            body,
            connection,
            closed,
        }
    }

    /// The method, which need not be one that anybody has heard of.
    ///
    /// ```
    /// # use httpserver::{Body, Request};
    /// # fn main() -> Result<(), httpserver::Error> {
    /// let request: Request = http::Request::put("/").body(Body::empty())?.try_into()?;
    /// assert_eq!(request.method(), "PUT");
    /// # Ok(())
    /// # }
    /// ```
    pub fn method(&self) -> &Method {
        self.head.method()
    }

    /// The target as it was sent: a path with a query as a rule, a whole URI if the client takes
    /// this for a proxy, `*` with `OPTIONS` (RFC 9112, 3.2).
    ///
    /// ```
    /// # use httpserver::{Body, Request};
    /// # fn main() -> Result<(), httpserver::Error> {
    /// let request: Request = http::Request::get("/a%20b?c").body(Body::empty())?.try_into()?;
    /// assert_eq!(request.target(), "/a%20b?c");
    /// # Ok(())
    /// # }
    /// ```
    pub fn target(&self) -> &str {
        self.head.target()
    }

    /// The target's path, as it was sent: nothing is decoded or made simpler.
    ///
    /// ```
    /// # use httpserver::{Body, Request};
    /// # fn main() -> Result<(), httpserver::Error> {
    /// let request: Request = http::Request::get("/a%20b?c").body(Body::empty())?.try_into()?;
    /// assert_eq!(request.path(), "/a%20b");
    /// # Ok(())
    /// # }
    /// ```
    pub fn path(&self) -> &str {
        self.head.path()
    }

    /// What follows the target's first `?`, as it was sent.
    ///
    /// ```
    /// # use httpserver::{Body, Request};
    /// # fn main() -> Result<(), httpserver::Error> {
    /// let request: Request = http::Request::get("/a?b=c").body(Body::empty())?.try_into()?;
    /// assert_eq!(request.query(), Some("b=c"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn query(&self) -> Option<&str> {
        self.head.query()
    }

    /// Which host the request is for, with the port if one was named: from the target if that is
    /// a whole URI, else from the Host field (RFC 9110, 7.2). A request of HTTP/1.0 may have
    /// neither.
    ///
    /// ```
    /// # use httpserver::{Body, Request};
    /// # fn main() -> Result<(), httpserver::Error> {
    /// let request = http::Request::get("/").header("Host", "example.org:80").body(Body::empty())?;
    /// assert_eq!(Request::try_from(request)?.host(), Some("example.org:80"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn host(&self) -> Option<&str> {
        self.head.host()
    }

    /// `HTTP_11` or `HTTP_10`.
    ///
    /// ```
    /// # use httpserver::{Body, Request};
    /// # fn main() -> Result<(), httpserver::Error> {
    /// let request: Request = http::Request::get("/").body(Body::empty())?.try_into()?;
    /// assert_eq!(request.version(), http::Version::HTTP_11);
    /// # Ok(())
    /// # }
    /// ```
    pub fn version(&self) -> Version {
        self.head.version
    }

    /// The first header field of that name, if its value is UTF-8; see [`Headers`] for more.
    ///
    /// ```
    /// # use httpserver::{Body, Request};
    /// # fn main() -> Result<(), httpserver::Error> {
    /// let request = http::Request::get("/").header("Accept", "text/html").body(Body::empty())?;
    /// assert_eq!(Request::try_from(request)?.header("accept"), Some("text/html"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers().get(name)
    }

    /// All header fields.
    ///
    /// ```
    /// # use httpserver::{Body, Request};
    /// # fn main() -> Result<(), httpserver::Error> {
    /// let request = http::Request::get("/").header("Cookie", "a=b").body(Body::empty())?;
    /// assert_eq!(Request::try_from(request)?.headers().get_all("cookie").count(), 1);
    /// # Ok(())
    /// # }
    /// ```
    pub fn headers(&self) -> Headers<'_> {
        self.head.headers()
    }

    /// The protocols that the client would rather speak, as in its Upgrade field; none if it has
    /// not asked in good order (RFC 9110, 7.8). [`Response::upgrade`](crate::Response::upgrade)
    /// agrees to one.
    ///
    /// ```
    /// # use httpserver::{Body, Request};
    /// # fn main() -> Result<(), httpserver::Error> {
    /// let request = http::Request::get("/")
    ///     .header("Connection", "Upgrade")
    ///     .header("Upgrade", "websocket")
    ///     .body(Body::empty())?;
    /// assert_eq!(Request::try_from(request)?.upgrade(), Some("websocket"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn upgrade(&self) -> Option<&str> {
        self.header("upgrade").filter(|_| self.head.may_upgrade)
    }

    /// The body, to be read.
    ///
    /// ```
    /// # use httpserver::{Body, Request};
    /// # fn main() -> Result<(), httpserver::Error> {
    /// # ioloop::testing::run(async {
    /// let mut request: Request = http::Request::post("/").body("hello")?.try_into()?;
    /// assert_eq!(request.body().text().await?, "hello");
    /// # Ok(())
    /// # })
    /// # }
    /// ```
    pub fn body(&mut self) -> &mut Body {
        &mut self.body
    }

    /// The body, to be handed on: as the body of the response, say, which then streams.
    ///
    /// A client that [expects](https://www.rfc-editor.org/rfc/rfc9110#section-10.1.1) to be told
    /// that the body may come is told when somebody asks for it first; once a response has begun,
    /// it is too late. For a response that is made of the body, ask for the first piece before.
    ///
    /// ```
    /// use httpserver::{Error, Request, Response};
    ///
    /// async fn echo(request: Request) -> Result<Response, Error> {
    ///     Ok(Response::new(request.into_body()))
    /// }
    /// # let _server = httpserver::HttpServer::new(echo);
    /// ```
    pub fn into_body(self) -> Body {
        self.body
    }

    /// Waits until the client has closed its side, or the connection broke. Handlers that stream
    /// for long watch for this; the future may be kept when the request is gone.
    ///
    /// A client may close its side and still read the answer, as `nc -N` does; browsers do not.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    ///
    /// ```
    /// use futures_lite::future::or;
    /// use httpserver::{Error, Request, Response};
    ///
    /// async fn patient(request: Request) -> Result<Response, Error> {
    ///     let work = async {
    ///         ioloop::sleep(std::time::Duration::from_secs(60)).await;
    ///         "done\n"
    ///     };
    ///     let gone = async {
    ///         request.peer_closed().await;
    ///         "nobody will read this\n"
    ///     };
    ///     Ok(Response::text(or(work, gone).await))
    /// }
    /// # let _server = httpserver::HttpServer::new(patient);
    /// ```
    pub fn peer_closed(&self) -> impl Future<Output = CloseReason> + Unpin + use<> {
        let mut closed = self.closed.clone();
        poll_fn(move |context| match &mut closed {
            Some(closed) => Pin::new(closed).poll(context),
            None => Poll::Pending,
        })
    }

    /// The connection that the request came on: its addresses, and whether the server is stopping.
    ///
    /// ```
    /// use httpserver::{Error, Request, Response};
    ///
    /// async fn who(request: Request) -> Result<Response, Error> {
    ///     Ok(Response::text(format!("{}\n", request.connection().peer_address())))
    /// }
    /// # let _server = httpserver::HttpServer::new(who);
    /// ```
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    pub(crate) fn into_parts(self) -> (Rc<Head>, Body, Connection) {
        (self.head, self.body, self.connection)
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Request")
            .field("method", self.method())
            .field("target", &self.target())
            .field("version", &self.version())
            .field("headers", &self.headers())
            .field("body", &self.body)
            .field("connection", &self.connection)
            .finish()
    }
}
