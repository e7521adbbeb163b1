//! Ending a stream from outside, without keeping it alive.

use std::io;
use std::rc::{Rc, Weak};
use std::time::Duration;

use crate::address::Address;
use crate::shared::Shared;
#[cfg(doc)]
use crate::stream::IoStream;

/// Aborts a stream from outside; see [`IoStream::aborter`].
///
/// ```
/// # ioloop::testing::run(async {
/// let (_client, server) = iostream::IoStream::pair();
/// let aborter = server.aborter();
/// drop(server);
/// aborter.abort();
/// # });
/// ```
#[derive(Clone, Debug)]
pub struct Aborter {
    shared: Weak<Shared>,
}

impl Aborter {
    pub(crate) fn new(shared: &Rc<Shared>) -> Aborter {
        Aborter {
            shared: Rc::downgrade(shared),
        }
    }

    /// Ends the stream at once, if it is still there; also one whose handles are gone and that the
    /// loop is still sending.
    ///
    /// ```
    /// # ioloop::testing::run(async {
    /// let (_client, server) = iostream::IoStream::pair();
    /// server.aborter().abort();
    /// assert!(server.queue(b"too late").is_err());
    /// # });
    /// ```
    pub fn abort(&self) {
        if let Some(shared) = self.shared.upgrade() {
            shared.abort();
        }
    }

    /// As [`IoStream::set_linger_timeout`]; the time begins anew if the stream waits already.
    ///
    /// ```
    /// # ioloop::testing::run(async {
    /// let (_client, server) = iostream::IoStream::pair();
    /// server.aborter().set_linger_timeout(std::time::Duration::from_millis(100));
    /// # });
    /// ```
    pub fn set_linger_timeout(&self, timeout: Duration) {
        if let Some(shared) = self.shared.upgrade() {
            shared.change_limits(|limits| limits.linger = timeout);
            // It may be lingering already.
            shared.wake_watchers();
        }
    }

    /// As [`IoStream::local_address`].
    ///
    /// # Errors
    /// `NotConnected` if the stream is gone; otherwise as [`IoStream::local_address`].
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// let (stream, _peer) = iostream::IoStream::pair();
    /// assert_eq!(stream.aborter().local_address()?.to_string(), "memory");
    /// # Ok(())
    /// # }
    /// ```
    pub fn local_address(&self) -> io::Result<Address> {
        let shared = self.shared.upgrade().ok_or(io::ErrorKind::NotConnected)?;
        shared
            .transport
            .fd()
            .map_or(Ok(Address::Memory), Address::local)
    }
}
