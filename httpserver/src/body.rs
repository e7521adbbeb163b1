//! Bodies of both directions: bytes that are pulled when they are wanted.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::{fmt, mem};

use bytes::{Bytes, BytesMut};
use futures_lite::Stream;
use futures_lite::stream::unfold;

use crate::error::Error;
use crate::incoming::Incoming;
use crate::reject::BAD_REQUEST;

/// The body of a request or a response: nothing, bytes, or a stream of them.
///
/// It is pulled: nothing of a request's body is read before somebody asks for it, and nothing of
/// a response's is made before the client has taken what came before. It is a
/// [`Stream`] of pieces, none of them empty.
///
/// ```
/// use futures_lite::StreamExt;
/// use httpserver::{Error, Request, Response};
///
/// async fn count(mut request: Request) -> Result<Response, Error> {
///     let mut length = 0;
///     while let Some(piece) = request.body().next().await {
///         length += piece?.len();
///     }
///     Ok(Response::text(format!("{length}\n")))
/// }
/// # let _server = httpserver::HttpServer::new(count);
/// ```
#[derive(Default)]
pub struct Body {
    pub(crate) kind: Kind,
}

#[derive(Default)]
pub(crate) enum Kind {
    #[default]
    Empty,
    /// Never empty.
    Full(Bytes),
    Incoming(Incoming),
    Stream(Pin<Box<dyn Stream<Item = Result<Bytes, Error>>>>),
}

impl Body {
    /// No body.
    ///
    /// ```
    /// assert_eq!(httpserver::Body::empty().length(), Some(0));
    /// ```
    pub fn empty() -> Body {
        Body::default()
    }

    /// A body of pieces that are made one after another, each when the client has taken those
    /// before, until there is none. Its length is not known: it is sent in chunks, or to a client
    /// of HTTP/1.0 until the connection closes. Set `Content-Length` on the response if you know
    /// it.
    ///
    /// An error cuts the connection, so that the client cannot take half a body for a whole one.
    /// When the client has left, the function is dropped where it waits, at the next piece.
    ///
    /// ```
    /// use std::time::Duration;
    /// use httpserver::{Body, Error, Request, Response};
    ///
    /// async fn count_down(_: Request) -> Result<Response, Error> {
    ///     let mut numbers = (1..=10).rev();
    ///     Ok(Response::text(Body::from_fn(async move || {
    ///         let number = numbers.next()?;
    ///         ioloop::sleep(Duration::from_secs(1)).await;
    ///         Some(Ok(format!("{number}\n").into()))
    ///     })))
    /// }
    /// # let _server = httpserver::HttpServer::new(count_down);
    /// ```
    pub fn from_fn(next: impl AsyncFnMut() -> Option<Result<Bytes, Error>> + 'static) -> Body {
        Body::stream(unfold(next, |mut next| async move {
            let piece = next().await?;
            Some((piece, next))
        }))
    }

    /// As [`from_fn`](Body::from_fn), for a stream.
    ///
    /// ```
    /// use futures_lite::stream;
    /// use httpserver::{Body, Response};
    ///
    /// let lines = ["one\n", "two\n"].map(|line| Ok(line.into()));
    /// let response = Response::text(Body::stream(stream::iter(lines)));
    /// ```
    pub fn stream(pieces: impl Stream<Item = Result<Bytes, Error>> + 'static) -> Body {
        Body {
            kind: Kind::Stream(Box::pin(pieces)),
        }
    }

    pub(crate) fn incoming(incoming: Incoming) -> Body {
        Body {
            kind: Kind::Incoming(incoming),
        }
    }

    /// How many bytes are still to come, if that is known.
    ///
    /// ```
    /// use httpserver::Body;
    ///
    /// assert_eq!(Body::from("hello").length(), Some(5));
    /// ```
    pub fn length(&self) -> Option<u64> {
        match &self.kind {
            Kind::Empty => Some(0),
            Kind::Full(bytes) => Some(bytes.len() as u64),
            Kind::Incoming(incoming) => incoming.with_reader(|reader| reader.length()).flatten(),
            Kind::Stream(_) => None,
        }
    }

    /// Reads all that is left.
    ///
    /// A request's body is never more than the server's
    /// [`max_body_size`](crate::HttpServer::max_body_size), 16 MiB unless set.
    ///
    /// # Errors
    /// 413 if a request's body is over its limit, 408 if it takes too long to arrive, 400 if it is
    /// malformed or cut short.
    ///
    /// # Cancel safety
    /// What was read so far is lost.
    ///
    /// ```
    /// use httpserver::{Error, Request, Response};
    ///
    /// async fn echo(mut request: Request) -> Result<Response, Error> {
    ///     Ok(Response::new(request.body().bytes().await?))
    /// }
    /// # let _server = httpserver::HttpServer::new(echo);
    /// ```
    pub async fn bytes(&mut self) -> Result<Bytes, Error> {
        let first = self.next_piece().await.transpose()?.unwrap_or_default();
        let Some(second) = self.next_piece().await.transpose()? else {
            return Ok(first);
        };
        let mut all = BytesMut::from(&first[..]);
        all.extend_from_slice(&second);
        while let Some(piece) = self.next_piece().await.transpose()? {
            all.extend_from_slice(&piece);
        }
        Ok(all.freeze())
    }

    /// As [`bytes`](Body::bytes), for text.
    ///
    /// # Errors
    /// Those of [`bytes`](Body::bytes), and 400 if it is not UTF-8.
    ///
    /// # Cancel safety
    /// What was read so far is lost.
    ///
    /// ```
    /// # ioloop::testing::run(async {
    /// let mut body = httpserver::Body::from("hello");
    /// assert_eq!(body.text().await.unwrap(), "hello");
    /// # });
    /// ```
    pub async fn text(&mut self) -> Result<String, Error> {
        let bytes = self.bytes().await?;
        String::from_utf8(bytes.into())
            .map_err(|_| BAD_REQUEST.because("the body is not UTF-8").into())
    }

    /// Lets a request's body be up to that many bytes, more or less than the server's
    /// [`max_body_size`](crate::HttpServer::max_body_size); counted from here on.
    ///
    /// ```
    /// use futures_lite::StreamExt;
    /// use httpserver::{Error, Request, Response};
    ///
    /// async fn upload(mut request: Request) -> Result<Response, Error> {
    ///     request.body().set_max_size(10 * 1024 * 1024 * 1024);
    ///     while let Some(piece) = request.body().next().await {
    ///         let _stored = piece?;
    ///     }
    ///     Ok(Response::text("stored\n"))
    /// }
    /// # let _server = httpserver::HttpServer::new(upload);
    /// ```
    pub fn set_max_size(&mut self, bytes: u64) {
        if let Kind::Incoming(incoming) = &self.kind {
            incoming.with_reader(|reader| reader.set_limit(bytes));
        }
    }

    /// All of it is in memory.
    pub(crate) fn is_here(&self) -> bool {
        matches!(self.kind, Kind::Full(_))
    }

    async fn next_piece(&mut self) -> Option<Result<Bytes, Error>> {
        poll_fn(|context| Pin::new(&mut *self).poll_next(context)).await
    }
}

impl Stream for Body {
    type Item = Result<Bytes, Error>;

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Error>>> {
        match &mut self.kind {
            Kind::Empty => Poll::Ready(None),
            Kind::Full(bytes) => {
                let bytes = mem::take(bytes);
                self.kind = Kind::Empty;
                Poll::Ready(Some(Ok(bytes)))
            }
            Kind::Incoming(incoming) => incoming.poll_next(context),
            Kind::Stream(pieces) => loop {
                match pieces.as_mut().poll_next(context) {
                    Poll::Ready(Some(Ok(piece))) if piece.is_empty() => {}
                    polled => return polled,
                }
            },
        }
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Body {
        let kind = match bytes.is_empty() {
            true => Kind::Empty,
            false => Kind::Full(bytes),
        };
        Body { kind }
    }
}

impl From<&'static [u8]> for Body {
    fn from(bytes: &'static [u8]) -> Body {
        Bytes::from_static(bytes).into()
    }
}

impl From<&'static str> for Body {
    fn from(text: &'static str) -> Body {
        text.as_bytes().into()
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Body {
        Bytes::from(bytes).into()
    }
}

impl From<String> for Body {
    fn from(text: String) -> Body {
        text.into_bytes().into()
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.kind {
            Kind::Empty => "Empty",
            Kind::Full(_) => "Full",
            Kind::Incoming(_) => "Incoming",
            Kind::Stream(_) => "Stream",
        };
        formatter
            .debug_struct(kind)
            .field("length", &self.length())
            .finish()
    }
}
