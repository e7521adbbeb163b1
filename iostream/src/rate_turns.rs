//! Giving turns: a ring of those that wait for one, and one timer until there is one.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::Waker;
use std::time::Instant;

use ioloop::{IoLoop, Notice, Notify, TimerId};

use crate::rate_account::{Account, Demand, Reserved};
use crate::rate_grant::{Grant, Level};
use crate::rate_ring::{Place, Ring, Share};

/// Who shares a limiter.
#[derive(Clone)]
pub(crate) struct Member {
    pub(crate) limiter: Rc<Limiter>,
    share: Share,
}

/// What the handles and their permits share.
pub(crate) struct Limiter {
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
    /// Bytes that were granted without waiting in this turn of the loop's.
    passed: Cell<usize>,
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
pub(crate) struct Waiter {
    max: usize,
    share: Share,
    pub(crate) granted: Cell<Option<Grant>>,
    pub(crate) waker: Cell<Option<Waker>>,
}

/// A turn that was given, on its way to who waits for it.
struct Turn {
    waiter: Rc<Waiter>,
    /// The limiter whose member that is.
    limiter: Rc<Limiter>,
    grant: Grant,
}

impl Member {
    /// A turn at once, if nobody waits and there is room; but one turn's bytes only before the loop
    /// goes on, or who comes first would take all of a unit. Within another limiter it goes the
    /// usual way.
    pub(crate) fn pass(&self, max: usize) -> Option<Grant> {
        let limiter = &self.limiter;
        let is_free = limiter.parent.is_none()
            && !limiter.is_out.get()
            && limiter.passed.get() < limiter.turn()
            && limiter.ring.borrow().is_empty();
        if !is_free || !limiter.account(Account::is_open) {
            return None;
        }
        let place = limiter.ring.borrow_mut().pass(&self.share, limiter.turn());
        let mut grant = Grant::new(max.min(limiter.room()));
        limiter.count(&mut grant, &self.share, place);
        if limiter.limit().is_some() {
            limiter.passed.set(limiter.passed.get() + grant.bytes());
            limiter.run_soon();
        }
        Some(grant)
    }

    /// Gets in line.
    pub(crate) fn wait(&self, max: usize) -> (Place, Rc<Waiter>) {
        let waiter = Rc::new(Waiter {
            max,
            share: self.share.clone(),
            granted: Cell::new(None),
            waker: Cell::new(None),
        });
        let place = self.join(Waiting::Permit(waiter.clone()));
        (place, waiter)
    }

    /// Of a turn of `bytes`, `used` were sent.
    pub(crate) fn finish(&self, reserved: Reserved, bytes: usize, used: usize) {
        self.share.correct(bytes, used);
        self.limiter
            .account(|account, now| account.finish(reserved, bytes, used, now));
    }

    fn join(&self, who: Waiting) -> Place {
        let limiter = &self.limiter;
        let turn = limiter.turn();
        let place = limiter.ring.borrow_mut().join(&self.share, turn, who);
        limiter.note_demand();
        place
    }
}

impl Limiter {
    /// # Panics
    /// If that makes too many levels.
    pub(crate) fn new(limit: Option<u64>, parent: Option<Member>) -> Limiter {
        let depth = parent.as_ref().map_or(0, |parent| parent.limiter.depth + 1);
        assert!(depth < LEVELS_MAX, "rate limiters are nested too deeply");
        let io_loop = IoLoop::current();
        Limiter {
            account: RefCell::new(Account::new(limit, io_loop.now())),
            io_loop,
            ring: RefCell::new(Ring::new()),
            timer: Cell::new(None),
            parent,
            place: Cell::new(None),
            is_out: Cell::new(false),
            passed: Cell::new(0),
            is_due: Cell::new(false),
            depth,
        }
    }

    pub(crate) fn new_member(self: &Rc<Self>) -> Member {
        Member {
            share: self.ring.borrow().share(self.turn()),
            limiter: self.clone(),
        }
    }

    pub(crate) fn set_limit(self: &Rc<Self>, limit: Option<u64>) {
        self.account(|account, now| account.set_limit(limit, now));
        self.run();
    }

    pub(crate) fn limit(&self) -> Option<u64> {
        self.account.borrow().limit()
    }

    pub(crate) fn unit(&self) -> usize {
        self.account.borrow().unit()
    }

    /// How many permits and limiters wait.
    pub(crate) fn waiting(&self) -> usize {
        self.ring.borrow().len()
    }

    /// Gives turns, as long as there is room for them.
    ///
    /// No borrow is alive while somebody is woken, which is foreign code.
    pub(crate) fn run(self: &Rc<Self>) {
        while let Some(top) = self.line_up() {
            if top.is_out.get() || top.passed.get() >= top.turn() {
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
    pub(crate) fn turn_ended(self: &Rc<Self>) {
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
        let most = most.min(self.room());
        let (mut turn, share) = match who {
            Waiting::Permit(waiter) => {
                let bytes = most.min(waiter.max);
                let share = waiter.share.clone();
                let turn = Turn {
                    waiter,
                    limiter: self.clone(),
                    grant: Grant::new(bytes),
                };
                (turn, share)
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

    /// Takes the grant's bytes out of this limiter.
    fn count(self: &Rc<Self>, grant: &mut Grant, share: &Share, place: Place) {
        let bytes = grant.bytes();
        share.add(place, bytes);
        // Without a limit nobody is in anybody's way.
        let is_top = self.parent.is_none() && self.limit().is_some();
        self.is_out.set(is_top);
        grant.add_level(Level {
            reserved: self.account(|account, now| account.reserve(bytes, now)),
            member: Member {
                limiter: self.clone(),
                share: share.clone(),
            },
        });
    }

    /// Somebody does not wait any more.
    pub(crate) fn leave(self: &Rc<Self>, place: Place) {
        let left = self.ring.borrow_mut().leave(place);
        if left.is_some() {
            self.note_demand();
            self.set_timer();
        }
        drop(left);
    }

    /// Whether somebody waits and there is room.
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

    /// The most that any turn may take.
    fn turn(&self) -> usize {
        self.account.borrow().turn()
    }

    /// The most that the next one may take.
    fn room(&self) -> usize {
        self.account.borrow().room()
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
                self.passed.set(0);
                self.is_out.set(false);
            }
            _ => self.timer.set(None),
        }
        self.run();
    }
}

/// More would be a mistake: total, group, user and stream are four. Turns are given by recursion.
const LEVELS_MAX: usize = 16;
