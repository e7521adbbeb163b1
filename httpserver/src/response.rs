//! What a handler answers.

use std::borrow::Cow;
use std::pin::Pin;
use std::{fmt, io};

use http::StatusCode;
use iostream::IoStream;
use tcpserver::BoxError;

use crate::body::Body;
use crate::error::Error;
use crate::framing::decimal;
use crate::headers::{self, Headers};

/// A response: a status, header fields, a body.
///
/// The server adds `Content-Length` or `Transfer-Encoding`, `Connection` where it is needed, and
/// `Date`. It sends no body where there may be none: to `HEAD`, with 204 and with 304.
///
/// ```
/// use httpserver::{Error, Request, Response, StatusCode};
///
/// async fn moved(_: Request) -> Result<Response, Error> {
///     Response::from(StatusCode::FOUND).with_header("Location", "/elsewhere")
/// }
/// # let _server = httpserver::HttpServer::new(moved);
/// ```
pub struct Response {
    pub(crate) status: StatusCode,
    /// Lines of `name: value`, each ending in CR LF, none of which the server itself sends.
    pub(crate) lines: Cow<'static, [u8]>,
    pub(crate) body: Body,
    /// The length that the handler has announced.
    pub(crate) length: Option<u64>,
    pub(crate) has_date: bool,
    pub(crate) has_upgrade: bool,
    pub(crate) closes: bool,
    pub(crate) upgrade: Option<Upgrade>,
}

/// What is done with the stream when a response has switched protocols.
pub(crate) type Upgrade = Box<dyn FnOnce(IoStream) -> Upgraded>;
pub(crate) type Upgraded = Pin<Box<dyn Future<Output = Result<(), BoxError>>>>;

impl Response {
    /// A response of status 200 that does not say what its body is.
    ///
    /// ```
    /// # fn main() -> Result<(), httpserver::Error> {
    /// use httpserver::Response;
    ///
    /// let icon = Response::new(&b"\x00\x01"[..]).with_header("Content-Type", "image/x-icon")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn new(body: impl Into<Body>) -> Response {
        Response::of_type(b"", body)
    }

    /// A response of status 200 and plain text.
    ///
    /// ```
    /// let response = httpserver::Response::text("hello\n");
    /// assert_eq!(response.headers().get("content-type"), Some("text/plain; charset=utf-8"));
    /// ```
    pub fn text(body: impl Into<Body>) -> Response {
        Response::of_type(b"Content-Type: text/plain; charset=utf-8\r\n", body)
    }

    /// A response of status 200 and a page.
    ///
    /// ```
    /// let response = httpserver::Response::html("<!doctype html><title>hello</title>");
    /// ```
    pub fn html(body: impl Into<Body>) -> Response {
        Response::of_type(b"Content-Type: text/html; charset=utf-8\r\n", body)
    }

    /// A response of status 200 and JSON, which the caller has written.
    ///
    /// ```
    /// let response = httpserver::Response::json(r#"{"hello": "world"}"#);
    /// ```
    pub fn json(body: impl Into<Body>) -> Response {
        Response::of_type(b"Content-Type: application/json\r\n", body)
    }

    fn of_type(line: &'static [u8], body: impl Into<Body>) -> Response {
        Response {
            status: StatusCode::OK,
            lines: Cow::Borrowed(line),
            body: body.into(),
            length: None,
            has_date: false,
            has_upgrade: false,
            closes: false,
            upgrade: None,
        }
    }

    /// Agrees to speak another protocol from now on (101): when that was said, the stream belongs
    /// to `run`, in the task of this connection. What the client has sent already can be read from
    /// it.
    ///
    /// The request must have asked for an [`upgrade`](crate::Request::upgrade); otherwise the
    /// client gets a 500.
    ///
    /// # Errors
    /// If `protocol` cannot stand in a header field.
    ///
    /// ```
    /// use httpserver::{Error, Request, Response, StatusCode};
    ///
    /// async fn lines(request: Request) -> Result<Response, Error> {
    ///     if request.upgrade() != Some("lines") {
    ///         return Err(Error::new(StatusCode::UPGRADE_REQUIRED));
    ///     }
    ///     Response::upgrade("lines", async |mut stream| {
    ///         loop {
    ///             let line = stream.read_until(b"\n", 4096).await?;
    ///             stream.write(&line).await?;
    ///         }
    ///     })
    /// }
    /// # let _server = httpserver::HttpServer::new(lines);
    /// ```
    pub fn upgrade<F>(protocol: &str, run: F) -> Result<Response, Error>
    where
        F: AsyncFnOnce(IoStream) -> Result<(), BoxError> + 'static,
    {
        let mut response =
            Response::new(Body::empty()).with_status(StatusCode::SWITCHING_PROTOCOLS);
        response.append("Upgrade", protocol.as_bytes())?;
        response.upgrade = Some(Box::new(|stream| Box::pin(async { run(stream).await })));
        Ok(response)
    }

    /// Changes the status.
    ///
    /// ```
    /// use httpserver::{Response, StatusCode};
    ///
    /// let response = Response::text("made\n").with_status(StatusCode::CREATED);
    /// assert_eq!(response.status(), 201);
    /// ```
    pub fn with_status(mut self, status: StatusCode) -> Response {
        self.status = status;
        self
    }

    /// Adds a header field, also if there is one of that name.
    ///
    /// `Content-Length` announces the length of a [streamed](Body::from_fn) body, which is then
    /// not sent in chunks; `Connection: close` closes the connection afterwards; `Upgrade` tells
    /// which protocols the client should ask for.
    ///
    /// # Errors
    /// If the name is no token, or the value has control characters, as those that would split
    /// the response in two; and for fields that are the server's own: `Transfer-Encoding`, other
    /// values of `Connection` and `Content-Length`. It becomes a 500.
    ///
    /// ```
    /// use httpserver::Response;
    ///
    /// # fn main() -> Result<(), httpserver::Error> {
    /// let response = Response::text("hi\n").with_header("Cache-Control", "no-store")?;
    /// assert!(response.with_header("X-Name", "a\r\nSet-Cookie: stolen").is_err());
    /// # Ok(())
    /// # }
    /// ```
    pub fn with_header(
        mut self,
        name: impl AsRef<str>,
        value: impl AsRef<[u8]>,
    ) -> Result<Response, Error> {
        self.append(name.as_ref(), value.as_ref())?;
        Ok(self)
    }

    pub(crate) fn append(&mut self, name: &str, value: &[u8]) -> Result<(), Error> {
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        if is("connection") && value.eq_ignore_ascii_case(b"close") {
            self.closes = true;
        } else if is("content-length") && decimal(value).is_ok() {
            self.length = decimal(value).ok();
        } else if is("content-length") || is("connection") || is("transfer-encoding") {
            let own = format!(
                "'{name}: {}' is for the server to say",
                value.escape_ascii()
            );
            return Err(io::Error::new(io::ErrorKind::InvalidInput, own).into());
        } else {
            self.has_date |= is("date");
            self.has_upgrade |= is("upgrade");
            headers::append(self.lines.to_mut(), name, value)?;
        }
        Ok(())
    }

    /// The status.
    ///
    /// ```
    /// assert_eq!(httpserver::Response::text("").status(), 200);
    /// ```
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The header fields, without those that the server adds.
    ///
    /// ```
    /// assert_eq!(httpserver::Response::new("").headers().into_iter().count(), 0);
    /// ```
    pub fn headers(&self) -> Headers<'_> {
        Headers::new(&self.lines)
    }

    /// The body.
    ///
    /// ```
    /// assert_eq!(httpserver::Response::text("hello").body().length(), Some(5));
    /// ```
    pub fn body(&mut self) -> &mut Body {
        &mut self.body
    }
}

/// A response of that status whose body, if it may have one, is the status in words.
impl From<StatusCode> for Response {
    fn from(status: StatusCode) -> Response {
        let is_empty = status.is_informational() || status == 204 || status == 304;
        match status.canonical_reason() {
            _ if is_empty => Response::new(Body::empty()),
            Some(reason) => Response::text(format!("{} {reason}\n", status.as_u16())),
            None => Response::text(format!("{}\n", status.as_u16())),
        }
        .with_status(status)
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Response")
            .field("status", &self.status)
            .field("headers", &self.headers())
            .field("body", &self.body)
            .finish()
    }
}
