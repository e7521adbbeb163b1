//! One request and its response, from the head to what comes next on the connection.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;
use std::{io, mem};

use http::{Method, StatusCode, Version};
use ioloop::IoLoop;
use iostream::ReadHalf;
use tcpserver::Connection;

use crate::body::{Body, Kind};
use crate::error::Error;
use crate::framing::Framing;
use crate::handler::HttpHandler;
use crate::head::{Head, RequestLine};
use crate::incoming::{Incoming, Reader};
use crate::output::Output;
use crate::request::Request;
use crate::response::{Response, Upgrade};
use crate::response_head::{BodyEnd, write_head};
use crate::send::{Failure, send_body};
use crate::settings::Settings;

/// What comes after a response.
pub(crate) enum Next {
    /// Another request.
    Request(ReadHalf),
    /// Another protocol.
    Upgrade(ReadHalf, Upgrade),
    /// Nothing: the connection is to be closed.
    Close,
    /// Nothing, and the client must see that it was cut.
    Abort,
}

/// The reading half while a handler works: lent to the request's body if it has one.
enum Input {
    Kept(ReadHalf),
    Lent(Incoming),
}

/// What is needed of a request when its handler has it.
struct Facts {
    line: RequestLine,
    is_head: bool,
    version: Version,
    keeps_alive: bool,
    may_upgrade: bool,
}

/// Has the handler answer a request, and sends the answer.
pub(crate) async fn exchange<H: HttpHandler>(
    handler: &H,
    settings: &Settings,
    head: Head,
    reader: ReadHalf,
    output: &mut Output,
    connection: &Connection,
) -> Next {
    let facts = Facts {
        line: head.request_line(),
        is_head: *head.method() == Method::HEAD,
        version: head.version,
        keeps_alive: head.keeps_alive,
        may_upgrade: head.may_upgrade,
    };
    let closed = Some(reader.peer_closed());
    let (body, input) = lend(settings, &head, reader, output);
    let request = Request::new(head, body, connection.clone(), closed);

    let answer = catch_panic(async { handler.handle_request(request).await });
    let response = match output.while_sending(answer).await {
        Ok(response) => check_switch(response, &facts),
        Err(error) => Err(error),
    };
    let response = response.unwrap_or_else(|error| explain(&error, &facts, connection));
    respond(response, input, &facts, output, connection).await
}

/// Makes the body of a request, which reads from the connection when it is asked to.
fn lend(settings: &Settings, head: &Head, reader: ReadHalf, output: &mut Output) -> (Body, Input) {
    if head.framing == Framing::None {
        return (Body::empty(), Input::Kept(reader));
    }
    let expecting = head.expects_continue.then(|| {
        // What asks for the body must not overtake what was answered before.
        output.queue();
        output.stream().clone()
    });
    let incoming = Incoming::new(Reader::new(
        reader,
        head.framing,
        settings.max_body_size,
        settings.body_timeout,
        expecting,
    ));
    (Body::incoming(incoming.clone()), Input::Lent(incoming))
}

/// A response that switches protocols must have been asked for; other statuses below 200 are none
/// of a handler's.
fn check_switch(response: Response, facts: &Facts) -> Result<Response, Error> {
    let is_switch = response.status == StatusCode::SWITCHING_PROTOCOLS;
    let is_right = match response.upgrade {
        Some(_) => is_switch && facts.may_upgrade,
        None => !response.status.is_informational(),
    };
    if is_right {
        return Ok(response);
    }
    let what = format!("a {} that the request does not ask for", response.status);
    Err(io::Error::other(what).into())
}

/// Sends a response, and sees to what is left of the request.
async fn respond(
    mut response: Response,
    input: Input,
    facts: &Facts,
    output: &mut Output,
    connection: &Connection,
) -> Next {
    let body = mem::take(&mut response.body);
    let end = BodyEnd::of(
        response.status,
        response.length,
        &body,
        facts.is_head,
        facts.version,
    );
    let keeps_alive = input.will_end(&body)
        && facts.keeps_alive
        && !response.closes
        && end != BodyEnd::Close
        && !connection.is_draining();
    let option = match (&response.upgrade, keeps_alive, facts.version) {
        (Some(_), ..) => Some("Upgrade"),
        (None, false, _) => Some("close"),
        (None, true, Version::HTTP_10) => Some("keep-alive"),
        (None, true, _) => None,
    };
    write_head(
        output.gather(),
        &response,
        end,
        option,
        IoLoop::current().now(),
    );

    if let Err(failure) = send_body(body, end, output).await {
        let peer = connection.peer_address();
        return match failure {
            Failure::Peer(error) => {
                tracing::debug!(%peer, request = %facts.line, %error, "the peer has left");
                Next::Abort
            }
            Failure::Body(error) => {
                tracing::warn!(%peer, request = %facts.line, %error, "a response was cut short");
                // If only the end of the connection ends the body, it must not look whole.
                match end {
                    BodyEnd::Close => Next::Abort,
                    _ => Next::Close,
                }
            }
        };
    }
    match (input, response.upgrade) {
        (Input::Kept(reader), Some(upgrade)) => Next::Upgrade(reader, upgrade),
        (Input::Kept(reader), None) if keeps_alive => Next::Request(reader),
        (Input::Kept(_), None) => Next::Close,
        (Input::Lent(incoming), _) => match incoming.take() {
            Some(rest) if keeps_alive => match output.while_sending(rest.drain()).await {
                Some(reader) => Next::Request(reader),
                None => Next::Close,
            },
            _ => Next::Close,
        },
    }
}

impl Input {
    /// Whether the request will have been read to its end when `response` is sent, or little is
    /// missing. It is the last moment to ask the client for the body.
    fn will_end(&self, response: &Body) -> bool {
        let Input::Lent(incoming) = self else {
            return true;
        };
        let is_sent_back = matches!(response.kind, Kind::Incoming(_));
        let will_end = incoming.with_reader(|reader| {
            if is_sent_back {
                reader.permit();
            }
            let will_end = is_sent_back || reader.is_worth_draining();
            reader.forbid();
            will_end
        });
        will_end.unwrap_or(false)
    }
}

/// What a client gets instead of the response that a handler could not make.
fn explain(error: &Error, facts: &Facts, connection: &Connection) -> Response {
    let peer = connection.peer_address();
    match error.status().is_server_error() {
        true => tracing::error!(%peer, request = %facts.line, "{error}"),
        false => tracing::debug!(%peer, request = %facts.line, "{error}"),
    }
    error.response()
}

/// A panic ends neither the connection nor what was answered on it before.
async fn catch_panic(
    answer: impl Future<Output = Result<Response, Error>>,
) -> Result<Response, Error> {
    let mut answer = pin!(answer);
    poll_fn(|context| {
        let polled = catch_unwind(AssertUnwindSafe(|| answer.as_mut().poll(context)));
        polled.unwrap_or_else(|payload| {
            let text = payload.downcast_ref::<&str>().copied();
            let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
            let text = text.unwrap_or("of an unknown kind");
            let panic = io::Error::other(format!("handle_request panicked: {text}"));
            Poll::Ready(Err(panic.into()))
        })
    })
    .await
}
