//! The handle of a rate limiter: who shares it asks it for turns.

use std::fmt;
use std::rc::Rc;

use crate::rate_grant::Permit;
use crate::rate_turns::{Limiter, Member};

/// Holds those that share it to so many bytes per second together, each to its fair part.
///
/// It is asked, not obeyed: whoever wants to send waits for a [`permit`](RateLimiter::permit), sees
/// how much may be sent, chooses what, and [charges](crate::Grant::charge) what it was. So a block
/// can be chosen, cut or cancelled at the last moment, and what never asks passes free.
///
/// ```
/// use iostream::{IoStream, RateLimiter};
///
/// # ioloop::testing::run(async {
/// let (mut client, server) = IoStream::pair();
/// let upload = RateLimiter::new(100_000); // bytes per second
/// let mut block = vec![7; 16 * 1024];
/// while !block.is_empty() {
///     let grant = upload.permit(block.len()).await;
///     let piece: Vec<u8> = block.drain(..grant.bytes()).collect();
///     server.write(&piece).await.unwrap();
///     grant.charge(piece.len());
///     server.queue(b"have").unwrap(); // a control message passes free
/// }
/// # client.read_bytes(16 * 1024).await.unwrap();
/// # });
/// ```
///
/// To just send at the limit, [`write_limited`](crate::IoStream::write_limited) does all of this in
/// one call, and [`limit_writes`](crate::IoStream::limit_writes) and
/// [`limit_reads`](crate::IoStream::limit_reads) hold whatever protocol runs over a stream.
///
/// # Who shares
///
/// Each handle is a member, and members that are busy get equal shares of bytes, in whatever pieces
/// they send: give each connection a clone. A member that does not wait for a turn, since it has
/// nothing to send or its peer takes nothing, leaves its share to the others.
///
/// Limiters nest: see [`within`](RateLimiter::within).
///
/// # Units
///
/// A [unit](RateLimiter::unit) is 10 ms of the limit, and at least 1,380 bytes. So much may be sent
/// at once; after that turns are given for half a unit at a time, so the loop wakes some 200 times
/// per second, however high the limit is. One turn grants at most a unit, and at most 65,536 bytes.
///
/// What counts is what users charge: bytes of the stream, not what TCP and IP add to them.
///
/// # How exact
///
/// In the long run it is the limit. No span of time has more than the limit and one unit (two, for
/// a limiter within another one), however long nothing was sent before it, as long as the loop is
/// not held up. If that makes turns late by more than 5 ms, what was missed while somebody waited
/// is made up for, but no more than a second of it: what then goes out at once is what the limit
/// lets pass in the pause. That is so where bytes are sent; on the way to a reader they can still
/// be held up and come in a heap.
///
/// How many may wait is bounded by memory only; a turn costs as much as it takes to find the first
/// of them in a sorted tree.
#[doc(alias = "throttle")]
#[doc(alias = "bandwidth")]
pub struct RateLimiter {
    member: Member,
}

impl RateLimiter {
    /// A limiter for `limit` bytes per second. With 0 nothing passes until the limit is changed.
    ///
    /// It belongs to this thread's loop.
    ///
    /// ```
    /// let upload = iostream::RateLimiter::new(1_000_000);
    /// assert_eq!(upload.limit(), Some(1_000_000));
    /// ```
    pub fn new(limit: u64) -> RateLimiter {
        RateLimiter::make(Some(limit), None)
    }

    /// A limiter that lets everything pass, until it is given a limit.
    ///
    /// ```
    /// # ioloop::testing::run(async {
    /// let upload = iostream::RateLimiter::unlimited();
    /// upload.permit(16 * 1024).await.charge(16 * 1024);
    /// # });
    /// ```
    pub fn unlimited() -> RateLimiter {
        RateLimiter::make(None, None)
    }

    /// A limiter with the same limit whose turns also count for `parent`, and wait for both. It is
    /// one member of `parent`'s, however many members it has itself: so nest one for each stream,
    /// user or torrent within one for all.
    ///
    /// # Panics
    /// If that makes more than 16 levels.
    ///
    /// ```
    /// use iostream::RateLimiter;
    ///
    /// let total = RateLimiter::new(1_000_000);
    /// let user = RateLimiter::new(200_000).within(&total);
    /// let favourite = RateLimiter::unlimited().within(&total);
    /// let connections = [user.clone(), user.clone(), user];
    /// # drop((connections, favourite));
    /// ```
    pub fn within(self, parent: &RateLimiter) -> RateLimiter {
        RateLimiter::make(self.limit(), Some(parent.clone().member))
    }

    fn make(limit: Option<u64>, parent: Option<Member>) -> RateLimiter {
        let limiter = Rc::new(Limiter::new(limit, parent));
        RateLimiter {
            member: limiter.new_member(),
        }
    }

    /// Waits for a turn to send up to `max` bytes. It grants at most one unit and 65,536 bytes, or
    /// what there is left of a unit if that is a packet at least. If `max` is 0 it never waits.
    ///
    /// Ask when there is something to send and the peer can take it: what is granted counts as sent
    /// until the grant is dropped. Turns are given to those that wait in the order of what they had,
    /// so two permits of one handle share its part.
    ///
    /// # Cancel safety
    /// Nothing is lost: a turn that has come already goes to the next.
    ///
    /// ```
    /// # ioloop::testing::run(async {
    /// let upload = iostream::RateLimiter::new(1_000_000);
    /// let grant = upload.permit(1_000_000).await;
    /// assert_eq!(grant.bytes(), 10_000);
    /// # });
    /// ```
    pub fn permit(&self, max: usize) -> Permit {
        Permit::new(self.member.clone(), max)
    }

    /// The limit in bytes per second, if there is one.
    ///
    /// ```
    /// assert_eq!(iostream::RateLimiter::unlimited().limit(), None);
    /// ```
    pub fn limit(&self) -> Option<u64> {
        self.member.limiter.limit()
    }

    /// Changes the limit, for every member and those that wait now; none lets everything pass.
    ///
    /// What was sent before and is not paid yet is paid at the new limit.
    ///
    /// ```
    /// let upload = iostream::RateLimiter::new(1_000_000);
    /// upload.set_limit(Some(50_000));
    /// upload.set_limit(None);
    /// ```
    pub fn set_limit(&self, limit: Option<u64>) {
        self.member.limiter.set_limit(limit);
    }

    /// The most that is sent at once, in bytes: 10 ms of the limit, and at least 1,380. Without a
    /// limit, what one turn grants.
    ///
    /// ```
    /// use iostream::RateLimiter;
    ///
    /// assert_eq!(RateLimiter::new(1_000_000).unit(), 10_000);
    /// assert_eq!(RateLimiter::new(20_000).unit(), 1_380);
    /// assert_eq!(RateLimiter::unlimited().unit(), 65_536);
    /// ```
    pub fn unit(&self) -> usize {
        self.member.limiter.unit()
    }
}

/// Another member of the same limiter, with a share of its own.
impl Clone for RateLimiter {
    fn clone(&self) -> RateLimiter {
        RateLimiter {
            member: self.member.limiter.new_member(),
        }
    }
}

impl fmt::Debug for RateLimiter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("RateLimiter")
            .field("limit", &self.limit())
            .field("waiting", &self.member.limiter.waiting())
            .finish()
    }
}
