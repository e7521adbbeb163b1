//! How long to wait before something that has failed is tried again.

use std::time::Duration;

/// Pauses that grow by about a half each time, up to a longest.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    next: Duration,
    first: Duration,
    longest: Duration,
}

impl Backoff {
    pub(crate) fn new(first: Duration, longest: Duration) -> Backoff {
        Backoff {
            next: first,
            first,
            longest,
        }
    }

    /// After a failure: how long to wait. `random` is any number; without it, everybody whom one
    /// failure has hit would come back at the same moment.
    pub(crate) fn failed(&mut self, random: u64) -> Duration {
        let pause = self.next;
        let factor = 1.4 + 0.2 * (random % 1_000) as f64 / 1_000.0;
        self.next = pause.mul_f64(factor).min(self.longest);
        pause
    }

    /// After a success: the next failure is the first again.
    pub(crate) fn succeeded(&mut self) {
        self.next = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    #[test]
    fn pauses_neither_shrink_nor_exceed_the_longest() {
        let mut backoff = Backoff::new(seconds(50), seconds(1_800));
        let pauses: Vec<Duration> = (0..15).map(|random| backoff.failed(random * 77)).collect();
        assert_eq!(pauses[0], seconds(50));
        assert!(pauses[1] >= seconds(70) && pauses[1] <= seconds(80));
        assert!(pauses.is_sorted());
        assert_eq!(pauses[14], seconds(1_800));
    }

    #[test]
    fn a_success_does_not_leave_the_pause_long() {
        let mut backoff = Backoff::new(seconds(50), seconds(1_800));
        backoff.failed(1);
        backoff.failed(2);
        backoff.succeeded();
        assert_eq!(backoff.failed(3), seconds(50));
    }

    #[test]
    fn two_who_fail_together_do_not_come_back_together() {
        let mut one = Backoff::new(seconds(50), seconds(1_800));
        let mut other = one.clone();
        one.failed(0);
        other.failed(999);
        assert_ne!(one.failed(0), other.failed(0));
    }
}
