//! An HTTP/1.1 server as the reference subclass of a Tornado-style TCP server: give it a handler,
//! hand it to a [`TcpServer`](tcpserver::TcpServer).
//!
//! ```no_run
//! use httpserver::{Error, HttpServer, Request, Response};
//! use tcpserver::{BoxError, TcpServer};
//!
//! async fn hello(_: Request) -> Result<Response, Error> {
//!     Ok(Response::text("Hello, World!"))
//! }
//!
//! fn main() -> Result<(), BoxError> {
//!     TcpServer::new(HttpServer::new(hello)).run("127.0.0.1:8888")
//! }
//! ```
//!
//! There is no router, no template and no cookie jar: a handler is one function, and `match` goes
//! a long way. It uses nothing of the layers below that another protocol could not use as well;
//! where to listen, how many connections there may be and how to stop is the
//! [`tcpserver`] crate's.
//!
//! ```
//! use httpserver::{Error, Method, Request, Response, StatusCode};
//!
//! async fn app(mut request: Request) -> Result<Response, Error> {
//!     match (request.method(), request.path()) {
//!         (&Method::GET, "/") => Ok(Response::html("<!doctype html><title>Hello</title>")),
//!         (&Method::POST, "/shout") => {
//!             Ok(Response::text(request.body().text().await?.to_uppercase()))
//!         }
//!         (_, "/") => Response::from(StatusCode::METHOD_NOT_ALLOWED).with_header("Allow", "GET"),
//!         _ => Err(Error::new(StatusCode::NOT_FOUND)),
//!     }
//! }
//! # let _server = httpserver::HttpServer::new(app);
//! ```
//!
//! # Bodies
//!
//! A [`Body`] is pulled, in both directions. A handler reads a request's body whole, in pieces or
//! not at all; a response's body may be made [in pieces](Body::from_fn), each when the client has
//! taken those before. A client that does not read therefore costs no memory.
//!
//! # Errors
//!
//! A handler says `?`. An [`Error`] has a status: reading a body fails with the one that fits, any
//! other error is a 500 whose cause is logged and not shown. After a response has begun it cannot
//! fail any more: if its body does, the connection is cut, so that nobody takes a part for the
//! whole.
//!
//! # Strictness
//!
//! The server speaks HTTP/1.1 and 1.0 as RFC 9110 and RFC 9112 have it, with keep-alive and
//! pipelining. What could be understood in two ways is refused, as two lengths, a bare line feed
//! or a blank before a colon; the client hears 400, and the connection is closed. Targets and
//! values are handed on as they came: nothing is decoded.
//!
//! # Limits
//!
//! | limit | default | above it | where |
//! |---|---|---|---|
//! | a request's head | 32 KiB | 431, or 414 for the request line | [`HttpServer::max_head_size`] |
//! | header fields | 100 | 431 | fixed |
//! | a request's body | 16 MiB | 413 | [`HttpServer::max_body_size`] |
//! | a line between chunks | 4 KiB | 400 | fixed |
//! | chunk extensions | 16 KiB beyond twice the data | 400 | fixed |
//! | trailer fields | 8 KiB, 32 fields | 431 | fixed |
//! | time between requests | 75 s | closed | [`HttpServer::idle_timeout`] |
//! | time for a head | 30 s | 408 | [`HttpServer::head_timeout`] |
//! | time without a byte of a body | 60 s | 408 | [`HttpServer::body_timeout`] |
//! | time without taking a byte | 60 s | reset | [`HttpServer::write_timeout`] |
//! | unread body that is thrown away | 64 KiB | closed | fixed |
//! | answers in memory for one client | 80 KiB and one piece | not asked for more | fixed |

mod body;
mod chunked;
mod convert;
mod date;
mod error;
mod exchange;
mod framing;
mod handler;
mod head;
mod headers;
mod incoming;
mod lines;
mod output;
mod panics;
mod reject;
mod request;
mod response;
mod response_head;
mod scan;
mod send;
mod server;
mod settings;
mod target;

pub use bytes::Bytes;
pub use http::{Method, StatusCode, Version};

pub use crate::body::Body;
pub use crate::error::Error;
pub use crate::handler::HttpHandler;
pub use crate::headers::{Headers, Iter};
pub use crate::request::Request;
pub use crate::response::Response;
pub use crate::server::HttpServer;
