//! How fast bytes come or go: a mean over the last seconds.

use std::time::{Duration, Instant};

/// Bytes per second over the last 20 s, and how many there were in all.
#[derive(Clone, Debug)]
pub(crate) struct Meter {
    total: u64,
    rate: f64,
    /// When the span began that `rate` is the mean of, and up to when that holds.
    since: Instant,
    until: Instant,
}

impl Meter {
    pub(crate) fn new(now: Instant) -> Meter {
        Meter {
            total: 0,
            rate: 0.0,
            // As if nothing had come for a while: a first block would else be an endless rate.
            since: now.checked_sub(WARM_UP).unwrap_or(now),
            until: now,
        }
    }

    pub(crate) fn add(&mut self, bytes: u64, now: Instant) {
        self.total += bytes;
        let known = self.rate * seconds(self.since, self.until);
        let span = seconds(self.since, now);
        if span > 0.0 {
            self.rate = (known + bytes as f64) / span;
        }
        self.until = now;
        let window = now.checked_sub(WINDOW).unwrap_or(self.since);
        self.since = self.since.max(window);
    }

    /// Bytes per second.
    pub(crate) fn rate(&self, now: Instant) -> f64 {
        let span = seconds(self.since, now);
        if span > 0.0 {
            self.rate * seconds(self.since, self.until) / span
        } else {
            0.0
        }
    }

    pub(crate) fn total(&self) -> u64 {
        self.total
    }
}

fn seconds(from: Instant, to: Instant) -> f64 {
    to.saturating_duration_since(from).as_secs_f64()
}

/// Long enough that a peer which sends in bursts is not taken for a slow one between two.
const WINDOW: Duration = Duration::from_secs(20);

const WARM_UP: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    fn start() -> Instant {
        ioloop::IoLoop::current().now()
    }

    #[test]
    fn a_steady_rate_is_not_measured_as_another() {
        let start = start();
        let mut meter = Meter::new(start);
        for tenth in 1..=1_000 {
            meter.add(10_000, start + Duration::from_millis(100 * tenth));
        }
        let rate = meter.rate(start + Duration::from_secs(100));
        assert!((rate - 100_000.0).abs() < 1_000.0, "{rate}");
        assert_eq!(meter.total(), 10_000_000);
    }

    #[test]
    fn one_block_is_not_a_high_rate() {
        let start = start();
        let mut meter = Meter::new(start);
        assert!(meter.rate(start) < f64::EPSILON);
        meter.add(16_384, start);
        assert!(meter.rate(start) < 4_000.0);
    }

    #[test]
    fn what_has_ended_does_not_count_for_long() {
        let start = start();
        let mut meter = Meter::new(start);
        for second in 1..=20 {
            meter.add(1_000_000, start + Duration::from_secs(second));
        }
        let rate = |seconds| meter.rate(start + Duration::from_secs(seconds));
        assert!(rate(40) < 0.6 * rate(20), "{} {}", rate(40), rate(20));
        assert!(rate(300) < 0.08 * rate(20));
    }
}
