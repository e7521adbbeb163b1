//! What is done every ten seconds, and when slots become free: who may ask us for blocks.

use std::rc::Rc;
use std::time::Instant;

use crate::choker::{Candidate, PeerKey, ROUND};
use crate::swarm::{State, Swarm};

impl Swarm {
    /// Runs for ever.
    pub(crate) async fn run_rounds(self: Rc<Self>) {
        loop {
            ioloop::sleep(ROUND).await;
            let now = self.session.now();
            self.state.borrow_mut().round(now);
        }
    }
}

impl State {
    fn round(&mut self, now: Instant) {
        let mut has_released = false;
        for (key, peer) in &mut self.peers {
            peer.keep_alive(now);
            has_released |= peer.notice_snub(*key, &mut self.requests, now);
        }
        if has_released {
            self.ask_everybody(now);
        }
        let candidates = self.choker_candidates(now);
        let is_seed = self.is_complete();
        let chosen = self.choker.round(&candidates, is_seed, now, &mut self.rng);
        for (key, peer) in &mut self.peers {
            peer.set_unchoked(chosen.contains(key), now);
        }
    }

    /// Gives free slots to those who wait.
    pub(crate) fn fill_slots(&mut self, now: Instant) {
        let chosen: Vec<PeerKey> = self.choker.fill(&self.choker_candidates(now));
        for key in chosen {
            if let Some(peer) = self.peers.get_mut(&key) {
                peer.set_unchoked(true, now);
            }
        }
    }

    fn choker_candidates(&self, now: Instant) -> Vec<Candidate> {
        let candidates = self
            .peers
            .iter()
            .map(|(key, peer)| peer.candidate(*key, now));
        candidates.collect()
    }
}
