//! A turn, from the moment when somebody asks for it until it is paid for.

use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use crate::rate_account::Reserved;
use crate::rate_ring::Place;
use crate::rate_turns::{Member, Waiter};

/// The future that [`RateLimiter::permit`](crate::RateLimiter::permit) returns. It holds no borrow,
/// so it can be kept in a struct and polled by hand.
#[must_use = "futures do nothing unless awaited"]
pub struct Permit {
    member: Member,
    max: usize,
    /// Its place in the ring, from which it is gone when it was granted.
    waiting: Option<(Place, Rc<Waiter>)>,
}

impl Permit {
    pub(crate) fn new(member: Member, max: usize) -> Permit {
        Permit {
            member,
            max,
            waiting: None,
        }
    }
}

impl Future for Permit {
    type Output = Grant;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Grant> {
        if self.waiting.is_none() {
            if self.max == 0 {
                return Poll::Ready(Grant::new(0));
            }
            if let Some(grant) = self.member.pass(self.max) {
                return Poll::Ready(grant);
            }
            self.waiting = Some(self.member.wait(self.max));
            self.member.limiter.run();
        }
        let waiter = self.waiting.as_ref().map(|(_, waiter)| waiter);
        if let Some(grant) = waiter.and_then(|waiter| waiter.granted.take()) {
            self.waiting = None;
            return Poll::Ready(grant);
        }
        let replaced = waiter.map(|waiter| waiter.waker.replace(Some(context.waker().clone())));
        // Wakers are foreign code: it is dropped when everything is in its place.
        drop(replaced);
        Poll::Pending
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some((place, waiter)) = self.waiting.take() {
            self.member.limiter.leave(place);
            // If the turn had come, this gives it to the next.
            drop(waiter);
        }
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Permit")
            .field("max", &self.max)
            .field("is_waiting", &self.waiting.is_some())
            .finish()
    }
}

/// A turn to send up to so many bytes, from [`RateLimiter::permit`](crate::RateLimiter::permit).
///
/// Dropping it gives everything back, as if it had never been: a turn without use costs nothing,
/// and the next gets it before the loop waits. Until then its bytes count as sent, so do not keep
/// it while you wait for something.
///
/// ```
/// # ioloop::testing::run(async {
/// let upload = iostream::RateLimiter::new(1_000_000);
/// let before = ioloop::IoLoop::current().now();
/// for _ in 0..1000 {
///     drop(upload.permit(10_000).await);
/// }
/// assert_eq!(ioloop::IoLoop::current().now(), before);
/// # });
/// ```
#[must_use = "dropping it gives everything back"]
pub struct Grant {
    bytes: usize,
    /// None if there is nothing to give back any more.
    own: Option<Level>,
    /// For the limiters that the member's is within.
    above: Vec<Level>,
}

/// What a grant has taken from one limiter.
pub(crate) struct Level {
    pub(crate) member: Member,
    pub(crate) reserved: Reserved,
}

impl Grant {
    /// It is not counted anywhere yet.
    pub(crate) fn new(bytes: usize) -> Grant {
        Grant {
            bytes,
            own: None,
            above: Vec::new(),
        }
    }

    /// From the member's limiter upwards.
    pub(crate) fn add_level(&mut self, level: Level) {
        match self.own {
            None => self.own = Some(level),
            Some(_) => self.above.push(level),
        }
    }

    /// How many bytes may be sent.
    ///
    /// ```
    /// # ioloop::testing::run(async {
    /// let upload = iostream::RateLimiter::new(1_000_000);
    /// assert_eq!(upload.permit(500).await.bytes(), 500);
    /// # });
    /// ```
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Pays for `sent` bytes, and gives the rest back. It may be more than was granted, so that a
    /// block which was begun can be ended: the next turn then comes so much later, and the one
    /// after it is somebody else's.
    ///
    /// ```
    /// # ioloop::testing::run(async {
    /// let upload = iostream::RateLimiter::new(1_000_000);
    /// let grant = upload.permit(10_000).await;
    /// grant.charge(2_000); // paid in 2 ms
    /// # });
    /// ```
    pub fn charge(mut self, sent: usize) {
        self.finish(sent);
    }

    fn finish(&mut self, used: usize) {
        let above = std::mem::take(&mut self.above);
        let own = self.own.take();
        let levels = || own.iter().chain(&above);
        for Level { member, reserved } in levels() {
            member.finish(*reserved, self.bytes, used);
        }
        // Not before all are right: this may give somebody else a turn.
        for level in levels() {
            level.member.limiter.turn_ended();
        }
    }
}

impl Drop for Grant {
    fn drop(&mut self) {
        self.finish(0);
    }
}

impl fmt::Debug for Grant {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Grant")
            .field("bytes", &self.bytes)
            .finish()
    }
}
