//! Noticing that the peer has closed, without reading and without keeping the stream open.

use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll};

use crate::error::CloseReason;
use crate::shared::Shared;

/// The future that [`IoStream::peer_closed`](crate::IoStream::peer_closed) returns.
#[derive(Clone, Debug)]
#[must_use = "futures do nothing unless awaited"]
pub struct PeerClosed {
    shared: Weak<Shared>,
}

impl PeerClosed {
    pub(crate) fn new(shared: &Rc<Shared>) -> PeerClosed {
        PeerClosed {
            shared: Rc::downgrade(shared),
        }
    }
}

impl Future for PeerClosed {
    type Output = CloseReason;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<CloseReason> {
        match self.shared.upgrade() {
            Some(shared) => shared.poll_peer_closed(context),
            None => Poll::Ready(CloseReason::Local),
        }
    }
}
