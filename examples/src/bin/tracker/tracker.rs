//! All swarms: who is let in, how many there may be, and how those go that say nothing any more.
//!
//! Pure: the time and a source of random numbers are given with each call.

use std::hash::RandomState;

use examples::info_hash::InfoHash;
use fastrand::Rng;
use indexmap::IndexMap;
use indexmap::map::Entry;

use crate::announce::Announce;
use crate::catalogue::Catalogue;
use crate::peers::WrongKey;
use crate::swarm::{Answer, Counts, Swarm};

pub(crate) struct Tracker {
    pub(crate) catalogue: Catalogue,
    pub(crate) settings: Settings,
    swarms: IndexMap<InfoHash, Swarm, RandomState>,
    /// In all swarms.
    total: Counts,
    sweep: Sweep,
    /// Peers that went without a word.
    expired: u64,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    /// Seconds in which a peer is to announce again.
    pub(crate) interval: u32,
    pub(crate) swarms_max: usize,
    pub(crate) peers_max: usize,
}

/// Why an announce is not taken. Shown as what the peer is told.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Refusal {
    NotAllowed,
    WrongKey,
    Full,
}

/// Where the sweep has come to: it goes through swarms and peers from the last one to the first.
#[derive(Default)]
struct Sweep {
    /// The swarms below this one are still to be looked at.
    swarms_left: usize,
    /// Peers of the last of those that are; more than there are if it was not begun.
    peers_left: usize,
    /// How many are looked at in a second. It does not fall before the sweep is through: the fewer
    /// are left, the longer it would take.
    share: usize,
}

impl Tracker {
    pub(crate) fn new(settings: Settings, catalogue: Catalogue) -> Tracker {
        Tracker {
            catalogue,
            settings,
            swarms: IndexMap::default(),
            total: Counts::default(),
            sweep: Sweep::default(),
            expired: 0,
        }
    }

    /// Counts a peer in or out, and chooses whom it is told of. `now` is in seconds.
    pub(crate) fn announce(
        &mut self,
        announce: &Announce,
        now: u32,
        random: &mut Rng,
    ) -> Result<Answer<'_>, Refusal> {
        if !self.catalogue.allows(&announce.info_hash) {
            return Err(Refusal::NotAllowed);
        }
        let expires = now.saturating_add(self.lifetime());
        let swarms = self.swarms.len();
        let has_room = self.total.seeds + self.total.leechers < self.settings.peers_max;
        let swarm = match self.swarms.entry(announce.info_hash) {
            Entry::Occupied(known) => known.into_mut(),
            // Who leaves a swarm that is not there leaves none behind.
            Entry::Vacant(_) if announce.is_leaving => return Ok(Answer::empty()),
            Entry::Vacant(_) if swarms >= self.settings.swarms_max || !has_room => {
                return Err(Refusal::Full);
            }
            Entry::Vacant(vacant) => vacant.insert(Swarm::default()),
        };
        if !has_room && !swarm.knows(announce) {
            return if announce.is_leaving {
                Ok(Answer::empty())
            } else {
                Err(Refusal::Full)
            };
        }
        let before = swarm.counts();
        let answer = swarm.announce(announce, expires, random)?;
        self.total.replace(before, answer.counts);
        Ok(answer)
    }

    /// A swarm's counts; noughts if there is none.
    pub(crate) fn scrape(&self, info_hash: &InfoHash) -> Counts {
        let swarm = self.swarms.get(info_hash);
        swarm.map(Swarm::counts).unwrap_or_default()
    }

    /// To be called once a second: removes a share of those whose time is over, and swarms that are
    /// empty, so that all have been looked at after a quarter of an interval. As those who are left
    /// may be first in one round and last in the next, who says nothing is gone after one and a
    /// half intervals to two.
    pub(crate) fn sweep(&mut self, now: u32) {
        let all = self.swarms.len() + self.peers();
        let seconds = self.settings.interval as usize / 4;
        let share = all.div_ceil(seconds.max(1));
        if self.sweep.swarms_left == 0 {
            self.sweep.share = SWEPT_MIN;
            self.sweep.begin(self.swarms.len());
        }
        self.sweep.share = self.sweep.share.max(share);
        let mut limit = self.sweep.share;
        while limit > 0 && self.sweep.swarms_left > 0 {
            limit = self.sweep_swarm(limit, now);
        }
    }

    /// Returns how much of the limit is left.
    fn sweep_swarm(&mut self, limit: usize, now: u32) -> usize {
        let place = self.sweep.swarms_left.min(self.swarms.len());
        let Some(place) = place.checked_sub(1) else {
            self.sweep.swarms_left = 0;
            return limit;
        };
        let (info_hash, swarm) = self
            .swarms
            .get_index_mut(place)
            .expect("it is below the length");
        let before = swarm.counts();
        let end = self.sweep.peers_left.min(swarm.len());
        let stop = swarm.sweep(end, limit, now);
        let after = swarm.counts();
        self.total.replace(before, after);
        self.expired += (before.peers() - after.peers()) as u64;
        self.sweep.peers_left = stop;
        if stop == 0 {
            self.sweep.begin(place);
            // What is on the list is few, and its count of downloads is worth keeping.
            if after.peers() == 0 && !self.catalogue.lists(info_hash) {
                self.swarms.swap_remove_index(place);
                self.total.downloaded -= after.downloaded;
            }
        }
        // An empty swarm is work too.
        limit - (end - stop).clamp(1, limit)
    }

    /// Puts a swarm back that was saved.
    pub(crate) fn restore(&mut self, info_hash: InfoHash, swarm: Swarm) {
        let counts = swarm.counts();
        let is_empty = counts.peers() == 0 && !self.catalogue.lists(&info_hash);
        let is_too_many = self.swarms.len() >= self.settings.swarms_max
            || self.peers() + counts.peers() > self.settings.peers_max;
        if is_empty || is_too_many || !self.catalogue.allows(&info_hash) {
            return;
        }
        let before = self.swarms.insert(info_hash, swarm);
        let before = before.map(|swarm| swarm.counts()).unwrap_or_default();
        self.total.replace(before, counts);
    }

    pub(crate) fn swarms(&self) -> impl Iterator<Item = (&InfoHash, &Swarm)> {
        self.swarms.iter()
    }

    /// The swarm at a place below [`swarm_count`](Tracker::swarm_count).
    pub(crate) fn swarm_at(&self, place: usize) -> Option<(&InfoHash, &Swarm)> {
        self.swarms.get_index(place)
    }

    pub(crate) fn swarm_count(&self) -> usize {
        self.swarms.len()
    }

    pub(crate) fn total(&self) -> Counts {
        self.total
    }

    pub(crate) fn expired(&self) -> u64 {
        self.expired
    }

    /// Seconds for which a peer is here after an announce.
    pub(crate) fn lifetime(&self) -> u32 {
        // One more, since the second in which it announced had begun before.
        (self.settings.interval.saturating_mul(3) / 2).saturating_add(1)
    }

    fn peers(&self) -> usize {
        self.total.peers()
    }
}

impl Sweep {
    fn begin(&mut self, swarms: usize) {
        self.swarms_left = swarms;
        self.peers_left = usize::MAX;
    }
}

impl Counts {
    pub(crate) fn peers(&self) -> usize {
        self.seeds + self.leechers
    }

    fn replace(&mut self, before: Counts, after: Counts) {
        self.seeds = self.seeds - before.seeds + after.seeds;
        self.leechers = self.leechers - before.leechers + after.leechers;
        self.downloaded = self.downloaded - before.downloaded + after.downloaded;
    }
}

impl From<WrongKey> for Refusal {
    fn from(_: WrongKey) -> Refusal {
        Refusal::WrongKey
    }
}

impl Refusal {
    pub(crate) fn text(self) -> &'static str {
        match self {
            Refusal::NotAllowed => "this torrent is not allowed on this tracker",
            Refusal::WrongKey => "the key is not the one given before",
            Refusal::Full => "this tracker is full",
        }
    }
}

/// A small tracker looks at all of its peers every second; they take a few microseconds.
const SWEPT_MIN: usize = 1000;

/// What it is unless somebody says otherwise.
pub(crate) const SETTINGS: Settings = Settings {
    interval: 1800,
    // Strangers can make up both. With 80 bytes for a peer, these take 400 MB at worst.
    swarms_max: 200_000,
    peers_max: 4_000_000,
};

#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    /// Peer `peer` of swarm `swarm`, which wants to hear of everybody.
    pub(crate) fn announce(swarm: u8, peer: u8, is_seed: bool) -> Announce {
        Announce {
            info_hash: InfoHash([swarm; 20]),
            peer_id: [peer; 20],
            address: ([127, 0, 0, peer], 6881).into(),
            key: 0,
            is_seed,
            is_leaving: false,
            wanted: 200,
        }
    }
}

#[cfg(test)]
mod tests;
