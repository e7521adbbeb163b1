//! When each connection sends its next requests: as soon as it has its answers, or at times that are
//! fixed beforehand, so that a slow answer does not put off the requests behind it.

use std::time::{Duration, Instant};

use crate::load::Shape;

/// Asked in two ways: for what becomes due as time passes, and by a connection that has its answers.
pub struct Schedule {
    started: Instant,
    connections: usize,
    /// Between two sends, by whatever connections; none in a closed loop.
    interval: Option<Duration>,
    /// Sends that have become due, all connections in turn.
    passed: u64,
    /// How often each connection has sent.
    begun: Vec<u64>,
}

impl Schedule {
    pub fn new(shape: &Shape, started: Instant) -> Schedule {
        let interval = |rate| Duration::from_secs(shape.depth as u64) / rate;
        Schedule {
            started,
            connections: shape.connections,
            interval: shape.per_second.map(interval),
            passed: 0,
            begun: vec![0; shape.connections],
        }
    }

    /// A connection for which a send became due until `now`, and when; each send once. If it still
    /// waits for an answer it is to ask for the send itself, with `due`.
    pub fn next_due(&mut self, now: Instant) -> Option<(usize, Instant)> {
        let index = (self.passed % self.connections as u64) as usize;
        let due = match self.interval {
            // All connections begin, and then go on by themselves.
            None if self.passed < self.connections as u64 => now,
            None => return None,
            Some(_) => self.time(self.passed),
        };
        (due <= now).then(|| {
            self.passed += 1;
            (index, due)
        })
    }

    /// When the connection, which is idle, was to send next, if that was until `now`.
    pub fn due(&self, index: usize, now: Instant) -> Option<Instant> {
        if self.interval.is_none() {
            return Some(now);
        }
        let send = self.begun[index] * self.connections as u64 + index as u64;
        let due = self.time(send);
        // Others are found by `next_due`.
        (send < self.passed).then_some(due)
    }

    /// Tells that the connection has sent.
    pub fn begun(&mut self, index: usize) {
        self.begun[index] += 1;
    }

    /// No send that becomes due is earlier.
    pub fn upcoming(&self) -> Instant {
        match self.interval {
            None => Instant::now(),
            Some(_) => self.time(self.passed),
        }
    }

    fn time(&self, send: u64) -> Instant {
        let interval = self.interval.unwrap_or_default();
        self.started + Duration::from_nanos(interval.as_nanos() as u64 * send)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(connections: usize, per_second: Option<u32>) -> (Schedule, Instant) {
        let shape = Shape {
            connections,
            depth: 1,
            per_second,
        };
        let started = Instant::now();
        (Schedule::new(&shape, started), started)
    }

    fn after(started: Instant, milliseconds: u64) -> Instant {
        started + Duration::from_millis(milliseconds)
    }

    #[test]
    fn slow_answer_does_not_move_the_times_of_the_requests_behind_it() {
        let (mut schedule, started) = schedule(2, Some(1000));
        assert_eq!(schedule.next_due(started), Some((0, started)));
        schedule.begun(0);
        // Connection 0 waits until 5: what it was to send at 2 and 4 is due then, at those times.
        let now = after(started, 5);
        let passed: Vec<_> = std::iter::from_fn(|| schedule.next_due(now)).collect();
        let expected = [(1, 1), (0, 2), (1, 3), (0, 4), (1, 5)];
        assert_eq!(
            passed,
            expected.map(|(index, at)| (index, after(started, at)))
        );
        for at in [2, 4] {
            assert_eq!(schedule.due(0, now), Some(after(started, at)));
            schedule.begun(0);
        }
        assert_eq!(schedule.due(0, now), None);
        assert_eq!(schedule.upcoming(), after(started, 6));
    }

    #[test]
    fn pipelined_requests_do_not_raise_the_rate() {
        let shape: Shape = "1x16@16000".parse().unwrap();
        let started = Instant::now();
        let mut schedule = Schedule::new(&shape, started);
        let sends = std::iter::from_fn(|| schedule.next_due(after(started, 9)));
        assert_eq!(sends.count(), 10);
    }

    #[test]
    fn closed_loop_goes_on_when_it_is_answered_and_not_before() {
        let (mut schedule, now) = schedule(2, None);
        let begin = std::iter::from_fn(|| schedule.next_due(now));
        assert_eq!(begin.collect::<Vec<_>>(), [(0, now), (1, now)]);
        assert_eq!(schedule.due(1, now), Some(now));
    }
}
