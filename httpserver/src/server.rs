//! The server: what it does with a connection between requests.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::{fmt, mem};

use ioloop::IoLoop;
use iostream::{IoStream, ReadHalf};
use tcpserver::{BoxError, Connection, StreamHandler};

use crate::error::Error;
use crate::exchange::{Exchange, Next, poll_answer};
use crate::handler::HttpHandler;
use crate::head::{Head, HeadParser};
use crate::output::Output;
use crate::reject::{Failure, Reject, TIMED_OUT};
use crate::response_head::{BodyEnd, write_head};
use crate::send::{gather_body, send_body};
use crate::settings::Settings;

/// An HTTP/1.1 server: the [`StreamHandler`] of a [`TcpServer`](tcpserver::TcpServer), and no
/// more than that.
///
/// ```no_run
/// use httpserver::{Error, HttpServer, Request, Response};
/// use tcpserver::{BoxError, TcpServer};
///
/// async fn hello(_: Request) -> Result<Response, Error> {
///     Ok(Response::text("Hello, World!"))
/// }
///
/// fn main() -> Result<(), BoxError> {
///     TcpServer::new(HttpServer::new(hello)).run("127.0.0.1:8888")
/// }
/// ```
#[doc(alias = "HTTPServer")]
pub struct HttpServer<H> {
    handler: H,
    pub(crate) settings: Settings,
}

/// What has come of a request.
enum Arrived {
    Head(Head),
    /// Something, but not all of a head. Nothing was consumed.
    Part(HeadParser),
    Rejected(Reject),
}

impl<H: HttpHandler> HttpServer<H> {
    /// A server that has `handler` answer requests. The methods with which to change its limits
    /// follow below.
    ///
    /// ```
    /// use httpserver::{Error, HttpServer, Request, Response};
    ///
    /// let server = HttpServer::new(async |_: Request| Ok(Response::text("hello\n")));
    /// ```
    pub fn new(handler: H) -> HttpServer<H> {
        HttpServer {
            handler,
            settings: Settings::default(),
        }
    }

    /// Serves what has arrived, and what arrives while that is served. Gives the stream back when
    /// there is no more, or nothing if the connection is done with.
    ///
    /// It is a future of its own, so that a connection which waits does not carry it around. The
    /// handler's future lies in it once, and is never moved.
    async fn serve(
        &self,
        stream: IoStream,
        connection: &Connection,
        mut arrived: Arrived,
    ) -> Result<Option<IoStream>, BoxError> {
        let (mut reader, writer) = stream.split();
        let mut output = Output::new(writer, self.settings.write_timeout);
        loop {
            let head = match arrived {
                Arrived::Head(head) => head,
                Arrived::Part(parser) => {
                    output.queue();
                    match self.read_rest(&mut reader, connection, parser).await {
                        Some(Ok(head)) => head,
                        Some(Err(reject)) => {
                            arrived = Arrived::Rejected(reject);
                            continue;
                        }
                        None => return Ok(None),
                    }
                }
                Arrived::Rejected(reject) => {
                    refuse(reject, &mut output, connection);
                    let _ = output.send().await;
                    return Ok(None);
                }
            };
            let (request, mut exchange) =
                Exchange::begin(&self.settings, head, reader, &mut output, connection);
            let answer = {
                let mut answer = pin!(async { self.handler.handle_request(request).await });
                poll_fn(|context| output.or_queue(poll_answer(answer.as_mut(), context))).await
            };
            let (body, end) = exchange.answer(answer, &mut output);
            let sent = match gather_body(body, end, &mut output) {
                Some(body) => send_body(body, end, &mut output).await,
                None => Ok(()),
            };
            let next = match sent {
                Ok(()) => exchange.finish(&mut output).await,
                Err(failure) => exchange.cut_short(failure, end),
            };
            reader = match next {
                Next::Request(reader) => reader,
                Next::Upgrade(reader, upgrade) => {
                    output.send().await?;
                    let stream = reader.unsplit(output.into_stream());
                    stream.set_deadline(None);
                    upgrade(stream).await?;
                    return Ok(None);
                }
                Next::Close => {
                    let _ = output.send().await;
                    return Ok(None);
                }
                Next::Abort => {
                    output.stream().abort();
                    return Ok(None);
                }
            };
            arrived = match self.next_buffered(&mut reader).await {
                Some(next) => next,
                None => break,
            };
            if output.is_much() && output.send().await.is_err() {
                return Ok(None);
            }
        }
        // Who does not take their answers is not asked for more.
        match output.send().await {
            Ok(()) => Ok(Some(reader.unsplit(output.into_stream()))),
            Err(error) => {
                tracing::debug!(peer = %connection.peer_address(), %error, "the peer has left");
                output.stream().abort();
                Ok(None)
            }
        }
    }

    /// Waits for the rest of a head, not for long. None if it does not come.
    async fn read_rest(
        &self,
        reader: &mut ReadHalf,
        connection: &Connection,
        mut parser: HeadParser,
    ) -> Option<Result<Head, Reject>> {
        let now = IoLoop::current().now();
        reader.set_deadline(now.checked_add(self.settings.head_timeout));
        let max = self.settings.max_head_size;
        let rest = reader.read_with(|bytes| parser.parse(bytes, max).map_err(Failure::from));
        match connection.unless_draining(rest).await? {
            Ok(head) => Some(Ok(head)),
            Err(Failure::Rejected(reject)) => Some(Err(reject)),
            Err(Failure::Stream(iostream::Error::TimedOut)) if parser.has_begun() => {
                Some(Err(TIMED_OUT))
            }
            Err(Failure::Stream(error)) => {
                tracing::debug!(peer = %connection.peer_address(), %error, "no request came");
                None
            }
        }
    }

    /// What of the next request is here already.
    async fn next_buffered(&self, reader: &mut ReadHalf) -> Option<Arrived> {
        if reader.buffered() == 0 {
            return None;
        }
        let mut arrived = pin!(reader.read_with(first_look(&self.settings)));
        poll_fn(|context| {
            Poll::Ready(match arrived.as_mut().poll(context) {
                Poll::Ready(Ok(arrived)) => Some(arrived),
                // It is the loop's turn, or the stream's end; whoever waits for more will see.
                Poll::Ready(Err(_)) | Poll::Pending => None,
            })
        })
        .await
    }
}

impl<H: HttpHandler> StreamHandler for HttpServer<H> {
    #[expect(
        clippy::manual_async_fn,
        reason = "an `async fn` would hold its arguments twice for as long as a connection is idle"
    )]
    fn handle_stream(
        &self,
        mut stream: IoStream,
        connection: Connection,
    ) -> impl Future<Output = Result<(), BoxError>> {
        async move {
            loop {
                let now = stream.io_loop().now();
                stream.set_deadline(now.checked_add(self.settings.idle_timeout));
                let arrived = stream.read_with(first_look(&self.settings));
                let Some(Ok(arrived)) = connection.unless_draining(arrived).await else {
                    return Ok(());
                };
                match Box::pin(self.serve(stream, &connection, arrived)).await? {
                    Some(idle) => stream = idle,
                    None => return Ok(()),
                }
            }
        }
    }
}

/// Answers what is no request. What comes behind it cannot be understood either.
fn refuse(reject: Reject, output: &mut Output, connection: &Connection) {
    tracing::debug!(peer = %connection.peer_address(), status = %reject.status, "{reject}");
    let mut response = Error::from(reject).response();
    let body = mem::take(&mut response.body);
    let end = BodyEnd::Length(body.length().unwrap_or_default());
    let now = IoLoop::current().now();
    write_head(output.gather(), &response, end, Some("close"), now);
    gather_body(body, end, output);
}

/// A parser that answers as soon as there is anything.
fn first_look(
    settings: &Settings,
) -> impl FnMut(&[u8]) -> Result<Option<(Arrived, usize)>, iostream::Error> {
    |bytes| {
        if bytes.is_empty() {
            return Ok(None);
        }
        let mut parser = HeadParser::default();
        Ok(Some(match parser.parse(bytes, settings.max_head_size) {
            Ok(Some((head, length))) => (Arrived::Head(head), length),
            Ok(None) => (Arrived::Part(parser), 0),
            Err(reject) => (Arrived::Rejected(reject), 0),
        }))
    }
}

impl<H> fmt::Debug for HttpServer<H> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("HttpServer")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::Request;
    use crate::response::Response;

    #[test]
    #[cfg(target_pointer_width = "64")]
    fn an_idle_connection_is_not_larger_than_it_was() {
        ioloop::testing::run(async {
            let server = HttpServer::new(async |_: Request| Ok(Response::text("hello")));
            let (_client, stream) = IoStream::pair();
            let idle = server.handle_stream(stream, Connection::in_memory());
            assert!(size_of_val(&idle) <= 128, "{}", size_of_val(&idle));
        });
    }
}
