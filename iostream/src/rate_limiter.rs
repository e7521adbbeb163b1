//! The limiter: a ring of those that wait for a turn, and one timer until there is one.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use ioloop::{IoLoop, Notice, Notify, TimerId};

use crate::rate_account::{Account, Demand, Reserved};
use crate::rate_ring::{Place, Ring, Share};

/// Holds those that share it to so many bytes per second together, each to its fair part.
///
/// It is asked, not obeyed: whoever wants to send waits for a [`permit`](RateLimiter::permit), sees
/// how much may be sent, chooses what, and [charges](Grant::charge) what it was. So a block can be
/// chosen, cut or cancelled at the last moment, and what never asks passes free.
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
/// A turn is at most one [unit](RateLimiter::unit): 10 ms of the limit, and within 1,380 to 65,536
/// bytes. It counts what its users charge: bytes of the stream, not what TCP and IP add to them.
///
/// # How exact
///
/// In the long run it is the limit. Time in which nobody waits earns nothing: after a pause of
/// 10 ms or more, no span of time has more than the limit and one unit (two, for a limiter within
/// another one). A turn that comes late while somebody waits is made up for, but no more than a
/// second of it.
///
/// How many may wait is bounded by memory only; a turn costs as much as it takes to find the first
/// of them in a sorted tree.
#[doc(alias = "throttle")]
#[doc(alias = "bandwidth")]
pub struct RateLimiter {
    member: Member,
}

/// Who shares a limiter.
#[derive(Clone)]
struct Member {
    limiter: Rc<Limiter>,
    share: Share,
}

struct Limiter {
    io_loop: IoLoop,
    account: RefCell<Account>,
    ring: RefCell<Ring<Waiting>>,
    /// Set while somebody waits and debt is to be paid first.
    timer: Cell<Option<(TimerId, Instant)>>,
    /// This limiter as a member of the one that it is within.
    parent: Option<Member>,
    /// Where it waits in its parent's ring: as long as it could give a turn and has not got one.
    place: Cell<Option<Place>>,
    /// A turn was given that is not used yet. Who uses it may want another at once, and comes
    /// before those that have had more: they wait for that until the end of the loop's turn.
    is_out: Cell<bool>,
    /// The loop will tell us of the end of this turn.
    is_due: Cell<bool>,
    /// How many limiters this is within.
    depth: usize,
}

/// What stands in a ring.
enum Waiting {
    Permit(Rc<Waiter>),
    /// A limiter that is within this one, for the first in its own ring.
    Child(Rc<Limiter>),
}

/// A permit that was asked for and did not come at once.
struct Waiter {
    max: usize,
    share: Share,
    granted: Cell<Option<Grant>>,
    waker: Cell<Option<Waker>>,
}

/// A turn that was given, on its way to who waits for it.
struct Turn {
    waiter: Rc<Waiter>,
    /// The limiter whose member that is.
    limiter: Rc<Limiter>,
    grant: Grant,
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
        let depth = parent.as_ref().map_or(0, |parent| parent.limiter.depth + 1);
        assert!(depth < LEVELS_MAX, "rate limiters are nested too deeply");
        let io_loop = IoLoop::current();
        let limiter = Rc::new(Limiter {
            account: RefCell::new(Account::new(limit, io_loop.now())),
            io_loop,
            ring: RefCell::new(Ring::new()),
            timer: Cell::new(None),
            parent,
            place: Cell::new(None),
            is_out: Cell::new(false),
            is_due: Cell::new(false),
            depth,
        });
        RateLimiter {
            member: limiter.new_member(),
        }
    }

    /// Waits for a turn to send up to `max` bytes. It grants at most one unit, and at least a byte
    /// unless `max` is 0, which never waits.
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
        Permit {
            member: self.member.clone(),
            max,
            waiting: None,
        }
    }

    /// The limit in bytes per second, if there is one.
    ///
    /// ```
    /// assert_eq!(iostream::RateLimiter::unlimited().limit(), None);
    /// ```
    pub fn limit(&self) -> Option<u64> {
        self.member.limiter.account.borrow().limit()
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
        let limiter = &self.member.limiter;
        limiter.account(|account, now| account.set_limit(limit, now));
        limiter.run();
    }

    /// The most that one turn grants, in bytes: 10 ms of the limit, within 1,380 to 65,536.
    ///
    /// ```
    /// use iostream::RateLimiter;
    ///
    /// assert_eq!(RateLimiter::new(1_000_000).unit(), 10_000);
    /// assert_eq!(RateLimiter::new(20_000).unit(), 1_380);
    /// ```
    pub fn unit(&self) -> usize {
        self.member.limiter.account.borrow().unit()
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
            .field("waiting", &self.member.limiter.ring.borrow().len())
            .finish()
    }
}

/// The future that [`RateLimiter::permit`] returns. It holds no borrow, so it can be kept in a
/// struct and polled by hand.
#[must_use = "futures do nothing unless awaited"]
pub struct Permit {
    member: Member,
    max: usize,
    /// Its place in the ring, from which it is gone when it was granted.
    waiting: Option<(Place, Rc<Waiter>)>,
}

impl Future for Permit {
    type Output = Grant;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Grant> {
        if self.waiting.is_none() {
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

/// A turn to send up to so many bytes, from [`RateLimiter::permit`].
///
/// Dropping it gives everything back, as if it had never been: a turn without use costs nothing,
/// and the next gets it before the loop waits. Until then its bytes count as sent, so do not keep it while you
/// wait for something.
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
struct Level {
    member: Member,
    reserved: Reserved,
}

impl Grant {
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
        for level in levels() {
            let Level { member, reserved } = level;
            member.share.correct(self.bytes, used);
            let finish = |account: &mut Account, now| {
                account.finish(*reserved, self.bytes, used, now);
            };
            member.limiter.account(finish);
        }
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

impl Member {
    /// A turn at once, if nobody waits and nothing is to be paid. Within another limiter it goes
    /// the usual way.
    fn pass(&self, max: usize) -> Option<Grant> {
        if max == 0 {
            return Some(Grant {
                bytes: 0,
                own: None,
                above: Vec::new(),
            });
        }
        let limiter = &self.limiter;
        let is_free =
            limiter.parent.is_none() && !limiter.is_out.get() && limiter.ring.borrow().is_empty();
        if !is_free || !limiter.account(Account::is_open) {
            return None;
        }
        let unit = limiter.account.borrow().unit();
        let place = limiter.ring.borrow_mut().pass(&self.share, unit);
        let mut grant = Grant {
            bytes: max.min(unit),
            own: None,
            above: Vec::new(),
        };
        limiter.count(&mut grant, &self.share, place);
        Some(grant)
    }

    /// Gets in line.
    fn wait(&self, max: usize) -> (Place, Rc<Waiter>) {
        let waiter = Rc::new(Waiter {
            max,
            share: self.share.clone(),
            granted: Cell::new(None),
            waker: Cell::new(None),
        });
        let place = self.join(Waiting::Permit(waiter.clone()));
        (place, waiter)
    }

    fn join(&self, who: Waiting) -> Place {
        let unit = self.limiter.account.borrow().unit();
        let place = self.limiter.ring.borrow_mut().join(&self.share, unit, who);
        self.limiter.note_demand();
        place
    }
}

impl Limiter {
    fn new_member(self: &Rc<Self>) -> Member {
        let unit = self.account.borrow().unit();
        Member {
            share: self.ring.borrow().share(unit),
            limiter: self.clone(),
        }
    }

    /// Gives turns, as long as there is nothing to pay for those before.
    ///
    /// No borrow is alive while somebody is woken, which is foreign code.
    fn run(self: &Rc<Self>) {
        while let Some(top) = self.line_up() {
            if top.is_out.get() {
                return top.run_soon();
            }
            let Some(turn) = top.give(usize::MAX) else {
                continue;
            };
            // Somebody else may wait where this one did.
            turn.limiter.line_up();
            turn.waiter.granted.set(Some(turn.grant));
            turn.waiter.waker.take().into_iter().for_each(Waker::wake);
        }
    }

    /// A turn was used, or given back. Whoever had it is waited for: it is likely to ask again.
    fn turn_ended(self: &Rc<Self>) {
        self.is_out.set(false);
        if !self.ring.borrow().is_empty() {
            self.run_soon();
        }
    }

    /// Gives turns at the end of the loop's turn, if nothing does before.
    fn run_soon(self: &Rc<Self>) {
        if !self.is_due.replace(true) {
            self.io_loop.notify_at_end_of_turn(self.clone());
        }
    }

    /// Puts the limiter where its next turn comes from: its parent's ring, and so on upwards. Gives
    /// the limiter at the top if that can give a turn now; otherwise a timer runs if one is needed.
    fn line_up(self: &Rc<Self>) -> Option<Rc<Limiter>> {
        let mut limiter = self.clone();
        loop {
            if !limiter.is_ready() {
                limiter.set_timer();
                return None;
            }
            let Some(parent) = &limiter.parent else {
                return Some(limiter);
            };
            if limiter.place.get().is_none() {
                let place = parent.join(Waiting::Child(limiter.clone()));
                limiter.place.set(Some(place));
                limiter.note_demand();
            }
            limiter = parent.limiter.clone();
        }
    }

    /// A turn of at most `most` bytes for the first in the ring. None if that is a limiter which
    /// cannot use it after all.
    fn give(self: &Rc<Self>, most: usize) -> Option<Turn> {
        let (place, who) = self.ring.borrow_mut().take_first()?;
        self.note_demand();
        let most = most.min(self.account.borrow().unit());
        let (mut turn, share) = match who {
            Waiting::Permit(waiter) => {
                let bytes = most.min(waiter.max);
                (self.turn(waiter.clone(), bytes), waiter.share.clone())
            }
            Waiting::Child(child) => {
                child.place.set(None);
                child.note_demand();
                let share = child.parent.as_ref().map(|parent| parent.share.clone())?;
                (child.give_if_ready(most)?, share)
            }
        };
        self.count(&mut turn.grant, &share, place);
        Some(turn)
    }

    /// As `give`, for a limiter whose turn it is in its parent's ring: it may have to pay first.
    fn give_if_ready(self: &Rc<Self>, most: usize) -> Option<Turn> {
        while self.is_ready() {
            if let Some(turn) = self.give(most) {
                return Some(turn);
            }
        }
        self.set_timer();
        None
    }

    fn turn(self: &Rc<Self>, waiter: Rc<Waiter>, bytes: usize) -> Turn {
        Turn {
            waiter,
            limiter: self.clone(),
            grant: Grant {
                bytes,
                own: None,
                above: Vec::new(),
            },
        }
    }

    /// Takes the grant's bytes out of this limiter.
    fn count(self: &Rc<Self>, grant: &mut Grant, share: &Share, place: Place) {
        share.add(place, grant.bytes);
        // Without a limit nobody is in anybody's way.
        let is_top = self.parent.is_none() && self.account.borrow().limit().is_some();
        self.is_out.set(is_top);
        let level = Level {
            reserved: self.account(|account, now| account.reserve(grant.bytes, now)),
            member: Member {
                limiter: self.clone(),
                share: share.clone(),
            },
        };
        match grant.own {
            None => grant.own = Some(level),
            Some(_) => grant.above.push(level),
        }
    }

    /// Somebody does not wait any more.
    fn leave(self: &Rc<Self>, place: Place) {
        let left = self.ring.borrow_mut().leave(place);
        if left.is_some() {
            self.note_demand();
            self.set_timer();
        }
        drop(left);
    }

    /// Whether somebody waits and nothing is to be paid.
    fn is_ready(&self) -> bool {
        !self.ring.borrow().is_empty() && self.account(Account::is_open)
    }

    /// Has one timer run exactly if somebody waits and debt is to be paid first. Who has nobody
    /// waiting does not wait in the parent's ring either.
    fn set_timer(self: &Rc<Self>) {
        let is_empty = self.ring.borrow().is_empty();
        if is_empty {
            if let (Some(place), Some(parent)) = (self.place.take(), &self.parent) {
                parent.limiter.leave(place);
            }
        }
        let is_needed = !is_empty && self.place.get().is_none();
        let wanted = is_needed.then(|| self.account(Account::opens_at)).flatten();
        if self.timer.get().map(|(_, at)| at) == wanted {
            return;
        }
        let timer = wanted.map(|at| (self.io_loop.notify_at(at, self.clone()), at));
        if let Some((replaced, _)) = self.timer.replace(timer) {
            self.io_loop.remove_timeout(replaced);
        }
    }

    /// Tells the account who wants what time pays.
    fn note_demand(&self) {
        let demand = match (self.ring.borrow().is_empty(), self.place.get()) {
            (true, _) => Demand::Idle,
            (false, Some(_)) => Demand::HeldUp,
            (false, None) => Demand::Busy,
        };
        self.account(|account, now| account.set_demand(demand, now));
    }

    fn account<R>(&self, use_it: impl FnOnce(&mut Account, Instant) -> R) -> R {
        use_it(&mut self.account.borrow_mut(), self.io_loop.now())
    }
}

impl Notify for Limiter {
    fn notify(self: Rc<Self>, notice: Notice) {
        match notice {
            Notice::EndOfTurn => {
                self.is_due.set(false);
                self.is_out.set(false);
            }
            _ => self.timer.set(None),
        }
        self.run();
    }
}

/// More would be a mistake: total, group, user and stream are four. Turns are given by recursion.
const LEVELS_MAX: usize = 16;
