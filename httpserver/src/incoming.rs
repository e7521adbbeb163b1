//! The body of a request, pulled off the stream when somebody wants it.

use std::cell::Cell;
use std::fmt;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use ioloop::{IoLoop, timeout};
use iostream::{ReadHalf, WriteHalf};

use crate::chunked::Decoder;
use crate::error::Error;
use crate::framing::Framing;
use crate::reject::{BAD_REQUEST, BODY_TOO_LARGE, Failure, Reject, TIMED_OUT};
use crate::settings::Settings;

/// The reading half of a connection while a request's body is to be read from it. The handler's
/// side and the connection's side both hold it: the connection takes the stream back when the
/// request is answered, wherever the body is then.
#[derive(Clone)]
pub(crate) struct Incoming {
    place: Rc<Place>,
}

struct Place {
    /// None while the reader is being polled, which wakers are not to see; and for good when the
    /// connection has taken it back.
    reader: Cell<Option<Box<Reader>>>,
    /// Who waits for the body, to be told when it is taken away.
    waiting: Cell<Option<Waker>>,
}

/// Reads one body.
pub(crate) struct Reader {
    stream: ReadHalf,
    state: State,
    /// How many bytes more the body may have.
    limit: u64,
    /// How long to wait for the next bytes.
    timeout: Duration,
    /// When the wait ends, if one has begun, and how many bytes had come by then.
    waiting: Option<(Instant, usize)>,
    /// Where to say that the body may come, if the client waits for that.
    expecting: Option<WriteHalf>,
}

enum State {
    /// That many bytes are to come, one at least.
    Length(u64),
    Chunked(Decoder),
    Done,
    /// What follows on the stream cannot be told.
    Failed(Reject),
}

impl Incoming {
    pub(crate) fn new(reader: Reader) -> Incoming {
        Incoming {
            place: Rc::new(Place {
                reader: Cell::new(Some(Box::new(reader))),
                waiting: Cell::new(None),
            }),
        }
    }

    /// Takes the reader away from the handler's side.
    pub(crate) fn take(&self) -> Option<Box<Reader>> {
        let reader = self.place.reader.take();
        if let Some(waiting) = self.place.waiting.take() {
            waiting.wake();
        }
        reader
    }

    /// Whether both read the same body.
    pub(crate) fn is(&self, other: &Incoming) -> bool {
        Rc::ptr_eq(&self.place, &other.place)
    }

    /// Looks at the reader, or changes it, if it is still there.
    pub(crate) fn with_reader<R>(&self, look: impl FnOnce(&mut Reader) -> R) -> Option<R> {
        let mut reader = self.place.reader.take()?;
        let result = look(&mut reader);
        self.place.reader.set(Some(reader));
        Some(result)
    }

    pub(crate) fn poll_next(
        &self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Error>>> {
        let Some(mut reader) = self.place.reader.take() else {
            let late = std::io::Error::other("the request was answered before its body was read");
            return Poll::Ready(Some(Err(late.into())));
        };
        let polled = reader.poll_next(context);
        self.place.reader.set(Some(reader));
        if polled.is_pending() {
            self.place.waiting.set(Some(context.waker().clone()));
        }
        polled
    }
}

impl fmt::Debug for Incoming {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Incoming")
            .field("length", &self.with_reader(|reader| reader.length()))
            .finish()
    }
}

impl Reader {
    pub(crate) fn new(
        stream: ReadHalf,
        framing: Framing,
        settings: &Settings,
        expecting: Option<WriteHalf>,
    ) -> Reader {
        Reader {
            stream,
            state: match framing {
                Framing::None => State::Done,
                Framing::Length(length) => State::Length(length),
                Framing::Chunked => State::Chunked(Decoder::default()),
            },
            limit: settings.max_body_size,
            timeout: settings.body_timeout,
            waiting: None,
            expecting,
        }
    }

    pub(crate) fn set_limit(&mut self, limit: u64) {
        self.limit = limit;
    }

    /// How many bytes are to come, if the client has said so.
    pub(crate) fn length(&self) -> Option<u64> {
        match self.state {
            State::Length(length) => Some(length),
            State::Done => Some(0),
            _ => None,
        }
    }

    /// Tells a client that waits for it that the body may come. A response must not have begun.
    pub(crate) fn permit(&mut self) {
        if let Some(expecting) = self.expecting.take() {
            // It has come already if the client did not care to wait.
            if self.stream.buffered() == 0 {
                // If that cannot be sent, the body will not come, which is told then.
                let _ = expecting.queue(b"HTTP/1.1 100 Continue\r\n\r\n");
            }
        }
    }

    /// A response begins: it is too late for that.
    pub(crate) fn forbid(&mut self) {
        self.expecting = None;
    }

    /// Whether what is left of the body may be thrown away to go on with the connection: it must
    /// be little, and a client that waits for permission to send it may never do so.
    pub(crate) fn is_worth_draining(&self) -> bool {
        let is_little = match self.state {
            State::Length(length) => length <= DRAINED_MAX,
            State::Chunked(_) | State::Done => true,
            State::Failed(_) => false,
        };
        is_little && self.expecting.is_none()
    }

    /// Throws away what is left of the body, and gives the stream back: the next request follows.
    /// None if that was too much, took too long, or the body failed.
    pub(crate) async fn drain(mut self: Box<Self>) -> Option<ReadHalf> {
        self.limit = DRAINED_MAX;
        let limit = self.timeout;
        let draining = async {
            loop {
                match poll_fn(|context| self.poll_next(context)).await {
                    None => return true,
                    Some(Ok(_)) => {}
                    Some(Err(_)) => return false,
                }
            }
        };
        match timeout(limit, draining).await {
            Ok(true) => Some(self.stream),
            _ => None,
        }
    }

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Error>>> {
        match self.state {
            State::Done => return Poll::Ready(None),
            State::Length(length) if length > self.limit => {
                self.state = State::Failed(BODY_TOO_LARGE);
            }
            _ => {}
        }
        let data = match ready!(self.poll_data(context)) {
            Ok(data) => data,
            Err(failure) => {
                let reject = match failure {
                    Failure::Rejected(reject) => reject,
                    Failure::Stream(iostream::Error::TimedOut) => TIMED_OUT,
                    Failure::Stream(_) => BAD_REQUEST.because("the body was cut short"),
                };
                // Whoever asks again must not take what came before for the whole body.
                self.state = State::Failed(reject);
                return Poll::Ready(Some(Err(reject.into())));
            }
        };
        self.waiting = None;
        self.limit -= data.len() as u64;
        Poll::Ready((!data.is_empty()).then_some(Ok(data)))
    }

    /// The next bytes of the body; none at its end.
    fn poll_data(&mut self, context: &mut Context<'_>) -> Poll<Result<Bytes, Failure>> {
        if let State::Failed(reject) = self.state {
            return Poll::Ready(Err(reject.into()));
        }
        self.permit();
        self.set_deadline();
        match &mut self.state {
            State::Length(left) => {
                let wanted = usize::try_from(*left).unwrap_or(usize::MAX).min(PIECE_MAX);
                let data = ready!(pin!(self.stream.read_with(some(wanted))).poll(context))?;
                *left -= data.len() as u64;
                if *left == 0 {
                    self.state = State::Done;
                }
                Poll::Ready(Ok(data))
            }
            State::Chunked(decoder) => {
                let mut data = Vec::new();
                while data.is_empty() && !decoder.is_done() {
                    let decode = |bytes: &[u8]| -> Result<Option<((), usize)>, Failure> {
                        let used = decoder.decode(bytes, self.limit, &mut data)?;
                        Ok((used > 0).then_some(((), used)))
                    };
                    ready!(pin!(self.stream.read_with(decode)).poll(context))?;
                }
                if data.is_empty() {
                    self.state = State::Done;
                }
                Poll::Ready(Ok(data.into()))
            }
            State::Done | State::Failed(_) => Poll::Ready(Ok(Bytes::new())),
        }
    }

    /// The time begins anew with each byte that comes, also if it does not make up anything yet,
    /// and for who comes back much later: they would have been woken in time.
    fn set_deadline(&mut self) {
        let now = IoLoop::current().now();
        let buffered = self.stream.buffered();
        let is_waiting = self.waiting.is_some_and(|(deadline, before)| {
            before == buffered && deadline.checked_add(LATE).is_none_or(|late| now < late)
        });
        if !is_waiting {
            let deadline = now.checked_add(self.timeout);
            self.stream.set_deadline(deadline);
            self.waiting = deadline.map(|deadline| (deadline, buffered));
        }
    }
}

/// Takes what has arrived, up to `max` bytes.
fn some(max: usize) -> impl FnMut(&[u8]) -> Result<Option<(Bytes, usize)>, Failure> {
    move |bytes| {
        let some = &bytes[..bytes.len().min(max)];
        Ok((!some.is_empty()).then(|| (Bytes::copy_from_slice(some), some.len())))
    }
}

/// The largest piece of a body that is handed out at once: what one system call can bring.
const PIECE_MAX: usize = 64 * 1024;

/// How much of a body that nobody wanted is read to keep the connection. More costs a client less
/// to send over a new one.
const DRAINED_MAX: u64 = 64 * 1024;

/// Who waits is woken at the deadline, unless something holds the loop for so long.
const LATE: Duration = Duration::from_secs(1);
