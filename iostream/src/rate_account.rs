//! What a rate limit allows at a given time: debt and credit, as a pure structure.

use std::time::{Duration, Instant};

/// The books of one limiter. Whoever asks tells the time.
///
/// What is sent becomes debt, and time pays it. Debt may grow to a unit; then nothing may be sent
/// until half of that is paid, so a wake-up has much to do. It may come late by the other half and
/// no span of time has more than the limit and one unit.
///
/// What is later than that, because the loop was held up, is credited as long as somebody waits:
/// the average stays at the limit. Time in which nobody waits earns nothing.
pub(crate) struct Account {
    /// Bytes per second; none for no limit.
    limit: Option<u64>,
    /// What is not paid yet, in billionths of a byte; below zero it is credit. Zero without limit.
    debt: i128,
    /// The debt has grown to a unit, and is not paid down to where sending goes on.
    is_paying: bool,
    /// Up to when time has paid.
    settled: Instant,
    demand: Demand,
    /// Since when there is this demand.
    since: Instant,
}

/// Who wants what time pays.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Demand {
    /// Nobody waits: time earns nothing.
    Idle,
    /// Those that wait are held up by another limiter as well. Time earns one unit, so that a wait
    /// for the other's last turn to be paid does not slow them down.
    HeldUp,
    /// Somebody waits for this limiter alone: whatever is late is credited.
    Busy,
}

/// What was taken out of an account before it is known how much of it will be used.
#[derive(Clone, Copy)]
pub(crate) struct Reserved {
    /// The credit of that time, as a debt. None if the account had no limit.
    floor: Option<i128>,
}

impl Account {
    pub(crate) fn new(limit: Option<u64>, now: Instant) -> Account {
        Account {
            limit,
            debt: 0,
            is_paying: false,
            settled: now,
            demand: Demand::Idle,
            since: now,
        }
    }

    pub(crate) fn limit(&self) -> Option<u64> {
        self.limit
    }

    /// What was sent under the old limit is paid at the new one.
    pub(crate) fn set_limit(&mut self, limit: Option<u64>, now: Instant) {
        self.settle(now);
        self.limit = limit;
        self.settle(now);
        self.is_paying |= self.is_full();
    }

    /// What may be sent at once: 10 ms of the limit, and not less than a packet.
    pub(crate) fn unit(&self) -> usize {
        match self.limit {
            None => TURN_MAX,
            Some(limit) => {
                let unit = usize::try_from(limit / UNITS_PER_SECOND).unwrap_or(usize::MAX);
                unit.max(UNIT_MIN)
            }
        }
    }

    /// The most that one turn takes: a unit, within what others can be kept waiting for.
    pub(crate) fn turn(&self) -> usize {
        self.unit().min(TURN_MAX)
    }

    /// Whether anything may be sent now.
    pub(crate) fn is_open(&mut self, now: Instant) -> bool {
        self.settle(now);
        self.limit != Some(0) && !self.is_paying
    }

    /// How much the next turn may take. While the account is open that is a packet at least.
    pub(crate) fn room(&self) -> usize {
        let free = (scaled(self.unit()) - self.debt).max(0) / BILLION;
        usize::try_from(free).map_or(TURN_MAX, |free| free.min(self.turn()))
    }

    /// When sending can go on, if that time comes and can be told.
    pub(crate) fn opens_at(&mut self, now: Instant) -> Option<Instant> {
        self.settle(now);
        let limit = match self.limit {
            Some(0) => return None,
            Some(limit) if self.is_paying => i128::from(limit),
            _ => return Some(now),
        };
        // Rounded up: a timer that fires a nanosecond too early would have to be set again.
        let nanoseconds = (self.debt - self.reopening_debt() + limit - 1) / limit;
        let delay = Duration::from_nanos(u64::try_from(nanoseconds).ok()?);
        now.checked_add(delay)
    }

    pub(crate) fn set_demand(&mut self, demand: Demand, now: Instant) {
        self.settle(now);
        if self.demand != demand {
            self.demand = demand;
            self.since = now;
        }
    }

    /// Counts `bytes` as sent.
    pub(crate) fn reserve(&mut self, bytes: usize, now: Instant) -> Reserved {
        self.settle(now);
        if self.limit.is_none() {
            return Reserved { floor: None };
        }
        let floor = Some(self.debt.min(0));
        self.debt += scaled(bytes);
        self.is_paying |= self.is_full();
        Reserved { floor }
    }

    /// Of what was counted as `bytes`, `used` were sent; it may also be more.
    pub(crate) fn finish(&mut self, reserved: Reserved, bytes: usize, used: usize, now: Instant) {
        self.settle(now);
        let (Some(floor), Some(_)) = (reserved.floor, self.limit) else {
            return;
        };
        self.debt += scaled(used) - scaled(bytes);
        // Time has paid what was then not used. Unless others waited for it, this is idle time.
        if used < bytes && self.demand != Demand::Busy {
            self.debt = self.debt.max(floor);
        }
        // What is given back need not be waited for, what is over the grant has to be.
        self.is_paying = self.is_full() || self.is_paying && used >= bytes;
    }

    /// Lets time pay.
    fn settle(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.settled);
        if elapsed.is_zero() && self.limit.is_some() {
            // Nearly always: the loop's time stands still while turns are given.
            return;
        }
        self.settled = self.settled.max(now);
        let Some(limit) = self.limit.map(i128::from) else {
            (self.debt, self.is_paying) = (0, false);
            return;
        };
        let paid = (elapsed.as_nanos() as i128).saturating_mul(limit);
        let most = match self.demand {
            Demand::Idle => 0,
            Demand::HeldUp => scaled(self.unit()),
            Demand::Busy => i128::MAX,
        };
        let is_short = now.saturating_duration_since(self.since) < PAUSE_MAX;
        let most = if is_short { most.max(-self.debt) } else { most };
        let most = most.min(limit * CREDIT_MAX.as_nanos() as i128);
        self.debt = (self.debt - paid).max(-most);
        self.is_paying &= self.debt > self.reopening_debt();
    }

    /// Whether there is no room for a packet.
    fn is_full(&self) -> bool {
        self.limit.is_some() && self.debt > scaled(self.unit() - UNIT_MIN)
    }

    /// Up to which debt nothing may be sent once the account was full.
    fn reopening_debt(&self) -> i128 {
        let unit = self.unit();
        scaled(unit - (unit / 2).max(UNIT_MIN))
    }
}

fn scaled(bytes: usize) -> i128 {
    bytes as i128 * BILLION
}

const BILLION: i128 = 1_000_000_000;

/// A unit stands for 10 ms, and a wake-up for half of it: that costs little beside what is sent,
/// and what goes out at once fills no queue on the way for long.
const UNITS_PER_SECOND: u64 = 100;

/// What fits into a packet on a path with tunnels: sending less at a time would be mostly headers.
const UNIT_MIN: usize = 1380;

/// What one system call carries well, and what a stream may keep the others waiting for.
const TURN_MAX: usize = 65_536;

/// How much lateness is made up for. A loop that was held up for longer than that, or a machine
/// that slept, must not answer with a flood.
const CREDIT_MAX: Duration = Duration::from_secs(1);

/// How long credit outlives the demand that it was earned in. A sender that looks for its next
/// block, or gives way for a turn, is not idle.
const PAUSE_MAX: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use super::*;

    /// Time that is made up: any beginning will do.
    fn start() -> Instant {
        ioloop::testing::run(async { ioloop::IoLoop::current().now() })
    }

    const fn ms(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    /// Sends units whenever it may until `end`, looking only every `step`.
    fn send(account: &mut Account, from: Instant, end: Instant, step: Duration) -> usize {
        let (mut now, mut sent) = (from, 0);
        account.set_demand(Demand::Busy, now);
        while now < end {
            while account.is_open(now) {
                let unit = account.unit();
                account.reserve(unit, now);
                sent += unit;
            }
            now += step;
        }
        account.set_demand(Demand::Idle, now);
        sent
    }

    #[test]
    fn a_unit_is_not_outside_of_its_bounds() {
        let now = start();
        let unit = |limit| Account::new(limit, now).unit();
        assert_eq!(unit(Some(0)), 1380);
        assert_eq!(unit(Some(20_000)), 1380);
        assert_eq!(unit(Some(1_000_000)), 10_000);
        assert_eq!(unit(Some(100_000_000)), 1_000_000);
        assert_eq!(unit(None), 65_536);
    }

    #[test]
    fn a_coarse_timer_does_not_lower_the_average() {
        for limit in [1_000, 20_000, 1_000_000, 100_000_000, 777_777_777] {
            for step in [ms(1), ms(7), ms(900)] {
                let now = start();
                let mut account = Account::new(Some(limit), now);
                let sent = send(&mut account, now, now + ms(20_000), step);
                let most = limit as usize * 20 + account.unit();
                assert!(sent <= most, "{sent} of {limit} at {step:?}");
                let least = limit as f64 * (20.0 - step.as_secs_f64());
                assert!(sent as f64 >= least, "{sent} of {limit} at {step:?}");
            }
        }
    }

    /// The most that any span of time has over the limit, if each look comes up to `late` late and
    /// takes pieces of `piece` bytes; and how often it was looked.
    fn excess(limit: u64, piece: usize, late: Duration) -> (f64, usize) {
        let now = start();
        let mut account = Account::new(Some(limit), now);
        let (mut at, mut excess, mut worst, mut looks) = (now, 0.0_f64, 0.0_f64, 0);
        account.set_demand(Demand::Busy, now);
        while at < now + ms(1000) {
            while account.is_open(at) {
                let bytes = account.room().min(piece);
                assert!(bytes > 0);
                account.reserve(bytes, at);
                excess += bytes as f64;
            }
            worst = worst.max(excess);
            let next = account.opens_at(at).unwrap() + late * (looks % 3) / 2;
            excess = (excess - (next - at).as_secs_f64() * limit as f64).max(0.0);
            (at, looks) = (next, looks + 1);
        }
        (worst, looks as usize)
    }

    #[test]
    fn no_span_of_time_has_more_than_the_limit_and_a_unit() {
        for limit in [300_000, 1_000_000, 100_000_000, 10_000_000_000] {
            let unit = Account::new(Some(limit), start()).unit() as f64;
            for piece in [1_000, 9_000, usize::MAX] {
                for late in [ms(0), ms(1), ms(4)] {
                    let (excess, looks) = excess(limit, piece, late);
                    assert!(
                        excess <= unit * 1.0001,
                        "{excess} at {limit}, {late:?} late"
                    );
                    // 5 ms apart, but for what is less than a packet.
                    assert!(looks <= 320, "{looks} looks at {limit} for {piece}");
                }
            }
        }
    }

    #[test]
    fn pieces_are_not_cut_to_less_than_a_packet() {
        let now = start();
        let mut account = Account::new(Some(1_000_000), now);
        account.reserve(8_000, now);
        assert_eq!(account.room(), 2_000);
        account.reserve(700, now);
        assert!(!account.is_open(now), "1,300 bytes are left");
        assert!(!account.is_open(now + ms(3)));
        assert!(account.is_open(now + ms(4)), "half a unit is left");
    }

    #[test]
    fn idle_time_earns_nothing() {
        let now = start();
        let mut account = Account::new(Some(1_000_000), now);
        let mut at = now;
        for idle in [ms(10), ms(1000), ms(3_600_000)] {
            at += idle;
            let sent = send(&mut account, at, at + ms(1), ms(1));
            assert_eq!(sent, account.unit(), "after {idle:?}");
            at += ms(20);
        }
    }

    #[test]
    fn a_stall_is_not_made_up_for_by_more_than_a_second() {
        let now = start();
        let mut account = Account::new(Some(1_000_000), now);
        account.set_demand(Demand::Busy, now);
        account.reserve(10_000, now);
        let late = now + ms(60_000);
        let sent = send(&mut account, late, late + ms(1), ms(1));
        assert!((1_000_000..=1_010_000).contains(&sent), "{sent}");
    }

    #[test]
    fn a_look_elsewhere_does_not_cost_the_credit() {
        let now = start();
        let mut account = Account::new(Some(1_000_000), now);
        account.set_demand(Demand::Busy, now);
        account.reserve(10_000, now);
        account.set_demand(Demand::Idle, now + ms(40));
        account.set_demand(Demand::Busy, now + ms(49));
        let sent = send(&mut account, now + ms(49), now + ms(50), ms(1));
        assert_eq!(sent, 40_000, "what the 30 ms of lateness give, and no more");
    }

    #[test]
    fn what_another_limiter_held_up_is_not_made_up_for_by_more_than_a_unit() {
        let now = start();
        let mut account = Account::new(Some(1_000_000), now);
        account.set_demand(Demand::HeldUp, now);
        let late = now + ms(5_000);
        let sent = send(&mut account, late, late + ms(1), ms(1));
        assert_eq!(sent, 2 * account.unit());
    }

    #[test]
    fn what_is_given_back_leaves_no_trace() {
        let now = start();
        let mut account = Account::new(Some(1_000_000), now);
        for held in [ms(0), ms(5), ms(500)] {
            let reserved = account.reserve(10_000, now);
            account.finish(reserved, 10_000, 0, now + held);
            assert_eq!(account.debt, 0, "neither debt nor credit after {held:?}");
        }
    }

    #[test]
    fn only_what_was_used_is_paid() {
        let now = start();
        let mut account = Account::new(Some(1_000_000), now);
        let reserved = account.reserve(10_000, now);
        account.finish(reserved, 10_000, 4_000, now);
        assert_eq!((account.opens_at(now), account.room()), (Some(now), 6_000));
        let reserved = account.reserve(6_000, now);
        account.finish(reserved, 6_000, 8_000, now);
        let half_is_paid = now + ms(7);
        assert_eq!(account.opens_at(now), Some(half_is_paid));
        assert!(account.is_open(half_is_paid));
        assert_eq!(account.room(), 5_000);
    }

    #[test]
    fn a_new_limit_does_not_forgive_debt() {
        let now = start();
        let mut account = Account::new(Some(1_000_000), now);
        account.reserve(10_000, now);
        account.set_limit(Some(100_000), now + ms(5));
        assert_eq!(account.opens_at(now + ms(5)), Some(now + ms(55)));
        account.set_limit(Some(0), now + ms(5));
        assert_eq!(account.opens_at(now + ms(5)), None);
        assert!(!account.is_open(now + ms(1_000_000)));
        account.set_limit(None, now + ms(1_000_000));
        assert!(account.is_open(now + ms(1_000_000)));
    }

    #[test]
    fn extreme_limits_do_not_overflow() {
        let now = start();
        let century = ms(100 * 365 * 24 * 3600 * 1000);
        for limit in [1, u64::MAX] {
            let mut account = Account::new(Some(limit), now);
            account.set_demand(Demand::Busy, now);
            account.reserve(usize::MAX, now);
            account.opens_at(now);
            assert!(account.is_open(now + century) == (limit == u64::MAX));
        }
    }

    #[test]
    fn a_clock_that_goes_back_pays_nothing_twice() {
        let now = start();
        let mut account = Account::new(Some(1_000), now);
        account.set_demand(Demand::Busy, now);
        account.reserve(1_000, now);
        assert!(!account.is_open(now + ms(900)));
        assert!(!account.is_open(now));
        assert!(!account.is_open(now + ms(900)));
        assert!(account.is_open(now + ms(1000)));
    }
}
