//! What the log says of a connection's end.

use std::error::Error;
use std::io::{self, ErrorKind};

use crate::connection::Connection;
use crate::handler::BoxError;

/// A peer that leaves is everyday life, a handler that fails is not.
pub(crate) fn report(result: Result<(), BoxError>, connection: &Connection) {
    match result {
        Ok(()) => tracing::debug!(peer = %connection.peer_address(), "connection handled"),
        Err(error) if is_departure(&*error) => {
            tracing::debug!(peer = %connection.peer_address(), "{error}");
        }
        Err(error) => {
            let peer = connection.peer_address();
            tracing::warn!(%peer, %error, "handle_stream failed; connection closed");
        }
    }
}

/// Whether the peer has just left: said by a stream itself, or through `std::io` by a protocol
/// that runs over it.
fn is_departure(error: &(dyn Error + 'static)) -> bool {
    use ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};

    if let Some(error) = error.downcast_ref::<iostream::Error>() {
        return error.is_departure();
    }
    error
        .downcast_ref::<io::Error>()
        .is_some_and(|error| match error.get_ref() {
            // A stream's error that was made one of `std::io` keeps its own words.
            Some(inner) if inner.is::<iostream::Error>() => is_departure(inner),
            _ => matches!(
                error.kind(),
                BrokenPipe | ConnectionAborted | ConnectionReset
            ),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_that_leaves_is_told_from_a_handler_that_fails() {
        use iostream::{CloseReason, Error};

        let closed = |reason, unread| -> BoxError { Error::Closed { reason, unread }.into() };
        assert!(is_departure(&*closed(CloseReason::EndOfStream, 0)));
        assert!(is_departure(&*closed(CloseReason::Reset, 7)));
        assert!(!is_departure(&*closed(CloseReason::EndOfStream, 7)));
        let through_std = |unread| {
            let reason = CloseReason::EndOfStream;
            io::Error::from(Error::Closed { reason, unread })
        };
        assert!(is_departure(&through_std(0)));
        assert!(!is_departure(&through_std(7)));
        assert!(is_departure(&io::Error::from(ErrorKind::BrokenPipe)));
        assert!(!is_departure(&io::Error::from(ErrorKind::InvalidData)));
        assert!(!is_departure(&*BoxError::from("my own")));
    }
}
