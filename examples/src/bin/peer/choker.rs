//! Who may ask us for blocks: those who give the most, and one more to find out what it gives.

use std::time::{Duration, Instant};

use fastrand::Rng;

/// A connection, by number.
pub(crate) type PeerKey = u64;

/// What is to be known of a peer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate {
    pub(crate) key: PeerKey,
    pub(crate) is_interested: bool,
    /// It owes us blocks and sends none.
    pub(crate) is_snubbing: bool,
    /// What it gives us, in bytes per second.
    pub(crate) rate: f64,
    /// Since when it may ask.
    pub(crate) unchoked: Option<Instant>,
    /// When it last might not any more, or came.
    pub(crate) waits_since: Instant,
}

/// Chooses every ten seconds; between, only slots that are free are given away.
#[derive(Debug)]
pub(crate) struct Choker {
    slots: usize,
    /// Who has the slot that goes round.
    optimistic: Option<PeerKey>,
    rounds: u32,
}

impl Choker {
    pub(crate) fn new(slots: usize) -> Choker {
        Choker {
            slots,
            optimistic: None,
            rounds: 0,
        }
    }

    /// To be called every [`ROUND`]: who may ask from now on.
    pub(crate) fn round(
        &mut self,
        candidates: &[Candidate],
        is_seed: bool,
        now: Instant,
        rng: &mut Rng,
    ) -> Vec<PeerKey> {
        self.rounds += 1;
        if is_seed {
            self.take_turns(candidates, now)
        } else {
            self.best_and_another(candidates, rng)
        }
    }

    /// When somebody has come, left, or changed its mind: who else may ask from now on.
    pub(crate) fn fill(&self, candidates: &[Candidate]) -> Vec<PeerKey> {
        let interested = candidates.iter().filter(|peer| peer.is_interested);
        let (taken, mut waiting): (Vec<&Candidate>, Vec<&Candidate>) =
            interested.partition(|peer| peer.unchoked.is_some());
        waiting.sort_by_key(|peer| (peer.is_snubbing, peer.waits_since));
        let free = self.slots.saturating_sub(taken.len());
        waiting.iter().take(free).map(|peer| peer.key).collect()
    }

    /// Tit for tat: all slots but one to those who give most. The last goes round among the others
    /// every third time, so that who has nothing yet can begin, and better ones are found.
    fn best_and_another(&mut self, candidates: &[Candidate], rng: &mut Rng) -> Vec<PeerKey> {
        let interested = || candidates.iter().filter(|peer| peer.is_interested);
        let mut best: Vec<&Candidate> = interested().filter(|peer| !peer.is_snubbing).collect();
        best.sort_by(|one, other| other.rate.total_cmp(&one.rate));
        best.truncate(self.slots.saturating_sub(1));
        let mut chosen: Vec<PeerKey> = best.iter().map(|peer| peer.key).collect();
        let others: Vec<PeerKey> = interested()
            .map(|peer| peer.key)
            .filter(|key| !chosen.contains(key))
            .collect();
        let is_still_there = self.optimistic.is_some_and(|key| others.contains(&key));
        if self.rounds % OPTIMISTIC_ROUNDS == 1 || !is_still_there {
            let changed = others.iter().filter(|key| Some(**key) != self.optimistic);
            let changed: Vec<PeerKey> = changed.copied().collect();
            self.optimistic = rng
                .choice(changed)
                .or(self.optimistic.filter(|_| is_still_there));
        }
        chosen.extend(self.optimistic);
        // Snubbed by everybody: slots that nobody better wants are not left empty.
        let rest = others.iter().filter(|key| Some(**key) != self.optimistic);
        chosen.extend(rest.take(self.slots.saturating_sub(chosen.len())));
        chosen
    }

    /// A seed has nothing to repay: who has had a slot for a while gives it to whoever waits
    /// longest, a third of the slots each time at the most.
    fn take_turns(&self, candidates: &[Candidate], now: Instant) -> Vec<PeerKey> {
        let interested = candidates.iter().filter(|peer| peer.is_interested);
        let (mut holding, mut waiting): (Vec<&Candidate>, Vec<&Candidate>) =
            interested.partition(|peer| peer.unchoked.is_some());
        // Newest first, so that those who have had the most leave.
        holding.sort_by_key(|peer| std::cmp::Reverse(peer.unchoked));
        waiting.sort_by_key(|peer| peer.waits_since);
        let fresh = holding.iter().filter(|peer| {
            let since = peer.unchoked.unwrap_or(now);
            now.saturating_duration_since(since) < TURN
        });
        let kept = usize::max(
            fresh.count(),
            self.slots - self.slots.div_ceil(3).min(waiting.len()),
        );
        holding.truncate(kept.min(self.slots));
        let free = self.slots - holding.len();
        let chosen = holding.iter().chain(waiting.iter().take(free));
        chosen.map(|peer| peer.key).collect()
    }
}

/// How many may ask at a time, for an upload limit in bytes per second: so many that each gets
/// enough to be worth it.
pub(crate) fn slots(limit: Option<u64>) -> usize {
    match limit {
        None => 7,
        Some(0..9_000) => 2,
        Some(9_000..15_000) => 3,
        Some(15_000..42_000) => 4,
        Some(limit) => ((limit as f64 / 1_000.0 * 0.6).sqrt() as usize).min(SLOTS_MAX),
    }
}

/// How often is chosen anew.
pub(crate) const ROUND: Duration = Duration::from_secs(10);

/// The slot that goes round is kept for so many rounds: 30 s, since a peer needs some seconds to
/// show what it gives.
const OPTIMISTIC_ROUNDS: u32 = 3;

/// How long who asks a seed may go on, whoever waits.
const TURN: Duration = Duration::from_secs(30);

/// With more, TCP's windows share the line out worse than we do.
const SLOTS_MAX: usize = 50;

#[cfg(test)]
mod tests {
    use super::*;

    fn start() -> Instant {
        ioloop::IoLoop::current().now()
    }

    fn candidate(key: PeerKey, rate: f64, start: Instant) -> Candidate {
        Candidate {
            key,
            is_interested: true,
            is_snubbing: false,
            rate,
            unchoked: None,
            waits_since: start + Duration::from_millis(key),
        }
    }

    /// Plays rounds with these peers; who was chosen in each.
    fn rounds(
        peers: &mut [Candidate],
        count: u32,
        slots: usize,
        is_seed: bool,
    ) -> Vec<Vec<PeerKey>> {
        let start = start();
        let (mut choker, mut rng) = (Choker::new(slots), Rng::with_seed(1));
        (0..count)
            .map(|round| {
                let now = start + ROUND * round;
                let chosen = choker.round(peers, is_seed, now, &mut rng);
                for peer in &mut *peers {
                    match (chosen.contains(&peer.key), peer.unchoked) {
                        (true, None) => peer.unchoked = Some(now),
                        (false, Some(_)) => (peer.unchoked, peer.waits_since) = (None, now),
                        _ => {}
                    }
                }
                chosen
            })
            .collect()
    }

    #[test]
    fn who_gives_more_is_not_choked_for_who_gives_less() {
        let start = start();
        let mut peers: Vec<_> = (0..10)
            .map(|key| candidate(key, key as f64, start))
            .collect();
        peers[9].is_interested = false;
        peers[8].is_snubbing = true;
        for chosen in rounds(&mut peers, 30, 4, false) {
            assert_eq!(chosen.len(), 4);
            assert!(
                [7, 6, 5].iter().all(|key| chosen.contains(key)),
                "{chosen:?}"
            );
            assert!(!chosen.contains(&9));
        }
    }

    #[test]
    fn the_optimistic_slot_does_not_stay_with_one() {
        let start = start();
        let mut peers: Vec<_> = (0..6)
            .map(|key| candidate(key, key as f64, start))
            .collect();
        let rounds = rounds(&mut peers, 60, 3, false);
        let optimistic: Vec<PeerKey> = rounds.iter().map(|chosen| chosen[2]).collect();
        for three in optimistic.chunks(3) {
            assert!(three.iter().all(|key| *key == three[0]), "{optimistic:?}");
        }
        assert!(
            optimistic
                .chunks(3)
                .is_sorted_by(|one, other| one[0] != other[0])
        );
        assert!(
            (0..4).all(|key| optimistic.contains(&key)),
            "{optimistic:?}"
        );
    }

    #[test]
    fn a_seed_does_not_serve_the_same_for_ever() {
        let start = start();
        let mut peers: Vec<_> = (0..6).map(|key| candidate(key, 0.0, start)).collect();
        let rounds = rounds(&mut peers, 60, 3, true);
        for key in 0..6 {
            let times = rounds.iter().filter(|chosen| chosen.contains(&key)).count();
            assert!((25..=35).contains(&times), "{key}: {times} of 60");
        }
        for pair in rounds.windows(2) {
            let new = pair[1].iter().filter(|key| !pair[0].contains(key)).count();
            assert!(new <= 1, "{pair:?}");
        }
    }

    #[test]
    fn no_slot_is_left_empty_while_somebody_waits() {
        let start = start();
        for is_seed in [false, true] {
            let mut peers: Vec<_> = (0..6).map(|key| candidate(key, 0.0, start)).collect();
            peers.iter_mut().for_each(|peer| peer.is_snubbing = true);
            for chosen in rounds(&mut peers, 12, 4, is_seed) {
                assert_eq!(chosen.len(), 4);
            }
            for chosen in rounds(&mut peers, 12, 8, is_seed) {
                assert_eq!(chosen.len(), 6);
            }
        }
    }

    #[test]
    fn a_free_slot_does_not_wait_for_the_round_and_a_taken_one_does() {
        let start = start();
        let mut peers: Vec<_> = (0..4).map(|key| candidate(key, 0.0, start)).collect();
        let choker = Choker::new(2);
        assert_eq!(choker.fill(&peers), [0, 1]);
        peers[0].unchoked = Some(start);
        assert_eq!(choker.fill(&peers), [1]);
        peers[1].unchoked = Some(start);
        assert!(choker.fill(&peers).is_empty());
        peers[0].is_interested = false;
        assert_eq!(choker.fill(&peers), [2]);
    }

    #[test]
    fn eight_who_share_a_megabyte_per_second_do_not_wait_for_slots() {
        assert_eq!(slots(None), 7);
        assert!(slots(Some(1_000_000)) >= 8);
        assert_eq!(slots(Some(20_000)), 4);
        assert_eq!(slots(Some(0)), 2);
        assert_eq!(slots(Some(u64::MAX)), 50);
    }
}
