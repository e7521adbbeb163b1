//! The server: what it does with a connection between requests.

use std::fmt;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use http::Version;
use iostream::{IoStream, ReadHalf};
use tcpserver::{BoxError, Connection, StreamHandler};

use crate::error::Error;
use crate::exchange::{Exchange, Next};
use crate::handler::HttpHandler;
use crate::head::{Head, HeadParser};
use crate::output::Output;
use crate::panics::contain;
use crate::reject::{Reject, TIMED_OUT};
use crate::response::Response;
use crate::response_head::{BodyEnd, write_head};
use crate::send::gather_body;
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
    Head(Rc<Head>),
    /// Something, but not all of a head. Nothing was consumed.
    Part(Box<HeadParser>),
    Refused(Box<Refusal>),
}

/// No request comes any more, and nobody asks why between two of them.
struct Ended;

impl From<iostream::Error> for Ended {
    fn from(_: iostream::Error) -> Ended {
        Ended
    }
}

/// What is no request, and whether it looks like a HEAD: that is answered without a body.
struct Refusal {
    reject: Reject,
    is_head: bool,
}

impl Refusal {
    fn new(reject: Reject, bytes: &[u8]) -> Refusal {
        Refusal {
            reject,
            is_head: bytes.trim_ascii_start().starts_with(b"HEAD "),
        }
    }
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
    #[expect(
        clippy::manual_async_fn,
        reason = "an `async fn` would hold its arguments twice"
    )]
    fn serve(
        &self,
        stream: IoStream,
        connection: &Connection,
        mut arrived: Arrived,
    ) -> impl Future<Output = Result<Option<IoStream>, BoxError>> {
        async move {
            let (reader, writer) = stream.split();
            // Empty while a request's body has it. Moving it for each request would cost more.
            let mut place = Some(reader);
            let mut output = Output::new(writer, self.settings.write_timeout);
            let next = loop {
                let Some(reader) = &mut place else {
                    break Next::Close;
                };
                let head = match arrived {
                    Arrived::Head(head) => head,
                    other => {
                        let waiting = self.wait(other, reader, &mut output, connection);
                        match rare(waiting).await {
                            Some(head) => head,
                            None => break Next::Close,
                        }
                    }
                };
                // In a scope: when it is over, the next head may take the place of this one's.
                let next = {
                    let (request, mut exchange) =
                        Exchange::begin(&self.settings, head, &mut place, &mut output, connection);
                    let unsent = {
                        let mut handling = pin!(self.handler.handle_request(request));
                        poll_fn(
                            |context| match &mut contain(|| handling.as_mut().poll(context)) {
                                Poll::Ready(answer) => {
                                    Poll::Ready(exchange.answer(answer, &mut output))
                                }
                                Poll::Pending => {
                                    output.queue();
                                    Poll::Pending
                                }
                            },
                        )
                        .await
                    };
                    if let Some(unsent) = unsent {
                        let (body, end) = *unsent;
                        let sending = rare(exchange.send_rest(body, end, &mut output));
                        if let Err(unsent) = sending.await {
                            break exchange.cut_short(unsent, end);
                        }
                    }
                    exchange.finish()
                };
                match next {
                    Next::Request => {}
                    Next::Drain(rest) => {
                        place = output.while_sending(rare(rest.drain())).await;
                    }
                    other => break other,
                }
                if output.is_much() && output.send().await.is_err() {
                    break Next::Abort;
                }
                let Some(reader) = &mut place else {
                    break Next::Close;
                };
                if reader.buffered() == 0 {
                    break Next::Request;
                }
                // It waits for nothing but its turn.
                let mut reading = pin!(reader.read_with(first_look(&self.settings)));
                let next = poll_fn(|context| output.or_queue(reading.as_mut().poll(context)));
                arrived = match next.await {
                    Ok(arrived) => arrived,
                    Err(Ended) => break Next::Close,
                };
            };
            if let Next::Abort = next {
                output.stream().abort();
                return Ok(None);
            }
            // Who does not take their answers is not asked for more.
            if let Err(error) = output.send().await {
                tracing::debug!(peer = %connection.peer_address(), %error, "the peer has left");
                output.stream().abort();
                return Ok(None);
            }
            match (next, place) {
                (Next::Request, Some(reader)) => Ok(Some(reader.unsplit(output.into_stream()))),
                (Next::Upgrade(upgrade), Some(reader)) => {
                    let stream = reader.unsplit(output.into_stream());
                    stream.set_deadline(None);
                    upgrade(stream).await?;
                    Ok(None)
                }
                // No input comes any more that the kernel would answer with a reset, which is what
                // lingering is for.
                (Next::Last, Some(reader)) if reader.buffered() == 0 => {
                    let stream = reader.unsplit(output.into_stream());
                    stream.set_linger_timeout(Duration::ZERO);
                    Ok(None)
                }
                _ => Ok(None),
            }
        }
    }

    /// Waits for the rest of a head, or refuses what is none.
    async fn wait(
        &self,
        arrived: Arrived,
        reader: &mut ReadHalf,
        output: &mut Output,
        connection: &Connection,
    ) -> Option<Rc<Head>> {
        let refusal = match arrived {
            Arrived::Head(head) => return Some(head),
            Arrived::Refused(refusal) => *refusal,
            Arrived::Part(parser) => {
                output.queue();
                match self.read_rest(reader, connection, parser).await? {
                    Ok(head) => return Some(head),
                    Err(refusal) => refusal,
                }
            }
        };
        refuse(&refusal, output, connection);
        None
    }

    /// Waits for the rest of a head, not for long. None if it does not come.
    async fn read_rest(
        &self,
        reader: &mut ReadHalf,
        connection: &Connection,
        mut parser: Box<HeadParser>,
    ) -> Option<Result<Rc<Head>, Refusal>> {
        reader.set_deadline_after(self.settings.head_timeout);
        let max = self.settings.max_head_size;
        let rest = reader.read_with(|bytes| {
            Ok(match parser.parse(bytes, max) {
                Ok(head) => head.map(|(head, length)| (Ok(head), length)),
                Err(reject) => Some((Err(Refusal::new(reject, bytes)), 0)),
            })
        });
        match connection.unless_draining(rest).await? {
            Ok(head) => Some(head),
            Err(iostream::Error::TimedOut) if parser.has_begun() => {
                Some(Err(Refusal::new(TIMED_OUT, b"")))
            }
            Err(error) => {
                tracing::debug!(peer = %connection.peer_address(), %error, "no request came");
                None
            }
        }
    }
}

impl<H: HttpHandler> StreamHandler for HttpServer<H> {
    // Not an `async fn`: that would hold its arguments twice for as long as a connection is idle.
    fn handle_stream(
        &self,
        stream: IoStream,
        connection: Connection,
    ) -> impl Future<Output = Result<(), BoxError>> {
        let mut idle = Some(stream);
        async move {
            while let Some(stream) = &mut idle {
                stream.set_deadline_after(self.settings.idle_timeout);
                // A future for each poll: one that is kept would be held by every idle connection.
                let arrived = poll_fn(|context| {
                    pin!(stream.read_with(first_look(&self.settings))).poll(context)
                });
                let Some(Ok(arrived)) = connection.unless_draining(arrived).await else {
                    break;
                };
                if let Some(stream) = idle.take() {
                    idle = Box::pin(self.serve(stream, &connection, arrived)).await?;
                }
            }
            Ok(())
        }
    }
}

/// What few requests come to: all would carry it around, and step over its instructions.
#[cold]
fn rare<'a, T>(future: impl Future<Output = T> + 'a) -> Pin<Box<dyn Future<Output = T> + 'a>> {
    Box::pin(future)
}

/// Answers what is no request. What comes behind it cannot be understood either.
fn refuse(refusal: &Refusal, output: &mut Output, connection: &Connection) {
    let Refusal { reject, is_head } = refusal;
    tracing::debug!(peer = %connection.peer_address(), status = %reject.status, "{reject}");
    let mut response = Response::from(Error::from(*reject));
    let body = &mut response.body;
    let end = BodyEnd::of(reject.status, None, body, *is_head, Version::HTTP_11);
    let now = output.now();
    write_head(output.gather(), &response, end, Some("close"), now);
    gather_body(&mut response.body, end, output);
}

/// A parser that answers as soon as there is anything.
fn first_look(settings: &Settings) -> impl FnMut(&[u8]) -> Result<Option<(Arrived, usize)>, Ended> {
    |bytes| {
        if bytes.is_empty() {
            return Ok(None);
        }
        let mut parser = HeadParser::default();
        Ok(Some(match parser.parse(bytes, settings.max_head_size) {
            Ok(Some((head, length))) => (Arrived::Head(head), length),
            Ok(None) => (Arrived::Part(Box::new(parser)), 0),
            Err(reject) => (Arrived::Refused(Box::new(Refusal::new(reject, bytes))), 0),
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

    #[test]
    #[cfg(target_pointer_width = "64")]
    fn an_idle_connection_is_not_larger_than_it_was() {
        ioloop::testing::run(async {
            let server = HttpServer::new(async |_: Request| Ok(Response::text("hello")));
            let (_client, stream) = IoStream::pair();
            let idle = server.handle_stream(stream, Connection::in_memory());
            assert!(size_of_val(&idle) <= 72, "{}", size_of_val(&idle));
        });
    }
}
