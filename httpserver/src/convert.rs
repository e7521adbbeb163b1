//! To and from the types of the `http` crate, for those who have code that speaks them.

use tcpserver::Connection;

use crate::body::Body;
use crate::error::Error;
use crate::head::HeadParser;
use crate::headers;
use crate::reject::BAD_REQUEST;
use crate::request::Request;
use crate::response::Response;

/// For routers and frameworks that take requests of the `http` crate. The
/// peer's [`Address`](tcpserver::Address) goes into the extensions.
///
/// It fails if the target is no URI to that crate.
///
/// ```
/// use httpserver::{Body, Error, Request, Response};
///
/// async fn app(request: Request) -> Result<Response, Error> {
///     let request: http::Request<Body> = request.try_into()?;
///     let response = http::Response::builder().status(200).body(request.uri().path().to_owned())?;
///     Ok(response.into())
/// }
/// # let _server = httpserver::HttpServer::new(app);
/// ```
impl TryFrom<Request> for http::Request<Body> {
    type Error = Error;

    fn try_from(request: Request) -> Result<http::Request<Body>, Error> {
        let (head, body, connection) = request.into_parts();
        let mut builder = http::Request::builder()
            .method(head.method().clone())
            .uri(head.target())
            .version(head.version)
            .extension(connection.peer_address().clone());
        for (name, value) in head.headers() {
            builder = builder.header(name, value);
        }
        Ok(builder.body(body)?)
    }
}

/// For tests, and for those who answer requests that came another way. The connection is one
/// [in memory](tcpserver::Connection::in_memory).
///
/// It fails if the request could not have come over the wire. A Host field is made of the URI, or
/// empty, if there is none.
///
/// ```
/// use httpserver::{Error, Request};
///
/// # fn main() -> Result<(), Error> {
/// let request = http::Request::post("/messages?room=1").header("Accept", "text/html").body("hi")?;
/// let request = Request::try_from(request)?;
/// assert_eq!(request.path(), "/messages");
/// # Ok(())
/// # }
/// ```
impl<B: Into<Body>> TryFrom<http::Request<B>> for Request {
    type Error = Error;

    fn try_from(request: http::Request<B>) -> Result<Request, Error> {
        let (parts, body) = request.into_parts();
        let version = match parts.version {
            http::Version::HTTP_10 => "HTTP/1.0",
            _ => "HTTP/1.1",
        };
        let line = format!("{} {} {version}\r\n", parts.method, parts.uri);
        let mut wire = line.into_bytes();
        if !parts.headers.contains_key(http::header::HOST) {
            let host = parts
                .uri
                .authority()
                .map_or("", |authority| authority.as_str());
            wire.extend_from_slice(format!("Host: {host}\r\n").as_bytes());
        }
        for (name, value) in &parts.headers {
            headers::append(&mut wire, name.as_str(), value.as_bytes())?;
        }
        wire.extend_from_slice(b"\r\n");
        let parsed = HeadParser::default().parse(&wire, usize::MAX)?;
        let (head, _) = parsed.ok_or(BAD_REQUEST)?;
        Ok(Request::new(
            head,
            body.into(),
            Connection::in_memory(),
            None,
        ))
    }
}

/// Fields that are the server's to say are left out.
///
/// ```
/// use httpserver::Response;
///
/// let response: Response = http::Response::new("hello").into();
/// assert_eq!(response.status(), 200);
/// ```
impl<B: Into<Body>> From<http::Response<B>> for Response {
    fn from(response: http::Response<B>) -> Response {
        let (parts, body) = response.into_parts();
        let mut response = Response::new(body).with_status(parts.status);
        for (name, value) in &parts.headers {
            let _ = response.append(name.as_str(), value.as_bytes());
        }
        response
    }
}

/// It fails for a response that [switches protocols](Response::upgrade).
///
/// ```
/// use httpserver::{Body, Error, Response};
///
/// # fn main() -> Result<(), Error> {
/// let response: http::Response<Body> = Response::text("hello").try_into()?;
/// assert_eq!(response.headers()["content-type"], "text/plain; charset=utf-8");
/// # Ok(())
/// # }
/// ```
impl TryFrom<Response> for http::Response<Body> {
    type Error = Error;

    fn try_from(mut response: Response) -> Result<http::Response<Body>, Error> {
        if response.upgrade.is_some() {
            let what = "a response that switches protocols has a stream and no body";
            return Err(std::io::Error::other(what).into());
        }
        let mut builder = http::Response::builder().status(response.status);
        for (name, value) in response.headers() {
            builder = builder.header(name, value);
        }
        if let Some(length) = response.length {
            builder = builder.header(http::header::CONTENT_LENGTH, length);
        }
        if response.closes {
            builder = builder.header(http::header::CONNECTION, "close");
        }
        Ok(builder.body(std::mem::take(&mut response.body))?)
    }
}
