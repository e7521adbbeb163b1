//! Containing panics of user code: each is reported once and ends only what it happened in.

use std::any::Any;
use std::mem;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};

pub(crate) type Payload = Box<dyn Any + Send>;

/// A panic that was reported where it was caught, on its way to whoever awaits the task.
pub(crate) struct Reported {
    /// Empty only while this is dropped.
    payload: Option<Payload>,
}

impl Reported {
    fn new(payload: Payload) -> Reported {
        Reported {
            payload: Some(payload),
        }
    }

    /// What was thrown.
    pub(crate) fn into_payload(mut self) -> Payload {
        self.payload
            .take()
            .expect("it is taken only here and in `drop`")
    }
}

impl Drop for Reported {
    /// A payload may be anything, also something whose destructor panics. That of such a second
    /// payload is not tried any more.
    fn drop(&mut self) {
        let payload = self.payload.take();
        if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
            mem::forget(second);
        }
    }
}

/// Calls `code`; if it panics, reports that and returns none. `location` says where the code was
/// made, which is asked only then.
///
/// Asserting unwind safety is right here because no borrow of loop state is alive while user code
/// runs, so a panic cannot leave that state half changed.
pub(crate) fn contain<R>(
    what: &str,
    location: impl FnOnce() -> &'static Location<'static>,
    code: impl FnOnce() -> R,
) -> Option<R> {
    catch_unwind(AssertUnwindSafe(code))
        .map_err(|payload| report(what, location(), payload))
        .ok()
}

/// Reports a caught panic, unless it was reported on its way here, and marks it as reported.
pub(crate) fn report(
    what: &str,
    location: &'static Location<'static>,
    payload: Payload,
) -> Box<Reported> {
    match payload.downcast::<Reported>() {
        Ok(reported) => reported,
        Err(payload) => {
            tracing::error!(made_at = %location, "{what} panicked: {}", message(&*payload));
            Box::new(Reported::new(payload))
        }
    }
}

/// What `panic!` was given, which is a string unless `panic_any` was used.
fn message(payload: &(dyn Any + Send)) -> &str {
    payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("(not a message)")
}
