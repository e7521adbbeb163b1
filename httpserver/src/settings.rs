//! The limits of an HTTP server and their defaults.

use std::time::Duration;

use crate::handler::HttpHandler;
use crate::server::HttpServer;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub(crate) max_head_size: usize,
    pub(crate) max_body_size: u64,
    pub(crate) idle_timeout: Duration,
    pub(crate) head_timeout: Duration,
    pub(crate) body_timeout: Duration,
    pub(crate) write_timeout: Duration,
}

impl<H: HttpHandler> HttpServer<H> {
    /// How many bytes a request's head may have, from the request line to the empty line: 32 KiB
    /// unless set, which is what nginx takes. Above it, the client gets 431, or 414 if the request
    /// line alone is longer. A client that sends its head slowly occupies up to twice that much.
    ///
    /// ```
    /// # use httpserver::{Error, HttpServer, Request, Response};
    /// # async fn app(_: Request) -> Result<Response, Error> { Ok(Response::text("")) }
    /// let server = HttpServer::new(app).max_head_size(8 * 1024);
    /// ```
    pub fn max_head_size(mut self, bytes: usize) -> HttpServer<H> {
        self.settings.max_head_size = bytes;
        self
    }

    /// How many bytes a request's body may have: 16 MiB unless set. Above it, reading the body
    /// fails with 413. A handler that does not hold the body may allow more, with
    /// [`Body::set_max_size`](crate::Body::set_max_size).
    ///
    /// ```
    /// # use httpserver::{Error, HttpServer, Request, Response};
    /// # async fn app(_: Request) -> Result<Response, Error> { Ok(Response::text("")) }
    /// let server = HttpServer::new(app).max_body_size(1024 * 1024);
    /// ```
    pub fn max_body_size(mut self, bytes: u64) -> HttpServer<H> {
        self.settings.max_body_size = bytes;
        self
    }

    /// How long a connection may wait for its next request: 75 s unless set, as in nginx. After
    /// that it is closed without a word. `Duration::MAX` means for ever, here and below.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use httpserver::{Error, HttpServer, Request, Response};
    /// # async fn app(_: Request) -> Result<Response, Error> { Ok(Response::text("")) }
    /// let server = HttpServer::new(app).idle_timeout(Duration::from_secs(10));
    /// ```
    pub fn idle_timeout(mut self, timeout: Duration) -> HttpServer<H> {
        self.settings.idle_timeout = timeout;
        self
    }

    /// How long a request's head may take, from its first byte to its last: 30 s unless set.
    /// After that the client gets 408.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use httpserver::{Error, HttpServer, Request, Response};
    /// # async fn app(_: Request) -> Result<Response, Error> { Ok(Response::text("")) }
    /// let server = HttpServer::new(app).head_timeout(Duration::from_secs(10));
    /// ```
    pub fn head_timeout(mut self, timeout: Duration) -> HttpServer<H> {
        self.settings.head_timeout = timeout;
        self
    }

    /// How long a client may send nothing of a body that a handler reads: 60 s unless set, as in
    /// nginx. After that, reading it fails with 408.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use httpserver::{Error, HttpServer, Request, Response};
    /// # async fn app(_: Request) -> Result<Response, Error> { Ok(Response::text("")) }
    /// let server = HttpServer::new(app).body_timeout(Duration::from_secs(10));
    /// ```
    pub fn body_timeout(mut self, timeout: Duration) -> HttpServer<H> {
        self.settings.body_timeout = timeout;
        self
    }

    /// How long a client may take nothing of its answer: 60 s unless set, as in nginx. After that
    /// the connection is reset.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use httpserver::{Error, HttpServer, Request, Response};
    /// # async fn app(_: Request) -> Result<Response, Error> { Ok(Response::text("")) }
    /// let server = HttpServer::new(app).write_timeout(Duration::from_secs(10));
    /// ```
    pub fn write_timeout(mut self, timeout: Duration) -> HttpServer<H> {
        self.settings.write_timeout = timeout;
        self
    }
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            max_head_size: MAX_HEAD_SIZE,
            max_body_size: MAX_BODY_SIZE,
            idle_timeout: IDLE_TIMEOUT,
            head_timeout: HEAD_TIMEOUT,
            body_timeout: BODY_TIMEOUT,
            write_timeout: WRITE_TIMEOUT,
        }
    }
}

/// What nginx takes (four times 8 KiB). Ten thousand clients that send half of it and stop occupy
/// less than a gigabyte.
const MAX_HEAD_SIZE: usize = 32 * 1024;

/// For handlers that read the body whole: enough for pictures and documents, little enough that a
/// hundred at once do no harm.
const MAX_BODY_SIZE: u64 = 16 * 1024 * 1024;

/// nginx's `keepalive_timeout`: proxies and browsers expect a connection to live for a minute.
const IDLE_TIMEOUT: Duration = Duration::from_secs(75);

/// A head comes in one packet, mostly. This is for lines on which packets get lost, not for people.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// nginx's `client_body_timeout` and `send_timeout`, which count from the last byte too.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);
