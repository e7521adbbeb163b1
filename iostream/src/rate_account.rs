//! What a rate limit allows at a given time: debt and credit, as a pure structure.

use std::time::{Duration, Instant};

/// The books of one limiter. Whoever asks tells the time.
///
/// What is sent becomes debt, and time pays it. While somebody waits for it to be paid, time that
/// comes late, because the loop was held up or a timer is coarse, is credited: the average stays at
/// the limit. Time in which nobody waits earns nothing.
pub(crate) struct Account {
    /// Bytes per second; none for no limit.
    limit: Option<u64>,
    /// What is not paid yet, in billionths of a byte; below zero it is credit. Zero without limit.
    debt: i128,
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
    }

    /// What one turn is: 10 ms of the limit, within bounds.
    pub(crate) fn unit(&self) -> usize {
        let limit = self.limit.unwrap_or(u64::MAX);
        let unit = usize::try_from(limit / UNITS_PER_SECOND).unwrap_or(usize::MAX);
        unit.clamp(UNIT_MIN, UNIT_MAX)
    }

    /// Whether anything may be sent now.
    pub(crate) fn is_open(&mut self, now: Instant) -> bool {
        self.settle(now);
        self.limit != Some(0) && self.debt <= 0
    }

    /// When everything will be paid, if that time comes and can be told.
    pub(crate) fn opens_at(&mut self, now: Instant) -> Option<Instant> {
        self.settle(now);
        let limit = match self.limit {
            None => return Some(now),
            Some(0) => return None,
            Some(limit) => i128::from(limit),
        };
        // Rounded up: a timer that fires a nanosecond too early would have to be set again.
        let nanoseconds = (self.debt.max(0) + limit - 1) / limit;
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
    }

    /// Lets time pay.
    fn settle(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.settled);
        self.settled = self.settled.max(now);
        let Some(limit) = self.limit.map(i128::from) else {
            self.debt = 0;
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
    }
}

fn scaled(bytes: usize) -> i128 {
    bytes as i128 * 1_000_000_000
}

/// A unit stands for 10 ms: a wake-up costs little beside what it sends, and what goes out at once
/// fills no queue on the way for long.
const UNITS_PER_SECOND: u64 = 100;

/// What fits into a packet on a path with tunnels: sending less at a time would be mostly headers.
const UNIT_MIN: usize = 1380;

/// What one system call carries well, and what a stream may keep the others waiting for.
const UNIT_MAX: usize = 65_536;

/// How much lateness is made up for. A loop that was held up for longer than that, or a machine
/// that slept, must not answer with a flood.
const CREDIT_MAX: Duration = Duration::from_secs(1);

/// How long credit outlives the demand that it was earned in. A sender that looks for its next block, or
/// gives way for a turn, is not idle.
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
        assert_eq!(unit(Some(100_000_000)), 65_536);
        assert_eq!(unit(Some(u64::MAX)), 65_536);
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
        assert_eq!(account.opens_at(now), Some(now + ms(4)));
        let reserved = account.reserve(10_000, now + ms(4));
        account.finish(reserved, 10_000, 12_000, now + ms(4));
        assert_eq!(account.opens_at(now + ms(4)), Some(now + ms(16)));
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
