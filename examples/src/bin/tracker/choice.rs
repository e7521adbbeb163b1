//! Which peers an announce is answered with: a fair choice, without looking at the others.

use fastrand::Rng;

/// Places in a ring of `length`, without `left_out`, chosen so that each is as likely as any other
/// and none comes twice.
///
/// The ring is cut at a random place into as many arcs as are wanted, of equal length but for one,
/// and one place is drawn from each. That takes time for those that are chosen only, and needs no
/// memory of what was drawn.
pub(crate) struct Places {
    length: usize,
    /// The place at which the first arc begins.
    begin: usize,
    /// The place next to it is the first of the ring; without one, that is place 0.
    left_out: Option<usize>,
    /// Places in all arcs.
    eligible: usize,
    arcs: usize,
    next_arc: usize,
    random: Rng,
}

impl Places {
    pub(crate) fn choose(
        length: usize,
        left_out: Option<usize>,
        wanted: usize,
        mut random: Rng,
    ) -> Places {
        let left_out = left_out.filter(|place| *place < length);
        let eligible = length - usize::from(left_out.is_some());
        Places {
            length,
            begin: if eligible == 0 {
                0
            } else {
                random.usize(..eligible)
            },
            left_out,
            eligible,
            arcs: wanted.min(eligible),
            next_arc: 0,
            random,
        }
    }

    pub(crate) fn none() -> Places {
        Places::choose(0, None, 0, Rng::with_seed(0))
    }

    /// How many are still to come.
    pub(crate) fn len(&self) -> usize {
        self.arcs - self.next_arc
    }
}

impl Iterator for Places {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        if self.next_arc == self.arcs {
            return None;
        }
        let edge = |arc: usize| arc * self.eligible / self.arcs;
        let arc = edge(self.next_arc)..edge(self.next_arc + 1);
        self.next_arc += 1;
        let drawn = (self.begin + self.random.usize(arc)) % self.eligible;
        let first = self.left_out.map_or(0, |place| place + 1);
        Some((first + drawn) % self.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(length: usize, left_out: Option<usize>, wanted: usize, seed: u64) -> Vec<usize> {
        Places::choose(length, left_out, wanted, Rng::with_seed(seed)).collect()
    }

    #[test]
    fn nobody_is_chosen_twice_nor_is_who_is_left_out() {
        for length in 0..20 {
            for left_out in (0..=length).map(Some).chain([None]) {
                for wanted in 0..25 {
                    let mut places = chosen(length, left_out, wanted, 3);
                    let others = length - usize::from(left_out.is_some_and(|at| at < length));
                    assert_eq!(places.len(), wanted.min(others));
                    places.sort_unstable();
                    assert!(
                        places.windows(2).all(|pair| pair[0] < pair[1]),
                        "{places:?}"
                    );
                    assert!(places.iter().all(|&at| at < length && Some(at) != left_out));
                }
            }
        }
    }

    /// Chi-square over 10,000 choices of 7 of 100: 98 degrees of freedom without the one left out,
    /// so 149 is exceeded once in a thousand by a fair one. The seed makes it the same every time.
    #[test]
    fn nobody_is_more_likely_than_others() {
        let mut counts = [0_u32; 100];
        for seed in 0..10_000 {
            for place in chosen(100, Some(42), 7, seed) {
                counts[place] += 1;
            }
        }
        assert_eq!(counts[42], 0);
        let expected = 70_000.0 / 99.0;
        let distance = |count: u32| (f64::from(count) - expected).powi(2) / expected;
        let others = counts.iter().enumerate().filter(|(place, _)| *place != 42);
        let chi_square: f64 = others.map(|(_, &count)| distance(count)).sum();
        assert!(chi_square < 149.0, "{chi_square}");
    }
}
