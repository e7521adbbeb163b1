//! The limits of a stream and their defaults.

use std::time::Duration;

/// The limits of one stream, with the defaults that its setters document.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) read_buffer: usize,
    pub(crate) write_buffer: usize,
    pub(crate) linger: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            read_buffer: READ_BUFFER,
            write_buffer: WRITE_BUFFER,
            linger: LINGER,
        }
    }
}

/// Tornado's `max_buffer_size`. It is reached only by parsers without a limit of their own.
const READ_BUFFER: usize = 100 * 1024 * 1024;

/// What may be queued beyond what the kernel holds. Large enough for most answers, small enough
/// that ten thousand peers which do not read cannot exhaust a server.
const WRITE_BUFFER: usize = 1024 * 1024;

/// How long a peer has to close its side after we have closed ours: nginx's `lingering_timeout`.
const LINGER: Duration = Duration::from_secs(5);
