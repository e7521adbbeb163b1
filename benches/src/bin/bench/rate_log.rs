//! What a log of writes says about the limit that they were to keep to.

use std::time::Duration;

use squall_benches::rate::Sent;

/// The most that any span of time had beyond the rate, in bytes.
#[derive(Default)]
pub struct Excess {
    now: f64,
    most: f64,
}

impl Excess {
    /// Time goes by.
    pub fn pass(&mut self, time: Duration, rate: u64) {
        self.now = (self.now - time.as_secs_f64() * rate as f64).max(0.0);
    }

    pub fn add(&mut self, bytes: usize) {
        self.now += bytes as f64;
        self.most = self.most.max(self.now);
    }

    /// The bytes came at some time since the call before: only what is left of them after that
    /// time is certain.
    pub fn add_and_pass(&mut self, bytes: usize, time: Duration, rate: u64) {
        self.now += bytes as f64;
        self.pass(time, rate);
        self.most = self.most.max(self.now);
    }

    pub fn most(&self) -> f64 {
        self.most
    }
}

pub fn excess(sent: &[Sent], rate: u64) -> f64 {
    let (mut excess, mut before) = (Excess::default(), Duration::ZERO);
    for (at, bytes) in sent {
        excess.pass(*at - before, rate);
        excess.add(*bytes);
        before = *at;
    }
    excess.most()
}

/// The least and the most bytes of any second that lies within the log. None if that is shorter.
pub fn seconds(sent: &[Sent]) -> Option<(u64, u64)> {
    let (mut least, mut most) = (u64::MAX, 0);
    let (mut end, mut sum) = (0, 0);
    for (at, bytes) in sent {
        // The least is in the second that begins just after a write, the most in one that begins
        // with it. Both may end with one.
        let second = *at + Duration::from_secs(1);
        while let Some((_, next)) = sent.get(end).filter(|(at, _)| *at < second) {
            (end, sum) = (end + 1, sum + *next as u64);
        }
        if end == sent.len() {
            break;
        }
        most = most.max(sum);
        sum -= *bytes as u64;
        least = least.min(sum);
    }
    (most > 0).then_some((least, most))
}

/// The longest time between two writes.
pub fn longest_pause(sent: &[Sent]) -> Duration {
    let pauses = sent.windows(2).map(|pair| pair[1].0 - pair[0].0);
    pauses.max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A write of 100 bytes at each of these milliseconds.
    fn log(times: &[u64]) -> Vec<Sent> {
        let at = |time| (Duration::from_millis(time), 100);
        times.iter().copied().map(at).collect()
    }

    #[test]
    fn burst_within_a_steady_stream_is_beyond() {
        let steady: Vec<u64> = (0..100).map(|index| index * 100).collect();
        assert_eq!(excess(&log(&steady), 1000), 100.0);
        assert_eq!(excess(&log(&[0, 100, 100, 200]), 1000), 200.0);
        assert_eq!(excess(&log(&[0, 1000, 1000, 1000]), 1000), 300.0);
    }

    #[test]
    fn seconds_begin_anywhere() {
        assert_eq!(seconds(&log(&[0, 500, 990])), None, "not a second");
        assert_eq!(seconds(&log(&[0, 900, 950, 1850, 2000])), Some((100, 300)));
        let steady: Vec<u64> = (0..100).map(|index| index * 100).collect();
        assert_eq!(seconds(&log(&steady)), Some((900, 1000)));
    }

    #[test]
    fn pause_is_the_longest() {
        assert_eq!(
            longest_pause(&log(&[0, 10, 40, 50])),
            Duration::from_millis(30)
        );
        assert_eq!(longest_pause(&[]), Duration::ZERO);
    }
}
