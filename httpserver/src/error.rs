//! Errors of handlers: a status for the client, and the cause for the log.

use std::error::Error as StdError;
use std::fmt;

use http::StatusCode;
use tcpserver::BoxError;

use crate::reject::Reject;
use crate::response::Response;

/// Why a request was not answered as it should be: what a handler returns instead of a
/// [`Response`](crate::Response).
///
/// It has a status, and the client gets that. `?` makes one of any error: those of reading a body
/// have the status that fits (400, 408 or 413), all others are a 500, whose cause is logged and
/// not shown to the client. Like `anyhow::Error`, it does not itself implement
/// [`std::error::Error`].
///
/// ```
/// use httpserver::{Error, Request, Response, StatusCode};
///
/// async fn double(mut request: Request) -> Result<Response, Error> {
///     let text = request.body().text().await?;
///     let number: i64 = text.trim().parse().map_err(|_| {
///         Error::new(StatusCode::UNPROCESSABLE_ENTITY).with_message("that is no number")
///     })?;
///     Ok(Response::text(format!("{}\n", number.checked_mul(2).ok_or(Error::new(StatusCode::BAD_REQUEST))?)))
/// }
/// # let _server = httpserver::HttpServer::new(double);
/// ```
pub struct Error(Box<Inner>);

struct Inner {
    status: StatusCode,
    message: Option<String>,
    cause: Option<BoxError>,
}

impl Error {
    /// An error with a status and no more to say.
    ///
    /// ```
    /// use httpserver::{Error, StatusCode};
    ///
    /// assert_eq!(Error::new(StatusCode::NOT_FOUND).to_string(), "404 Not Found");
    /// ```
    pub fn new(status: StatusCode) -> Error {
        Error::from_parts(status, None)
    }

    /// Adds what the client is told beside the status.
    ///
    /// ```
    /// use httpserver::{Error, StatusCode};
    ///
    /// let error = Error::new(StatusCode::NOT_FOUND).with_message("no such page");
    /// assert_eq!(error.to_string(), "404 Not Found: no such page");
    /// ```
    pub fn with_message(mut self, message: impl Into<String>) -> Error {
        self.0.message = Some(message.into());
        self
    }

    /// Adds what the log is told and the client is not.
    ///
    /// ```
    /// use httpserver::{Error, StatusCode};
    ///
    /// let error = Error::new(StatusCode::BAD_GATEWAY).with_cause("the database is away");
    /// assert_eq!(error.to_string(), "502 Bad Gateway (the database is away)");
    /// ```
    pub fn with_cause(mut self, cause: impl Into<BoxError>) -> Error {
        self.0.cause = Some(cause.into());
        self
    }

    /// The status for the client.
    ///
    /// ```
    /// use httpserver::Error;
    ///
    /// assert_eq!(Error::from(std::fmt::Error).status(), 500);
    /// ```
    pub fn status(&self) -> StatusCode {
        self.0.status
    }

    /// What the client is told beside the status.
    ///
    /// ```
    /// use httpserver::{Error, StatusCode};
    ///
    /// assert_eq!(Error::new(StatusCode::NOT_FOUND).message(), None);
    /// ```
    pub fn message(&self) -> Option<&str> {
        self.0.message.as_deref()
    }

    /// The cause that the log is told.
    ///
    /// ```
    /// use httpserver::Error;
    ///
    /// let error = Error::from("x".parse::<i32>().unwrap_err());
    /// assert!(error.cause().unwrap().is::<std::num::ParseIntError>());
    /// ```
    pub fn cause(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.cause.as_deref()
    }

    fn from_parts(status: StatusCode, cause: Option<BoxError>) -> Error {
        Error(Box::new(Inner {
            status,
            message: None,
            cause,
        }))
    }
}

/// What the client gets: the status, and the message if there is one. For handlers that put
/// something of their own around the answers of others.
///
/// ```
/// use httpserver::{Error, Response, StatusCode};
///
/// let response = Response::from(Error::new(StatusCode::NOT_FOUND));
/// assert_eq!(response.status(), 404);
/// ```
impl From<Error> for Response {
    fn from(error: Error) -> Response {
        Response::from(&error)
    }
}

impl From<&Error> for Response {
    fn from(error: &Error) -> Response {
        let status = match error.status() {
            // No answer has such a status.
            status if status.is_informational() => StatusCode::INTERNAL_SERVER_ERROR,
            status => status,
        };
        let response = Response::from(status);
        match error.message() {
            Some(message) if response.body.length() != Some(0) => {
                Response::text(format!("{status}: {message}\n")).with_status(status)
            }
            _ => response,
        }
    }
}

impl From<Reject> for Error {
    fn from(reject: Reject) -> Error {
        Error::new(reject.status).with_message(reject.reason)
    }
}

impl<E: StdError + 'static> From<E> for Error {
    fn from(error: E) -> Error {
        Error::from_parts(StatusCode::INTERNAL_SERVER_ERROR, Some(error.into()))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.status().fmt(formatter)?;
        if let Some(message) = self.message() {
            write!(formatter, ": {message}")?;
        }
        match self.cause() {
            Some(cause) => write!(formatter, " ({cause})"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Error")
            .field("status", &self.0.status)
            .field("message", &self.0.message)
            .field("cause", &self.0.cause)
            .finish()
    }
}
