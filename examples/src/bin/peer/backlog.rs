//! How many blocks to ask one peer for at a time.

use crate::layout::BLOCK;

/// How many blocks a peer may owe us that sends so many bytes per second: what it sends in some
/// seconds, so that it never waits for us; less of that for a fast one, whose way is short too.
pub(crate) fn backlog(rate: f64, is_snubbing: bool) -> usize {
    if is_snubbing {
        return 1;
    }
    let blocks = 2 + (4.0 * rate / f64::from(BLOCK)) as usize;
    if blocks <= 50 {
        blocks
    } else {
        (blocks * 3 / 40).clamp(50, BACKLOG_MAX)
    }
}

/// What peers queue that do not say (BEP 10's `reqq`).
const BACKLOG_MAX: usize = 250;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fast_peer_does_not_wait_for_requests_and_a_slow_one_does_not_hold_many() {
        assert_eq!(backlog(0.0, false), 2);
        assert_eq!(backlog(20_000.0, false), 6);
        assert_eq!(backlog(1e6, false), 50);
        assert_eq!(backlog(1e9, false), 250);
        assert_eq!(backlog(1e9, true), 1);
    }
}
