//! One sentence for a socket that could not listen: which address, and why.

use std::error::Error;
use std::fmt::{self, Display};
use std::io::{self, ErrorKind};

/// The reason for a failure: ours in words, or the system's.
pub(crate) enum Reason {
    Words(String),
    System(io::Error),
}

impl From<&str> for Reason {
    fn from(words: &str) -> Reason {
        Reason::Words(words.to_owned())
    }
}

impl From<String> for Reason {
    fn from(words: String) -> Reason {
        Reason::Words(words)
    }
}

impl From<io::Error> for Reason {
    fn from(error: io::Error) -> Reason {
        Reason::System(error)
    }
}

/// `cannot listen on ADDRESS: REASON`, of the kind of the reason; the system's error is its source.
pub(crate) fn cannot_listen(address: impl Display, reason: impl Into<Reason>) -> io::Error {
    let reason = reason.into();
    let kind = match &reason {
        Reason::Words(_) => ErrorKind::InvalidInput,
        Reason::System(error) => error.kind(),
    };
    io::Error::new(
        kind,
        CannotListen {
            address: address.to_string(),
            reason,
        },
    )
}

struct CannotListen {
    address: String,
    reason: Reason,
}

impl Display for CannotListen {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "cannot listen on {}: ", self.address)?;
        match &self.reason {
            Reason::Words(words) => formatter.write_str(words),
            Reason::System(error) => formatter.write_str(&iostream::in_words(error)),
        }
    }
}

impl fmt::Debug for CannotListen {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        Display::fmt(self, formatter)
    }
}

impl Error for CannotListen {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.reason {
            Reason::Words(_) => None,
            Reason::System(error) => Some(error),
        }
    }
}
