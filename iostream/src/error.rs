//! What can go wrong on a stream, as far as a caller can act on it.

use std::error::Error as StdError;
use std::{fmt, io};

/// Why an operation on a stream failed.
///
/// ```
/// use iostream::{Error, IoStream};
///
/// # ioloop::testing::run(async {
/// let (mut client, server) = IoStream::pair();
/// server.queue(b"no end").unwrap();
/// drop(server);
/// match client.read_until(b"\n", 1024).await {
///     Err(Error::Closed { unread: 6, .. }) => {}
///     other => panic!("{other:?}"),
/// }
/// # });
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// There will be no more bytes, or no more can be sent.
    ///
    /// With `unread` zero a read was cut at the boundary of a message, which is how a peer that
    /// is done leaves: servers treat it as the normal end.
    Closed {
        /// Who ended it, and how.
        reason: CloseReason,
        /// Bytes that arrived and do not make up a whole message. They can still be read.
        unread: usize,
    },
    /// The delimiter is not within the first `max` bytes. Nothing was consumed.
    DelimiterNotFound {
        /// The limit that was given, delimiter included.
        max: usize,
    },
    /// A message announces more bytes than the reader accepts. Nothing was consumed.
    TooLong {
        /// What the message announces.
        length: u64,
        /// The limit that was given.
        max: usize,
    },
    /// The bytes are not a message of the expected form. Nothing was consumed.
    Malformed(&'static str),
    /// The buffer is at its limit: for a write, nothing was taken; for a read, nothing was lost.
    BufferFull {
        /// The stream's limit, in bytes.
        limit: usize,
    },
    /// The stream's deadline has passed.
    TimedOut,
    /// The system or the transport reported something else. The stream is of no more use in that
    /// direction.
    Io(io::Error),
}

/// How a stream came to its end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum CloseReason {
    /// The peer has said that it will send no more (a FIN).
    EndOfStream,
    /// The connection broke: the peer reset it, or is not reachable any more.
    Reset,
    /// This side has closed or aborted it.
    Local,
}

impl Error {
    /// Whether the peer just left: it closed or reset the connection between two messages.
    ///
    /// ```
    /// use iostream::{CloseReason, Error};
    ///
    /// let left = Error::Closed { reason: CloseReason::EndOfStream, unread: 0 };
    /// assert!(left.is_departure());
    /// assert!(!Error::TimedOut.is_departure());
    /// ```
    pub fn is_departure(&self) -> bool {
        matches!(
            self,
            Error::Closed { unread: 0, .. }
                | Error::Closed {
                    reason: CloseReason::Reset,
                    ..
                }
        )
    }

    /// Sorts what a system call said: a broken connection is an end, the rest is passed on.
    pub(crate) fn from_system(error: io::Error, unread: usize) -> Error {
        use io::ErrorKind::{
            BrokenPipe, ConnectionAborted, ConnectionReset, HostUnreachable, NetworkDown,
            NetworkUnreachable, NotConnected, TimedOut,
        };

        match error.kind() {
            BrokenPipe | ConnectionAborted | ConnectionReset | NotConnected
            // What the kernel says after the peer has not acknowledged anything for minutes.
            | HostUnreachable | NetworkDown | NetworkUnreachable | TimedOut => Error::Closed {
                reason: CloseReason::Reset,
                unread,
            },
            _ => Error::Io(error),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Closed { reason, unread: 0 } => reason.fmt(formatter),
            Error::Closed { reason, unread } => {
                write!(
                    formatter,
                    "{reason}, in the middle of a message ({unread} bytes of it)"
                )
            }
            Error::DelimiterNotFound { max } => {
                write!(formatter, "no delimiter within {max} bytes")
            }
            Error::TooLong { length, max } => {
                write!(
                    formatter,
                    "a message of {length} bytes is over the limit of {max}"
                )
            }
            Error::Malformed(what) => write!(formatter, "malformed message: {what}"),
            Error::BufferFull { limit } => {
                write!(formatter, "the buffer is full: its limit is {limit} bytes")
            }
            Error::TimedOut => formatter.write_str("the stream's deadline has passed"),
            Error::Io(error) => error.fmt(formatter),
        }
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            CloseReason::EndOfStream => "the peer has closed the stream",
            CloseReason::Reset => "the connection broke",
            CloseReason::Local => "the stream is closed on this side",
        })
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Error::Io(error) => Some(error),
            _ => None,
        }
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Error {
        Error::from_system(error, 0)
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> io::Error {
        use io::ErrorKind;

        let kind = match &error {
            Error::Io(_) => {
                let Error::Io(error) = error else {
                    unreachable!("matched above")
                };
                return error;
            }
            Error::Closed {
                reason: CloseReason::EndOfStream,
                ..
            } => ErrorKind::UnexpectedEof,
            Error::Closed {
                reason: CloseReason::Reset,
                ..
            } => ErrorKind::ConnectionReset,
            Error::Closed {
                reason: CloseReason::Local,
                ..
            } => ErrorKind::NotConnected,
            Error::TimedOut => ErrorKind::TimedOut,
            Error::DelimiterNotFound { .. } | Error::TooLong { .. } | Error::Malformed(_) => {
                ErrorKind::InvalidData
            }
            Error::BufferFull { .. } => ErrorKind::OutOfMemory,
        };
        io::Error::new(kind, error)
    }
}

/// What the system says, as the end of a sentence: "address already in use". Shared with the
/// layers above; not part of the public interface.
#[doc(hidden)]
pub fn in_words(error: &io::Error) -> String {
    let mut words = error.to_string();
    if let Some(end) = words.find(" (os error") {
        words.truncate(end);
    }
    // The system speaks ASCII. Lowering any letter would bring the tables of Unicode along: 12 kB.
    if let Some(first) = words.get_mut(..1) {
        first.make_ascii_lowercase();
    }
    words
}
