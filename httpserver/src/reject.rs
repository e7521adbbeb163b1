//! Why a request is refused before any handler sees it.

use std::fmt;

use http::StatusCode;

/// A status, and what was wrong in a few words.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Reject {
    pub(crate) status: StatusCode,
    pub(crate) reason: &'static str,
}

impl Reject {
    const fn new(status: StatusCode, reason: &'static str) -> Reject {
        Reject { status, reason }
    }

    pub(crate) const fn because(self, reason: &'static str) -> Reject {
        Reject::new(self.status, reason)
    }
}

impl fmt::Display for Reject {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.reason)
    }
}

/// Why reading a request came to nothing.
#[derive(Debug)]
pub(crate) enum Failure {
    Rejected(Reject),
    Stream(iostream::Error),
}

impl From<Reject> for Failure {
    fn from(reject: Reject) -> Failure {
        Failure::Rejected(reject)
    }
}

impl From<iostream::Error> for Failure {
    fn from(error: iostream::Error) -> Failure {
        Failure::Stream(error)
    }
}

pub(crate) const BAD_REQUEST: Reject = Reject::new(StatusCode::BAD_REQUEST, "malformed request");
pub(crate) const TIMED_OUT: Reject = Reject::new(
    StatusCode::REQUEST_TIMEOUT,
    "the request took too long to arrive",
);
pub(crate) const BODY_TOO_LARGE: Reject =
    Reject::new(StatusCode::PAYLOAD_TOO_LARGE, "the body is over the limit");
pub(crate) const TARGET_TOO_LONG: Reject = Reject::new(
    StatusCode::URI_TOO_LONG,
    "the request line is over the limit",
);
pub(crate) const EXPECTATION_FAILED: Reject = Reject::new(
    StatusCode::EXPECTATION_FAILED,
    "an expectation other than 100-continue",
);
pub(crate) const HEAD_TOO_LARGE: Reject = Reject::new(
    StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
    "the header fields are over the limit",
);
pub(crate) const NOT_IMPLEMENTED: Reject =
    Reject::new(StatusCode::NOT_IMPLEMENTED, "not implemented");
pub(crate) const VERSION_NOT_SUPPORTED: Reject = Reject::new(
    StatusCode::HTTP_VERSION_NOT_SUPPORTED,
    "a version other than HTTP/1.1 and HTTP/1.0",
);
