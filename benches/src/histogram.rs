//! Durations counted in buckets whose width grows with the duration.

use std::time::Duration;

/// Sixteen buckets to each doubling: a quantile is exact within six percent.
#[derive(Clone)]
pub struct Histogram {
    counts: Vec<u64>,
}

impl Histogram {
    pub fn new() -> Histogram {
        Histogram {
            counts: vec![0; BUCKETS],
        }
    }

    pub fn record(&mut self, duration: Duration) {
        self.counts[bucket(duration.as_nanos() as u64)] += 1;
    }

    pub fn merge(&mut self, other: &Histogram) {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
    }

    /// The duration that `fraction` of those recorded did not exceed; zero if there are none.
    pub fn quantile(&self, fraction: f64) -> Duration {
        let total: u64 = self.counts.iter().sum();
        let wanted = (total as f64 * fraction).ceil() as u64;
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted && seen > 0 {
                return Duration::from_nanos(lower_bound(index));
            }
        }
        Duration::ZERO
    }
}

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram::new()
    }
}

/// The position of the highest bit, then the four bits below it.
fn bucket(nanoseconds: u64) -> usize {
    let value = nanoseconds.max(PER_DOUBLING);
    let exponent = value.ilog2();
    let mantissa = (value >> (exponent - 4)) & (PER_DOUBLING - 1);
    exponent as usize * PER_DOUBLING as usize + mantissa as usize
}

fn lower_bound(bucket: usize) -> u64 {
    let (exponent, mantissa) = (bucket as u64 / PER_DOUBLING, bucket as u64 % PER_DOUBLING);
    if exponent < 4 {
        0
    } else {
        (PER_DOUBLING + mantissa) << (exponent - 4)
    }
}

const PER_DOUBLING: u64 = 16;

const BUCKETS: usize = 64 * PER_DOUBLING as usize;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantile_is_never_off_by_more_than_a_bucket() {
        for nanoseconds in [16, 17, 1000, 123_456, 1 << 40, u64::MAX] {
            let bound = lower_bound(bucket(nanoseconds));
            assert!(bound <= nanoseconds);
            assert!(
                nanoseconds - bound <= nanoseconds / 16,
                "{nanoseconds} counted as {bound}"
            );
        }
    }

    #[test]
    fn rare_long_wait_does_not_move_the_median() {
        let mut histogram = Histogram::new();
        for _ in 0..99 {
            histogram.record(Duration::from_nanos(1024));
        }
        histogram.record(Duration::from_secs(1));
        assert_eq!(histogram.quantile(0.5), Duration::from_nanos(1024));
        assert!(histogram.quantile(1.0) > Duration::from_millis(900));
    }
}
