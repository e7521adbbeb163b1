//! One request and its response: what the connection keeps of them while the handler works.

use std::convert::Infallible;
use std::future::{pending, poll_fn};
use std::io;
use std::rc::Rc;

use futures_lite::future::or;
use http::{Method, StatusCode, Version};
use iostream::ReadHalf;
use tcpserver::Connection;

use crate::body::{Body, Kind};
use crate::error::Error;
use crate::framing::Framing;
use crate::head::Head;
use crate::incoming::{Incoming, Reader};
use crate::output::Output;
use crate::request::Request;
use crate::response::{Response, Upgrade};
use crate::response_head::{BodyEnd, write_head};
use crate::send::{Unsent, gather_body, send_body};
use crate::settings::Settings;

/// What is needed of a request when its handler has it.
pub(crate) struct Exchange<'a> {
    connection: &'a Connection,
    head: Rc<Head>,
    keeps_alive: bool,
    /// None if the request has no body.
    lent: Option<Lent>,
    /// What the handler wants to do with the stream afterwards.
    upgrade: Option<Upgrade>,
}

/// The reading half in the hands of a request's body. It is taken back however the exchange ends:
/// the handler's side may live on.
struct Lent(Incoming);

impl Drop for Lent {
    fn drop(&mut self) {
        self.0.take();
    }
}

/// What comes after a response.
pub(crate) enum Next {
    /// Another request.
    Request,
    /// Another request, behind what is left of this one's body.
    Drain(Box<Reader>),
    /// Another protocol.
    Upgrade(Upgrade),
    /// Nothing: the connection is to be closed.
    Close,
    /// Nothing, as the client has said itself: it has sent all that it will.
    Last,
    /// Nothing, and the client must see that it was cut.
    Abort,
}

impl<'a> Exchange<'a> {
    /// Makes a request of what was read. If it has a body, that takes the reader, and reads when it
    /// is asked to.
    // Nothing here is generic, and what is returned is large.
    #[inline]
    pub(crate) fn begin(
        settings: &Settings,
        head: Rc<Head>,
        reader: &mut Option<ReadHalf>,
        output: &mut Output,
        connection: &'a Connection,
    ) -> (Request, Exchange<'a>) {
        let closed = reader.as_ref().map(ReadHalf::peer_closed);
        let mut lent = None;
        if head.framing != Framing::None {
            lent = reader.take().map(|reader| {
                let expecting = head.expects_continue.then(|| {
                    // What asks for the body must not overtake what was answered before.
                    output.queue();
                    output.stream().clone()
                });
                let reader = Reader::new(reader, head.framing, settings, expecting);
                Lent(Incoming::new(reader))
            });
        }
        let body = match &lent {
            Some(lent) => Body::incoming(lent.0.clone()),
            None => Body::empty(),
        };
        let exchange = Exchange {
            connection,
            head: Rc::clone(&head),
            keeps_alive: head.keeps_alive,
            lent,
            upgrade: None,
        };
        let request = Request::new(head, body, connection.clone(), closed);
        (request, exchange)
    }

    /// Gathers the response that the handler has made, or the one for its error. Gives back the
    /// body if that is to be sent by itself, as few are.
    // By reference, as below: a response is large, and the compiler would move it at each step.
    pub(crate) fn answer(
        &mut self,
        answer: &mut Result<Response, Error>,
        output: &mut Output,
    ) -> Option<Box<(Body, BodyEnd)>> {
        let mut response = match answer {
            Ok(response) if self.may_be_sent(response) => return self.gather(response, output),
            Ok(response) => self.explain(&unasked_switch(response)),
            Err(error) => self.explain(error),
        };
        self.gather(&mut response, output)
    }

    fn gather(
        &mut self,
        response: &mut Response,
        output: &mut Output,
    ) -> Option<Box<(Body, BodyEnd)>> {
        let (is_head, version) = (*self.head.method() == Method::HEAD, self.head.version);
        let (status, length) = (response.status, response.length);
        let end = BodyEnd::of(status, length, &response.body, is_head, version);
        let sends_body = !matches!(end, BodyEnd::Never(_));
        let sent = sends_body.then_some(&response.body);
        self.keeps_alive &= self.lent.as_ref().is_none_or(|lent| lent.will_end(sent))
            && !response.closes
            && end != BodyEnd::Close
            && !self.connection.is_draining();
        self.upgrade = response.upgrade.take();
        let option = match (response.has_upgrade, self.keeps_alive, version) {
            (true, true, _) => Some("Upgrade"),
            (true, false, _) => Some("Upgrade, close"),
            (false, false, _) => Some("close"),
            (false, true, Version::HTTP_10) => Some("keep-alive"),
            (false, true, _) => None,
        };
        let now = output.now();
        write_head(output.gather(), response, end, option, now);
        gather_body(&mut response.body, end, output).map(|body| Box::new((body, end)))
    }

    /// Sends the body that [`answer`](Exchange::answer) has given back.
    pub(crate) async fn send_rest(
        &self,
        body: Body,
        end: BodyEnd,
        output: &mut Output,
    ) -> Result<(), Unsent> {
        let discarding = self.discard_input(body.is_here());
        let discarding = async { match discarding.await {} };
        or(send_body(body, end, output), discarding).await
    }

    /// Throws away what arrives of a body that the handler has not read, and never ends. A client
    /// that sends everything before it reads would otherwise wait for us while we wait for it.
    ///
    /// Only a response that is here does not itself come from the request's body.
    async fn discard_input(&self, response_is_here: bool) -> Infallible {
        if let (Some(lent), true) = (&self.lent, response_is_here) {
            lent.0.with_reader(|reader| reader.set_limit(u64::MAX));
            while let Some(Ok(_)) = poll_fn(|context| lent.0.poll_next(context)).await {}
        }
        pending().await
    }

    /// The response could not be sent to its end.
    #[cold]
    pub(crate) fn cut_short(self, unsent: Unsent, end: BodyEnd) -> Next {
        let (peer, request) = (self.connection.peer_address(), self.head.request_line());
        match unsent {
            Unsent::Peer(error) => {
                tracing::debug!(%peer, %request, %error, "the peer has left");
                Next::Abort
            }
            Unsent::Body(error) => {
                match error.status().is_server_error() {
                    true => tracing::warn!(%peer, %request, "a response was cut short: {error}"),
                    // It streams what the client should have sent.
                    false => tracing::debug!(%peer, %request, "a response was cut short: {error}"),
                }
                match end {
                    // If only the end of the connection ends the body, it must not look whole.
                    BodyEnd::Close => Next::Abort,
                    _ => Next::Close,
                }
            }
        }
    }

    /// The response was sent, or at least gathered.
    // By reference, or all of this would be moved once more for each request.
    #[inline]
    pub(crate) fn finish(&mut self) -> Next {
        match (self.lent.take(), self.upgrade.take()) {
            (None, Some(upgrade)) => Next::Upgrade(upgrade),
            (None, None) if self.keeps_alive => Next::Request,
            (None, None) if !self.head.keeps_alive => Next::Last,
            (None, None) => Next::Close,
            // After a body more may come all the same: some clients send an empty line.
            (Some(lent), _) => match lent.0.take() {
                Some(rest) if self.keeps_alive => Next::Drain(rest),
                _ => Next::Close,
            },
        }
    }

    /// A response that switches protocols must have been asked for; other statuses below 200 are
    /// none of a handler's.
    fn may_be_sent(&self, response: &Response) -> bool {
        match response.upgrade {
            Some(_) => self.head.may_upgrade && response.status == StatusCode::SWITCHING_PROTOCOLS,
            None => !response.status.is_informational(),
        }
    }

    /// What a client gets instead of the response that a handler could not make.
    #[cold]
    fn explain(&self, error: &Error) -> Response {
        let (peer, request) = (self.connection.peer_address(), self.head.request_line());
        let response = Response::from(error);
        match response.status.is_server_error() {
            true => tracing::error!(%peer, %request, "{error}"),
            false => tracing::debug!(%peer, %request, "{error}"),
        }
        response
    }
}

fn unasked_switch(response: &Response) -> Error {
    let what = format!("a {} that the request does not ask for", response.status);
    io::Error::other(what).into()
}

impl Lent {
    /// Whether the request will have been read to its end when the response is sent, or little is
    /// missing; `sent` is the body of that. It is the last moment to ask the client for the body.
    fn will_end(&self, sent: Option<&Body>) -> bool {
        let is_sent_back = sent.is_some_and(|body| match &body.kind {
            Kind::Incoming(incoming) => incoming.is(&self.0),
            _ => false,
        });
        let will_end = self.0.with_reader(|reader| {
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
