//! Panics in a handler or a body, which end neither the connection nor what was answered before.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Poll;

use crate::error::Error;

/// Polls user code; a panic becomes an error.
pub(crate) fn contain<T>(poll: impl FnOnce() -> Poll<Result<T, Error>>) -> Poll<Result<T, Error>> {
    // What was polled is not polled again.
    catch_unwind(AssertUnwindSafe(poll)).unwrap_or_else(|payload| {
        let text = payload.downcast_ref::<&str>().copied();
        let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        let text = text.unwrap_or("for a reason that is no text");
        Poll::Ready(Err(io::Error::other(format!("it panicked: {text}")).into()))
    })
}
