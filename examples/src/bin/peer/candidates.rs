//! Whom to connect to, and when.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use crate::backoff::Backoff;

/// Addresses of peers that we were told of.
#[derive(Debug, Default)]
pub(crate) struct Candidates {
    entries: BTreeMap<SocketAddr, Candidate>,
}

#[derive(Debug)]
struct Candidate {
    /// When to try; none while it is tried, or connected.
    due: Option<Instant>,
    backoff: Backoff,
    failures: u32,
    /// Named by the user: never given up.
    is_fixed: bool,
}

/// How an attempt has ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Outcome {
    /// There was no handshake.
    Failed,
    /// There was one, and the connection has ended after so long.
    Parted(Duration),
    /// Ourselves.
    Useless,
}

impl Candidates {
    /// Adds an address unless it is known, or there are too many.
    pub(crate) fn add(&mut self, address: SocketAddr, is_fixed: bool, now: Instant) {
        let is_sound = address.port() != 0 && !address.ip().is_unspecified();
        if is_sound && (is_fixed || self.entries.len() < CANDIDATES_MAX) {
            self.entries.entry(address).or_insert_with(|| Candidate {
                due: Some(now),
                backoff: Backoff::new(PAUSE_FIRST, PAUSE_LONGEST),
                failures: 0,
                is_fixed,
            });
        }
    }

    /// Up to `count` addresses to connect to now, except those that `is_out`.
    pub(crate) fn due(
        &mut self,
        count: usize,
        now: Instant,
        is_out: impl Fn(IpAddr) -> bool,
    ) -> Vec<SocketAddr> {
        let due = self.entries.iter_mut().filter(|(address, candidate)| {
            candidate.due.is_some_and(|due| due <= now) && !is_out(address.ip())
        });
        due.take(count)
            .map(|(address, candidate)| {
                candidate.due = None;
                *address
            })
            .collect()
    }

    /// An attempt at an address that was due has ended.
    pub(crate) fn ended(
        &mut self,
        address: SocketAddr,
        outcome: Outcome,
        now: Instant,
        random: u64,
    ) {
        let Some(candidate) = self.entries.get_mut(&address) else {
            return;
        };
        match outcome {
            Outcome::Failed => candidate.failures += 1,
            Outcome::Parted(after) => {
                candidate.failures = 0;
                // Who shakes hands and leaves at once will do so again.
                if after >= WORTHWHILE {
                    candidate.backoff.succeeded();
                }
            }
            Outcome::Useless => candidate.failures = u32::MAX,
        }
        if candidate.failures > FAILURES_MAX && !(candidate.is_fixed && outcome == Outcome::Failed)
        {
            self.entries.remove(&address);
        } else {
            candidate.due = Some(now + candidate.backoff.failed(random));
        }
    }
}

/// The trackers tell of 50 at a time; more than these are never tried anyway.
const CANDIDATES_MAX: usize = 1_000;

/// A peer that cannot be reached so many times is not there; the tracker may name it again.
const FAILURES_MAX: u32 = 5;

/// A connection that lasted so long was of use to both.
const WORTHWHILE: Duration = Duration::from_secs(60);

const PAUSE_FIRST: Duration = Duration::from_secs(5);
const PAUSE_LONGEST: Duration = Duration::from_secs(600);

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, last], 6881))
    }

    fn due(candidates: &mut Candidates, now: Instant) -> Vec<SocketAddr> {
        candidates.due(10, now, |_| false)
    }

    #[test]
    fn an_address_is_not_tried_twice_at_a_time_nor_at_once_again() {
        let start = ioloop::IoLoop::current().now();
        let mut candidates = Candidates::default();
        candidates.add(address(1), false, start);
        candidates.add(address(1), false, start);
        assert_eq!(due(&mut candidates, start), [address(1)]);
        assert!(due(&mut candidates, start).is_empty());
        candidates.ended(address(1), Outcome::Failed, start, 0);
        assert!(due(&mut candidates, start + Duration::from_secs(4)).is_empty());
        assert_eq!(
            due(&mut candidates, start + Duration::from_secs(5)),
            [address(1)]
        );
    }

    #[test]
    fn who_cannot_be_reached_is_not_tried_for_ever_unless_the_user_says_so() {
        let start = ioloop::IoLoop::current().now();
        let mut candidates = Candidates::default();
        candidates.add(address(1), false, start);
        candidates.add(address(2), true, start);
        let mut tried = 0;
        for hour in 0..20 {
            let now = start + Duration::from_secs(3600 * hour);
            for address in due(&mut candidates, now) {
                tried += 1;
                candidates.ended(address, Outcome::Failed, now, 0);
            }
        }
        assert_eq!(tried, 20 + FAILURES_MAX + 1);
    }

    #[test]
    fn a_tracker_that_tells_of_thousands_does_not_fill_the_memory() {
        let start = ioloop::IoLoop::current().now();
        let mut candidates = Candidates::default();
        for port in 1..=2_000 {
            candidates.add(SocketAddr::from(([127, 0, 0, 1], port)), false, start);
        }
        candidates.add(address(2), true, start);
        assert_eq!(candidates.entries.len(), CANDIDATES_MAX + 1);
    }

    #[test]
    fn who_always_leaves_at_once_is_not_called_every_few_seconds() {
        let start = ioloop::IoLoop::current().now();
        let calls = |lasting| {
            let mut candidates = Candidates::default();
            candidates.add(address(1), false, start);
            let minutes = (0..3_600).map(|second| start + Duration::from_secs(second));
            let calls = minutes.filter(|now| {
                let due = due(&mut candidates, *now);
                for address in &due {
                    candidates.ended(*address, Outcome::Parted(lasting), *now, 0);
                }
                !due.is_empty()
            });
            calls.count()
        };
        assert!(calls(Duration::ZERO) < 20);
        assert_eq!(calls(WORTHWHILE), 720);
    }

    #[test]
    fn neither_ourselves_nor_the_banned_nor_nonsense_is_tried() {
        let start = ioloop::IoLoop::current().now();
        let mut candidates = Candidates::default();
        candidates.add(address(1), true, start);
        candidates.add(address(2), false, start);
        candidates.add(SocketAddr::from(([127, 0, 0, 3], 0)), false, start);
        candidates.add(SocketAddr::from(([0, 0, 0, 0], 6881)), false, start);
        let some = candidates.due(10, start, |ip| ip == address(2).ip());
        assert_eq!(some, [address(1)]);
        candidates.ended(address(1), Outcome::Useless, start, 0);
        let later = start + Duration::from_secs(1_000_000);
        assert_eq!(due(&mut candidates, later), [address(2)]);
    }
}
