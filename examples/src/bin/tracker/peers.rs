//! The peers of one swarm that have addresses of one length.

use std::hash::RandomState;

use fastrand::Rng;
use indexmap::IndexMap;
use indexmap::map::{Entry, Slice};

use crate::announce::PeerId;
use crate::choice::Places;
use crate::endpoint::{Endpoint, Ip};

/// Peers by their ids, in no order but that seeds lie behind leechers: who wants only leechers is
/// given some of the front.
pub(crate) struct Peers<A> {
    peers: IndexMap<PeerId, Peer<A>, RandomState>,
    /// How many of `peers` have something left to download.
    leechers: usize,
}

impl<A> Default for Peers<A> {
    fn default() -> Peers<A> {
        Peers {
            peers: IndexMap::default(),
            leechers: 0,
        }
    }
}

/// What is known of a peer beside its id. There are millions.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Peer<A> {
    pub(crate) endpoint: Endpoint<A>,
    /// Who gives another one may change nothing. 0 is none: whoever knows the id is believed then,
    /// since a client without a key whose address changes is still the same.
    pub(crate) key: u32,
    /// The last second in which it is here, unless it announces again.
    pub(crate) expires: u32,
}

/// What has become of a peer that announced.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Entered {
    /// Where it is now; nowhere if it has left.
    pub(crate) place: Option<usize>,
    /// It had something left before, and has not now.
    pub(crate) has_completed: bool,
}

/// The key that came does not match the one known for this peer.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct WrongKey;

impl<A: Ip> Peers<A> {
    /// Adds a peer, or replaces what is known of it.
    pub(crate) fn enter(
        &mut self,
        id: PeerId,
        peer: Peer<A>,
        is_seed: bool,
    ) -> Result<Entered, WrongKey> {
        let (place, was_leecher) = match self.peers.entry(id) {
            Entry::Occupied(mut known) => {
                if known.get().key != 0 && known.get().key != peer.key {
                    return Err(WrongKey);
                }
                known.insert(peer);
                (known.index(), known.index() < self.leechers)
            }
            Entry::Vacant(vacant) => {
                let place = vacant.index();
                vacant.insert(peer);
                (place, false)
            }
        };
        // What is new lies at the very end, as a seed would.
        let place = match (place < self.leechers, is_seed) {
            (true, true) => {
                self.leechers -= 1;
                self.swap(place, self.leechers)
            }
            (false, false) => {
                self.leechers += 1;
                self.swap(place, self.leechers - 1)
            }
            _ => place,
        };
        Ok(Entered {
            place: Some(place),
            has_completed: was_leecher && is_seed,
        })
    }

    /// Removes a peer that says goodbye. `None` if it was not here; else whether it had something
    /// left to download.
    pub(crate) fn leave(&mut self, id: &PeerId, key: u32) -> Result<Option<bool>, WrongKey> {
        let Some((place, _, peer)) = self.peers.get_full(id) else {
            return Ok(None);
        };
        if peer.key != 0 && peer.key != key {
            return Err(WrongKey);
        }
        let was_leecher = place < self.leechers;
        self.remove(place);
        Ok(Some(was_leecher))
    }

    /// Up to `wanted` of all, or of the leechers, in no order, without the one at `asker`.
    pub(crate) fn choose(
        &self,
        asker: Option<usize>,
        leechers_only: bool,
        wanted: usize,
        random: Rng,
    ) -> Chosen<'_, A> {
        let length = if leechers_only {
            self.leechers
        } else {
            self.peers.len()
        };
        Chosen {
            peers: self.peers.as_slice(),
            places: Places::choose(length, asker, wanted, random),
            without: None,
        }
    }

    /// Looks at one place after another below `end`, the last one first, removes who has not been
    /// heard of, and stops after `limit`. Returns where it stopped.
    ///
    /// From the end, because who is moved into a gap has been looked at then.
    pub(crate) fn sweep(&mut self, end: usize, limit: usize, now: u32) -> usize {
        let end = end.min(self.peers.len());
        let stop = end.saturating_sub(limit);
        for place in (stop..end).rev() {
            if self.peers[place].expires < now {
                self.remove(place);
            }
        }
        if self.peers.capacity() > 4 * self.peers.len() {
            self.peers.shrink_to(2 * self.peers.len());
        }
        stop
    }

    pub(crate) fn has(&self, id: &PeerId) -> bool {
        self.peers.contains_key(id)
    }

    pub(crate) fn len(&self) -> usize {
        self.peers.len()
    }

    pub(crate) fn leechers(&self) -> usize {
        self.leechers
    }

    pub(crate) fn seeds(&self) -> usize {
        self.peers.len() - self.leechers
    }

    /// Everybody, with whether it is a seed.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&PeerId, &Peer<A>, bool)> {
        let peers = self.peers.iter().enumerate();
        peers.map(|(place, (id, peer))| (id, peer, place >= self.leechers))
    }

    /// Returns where the first is now.
    fn swap(&mut self, place: usize, other: usize) -> usize {
        self.peers.swap_indices(place, other);
        other
    }

    fn remove(&mut self, mut place: usize) {
        if place < self.leechers {
            self.leechers -= 1;
            place = self.swap(place, self.leechers);
        }
        self.peers.swap_remove_index(place);
    }
}

/// Peers that were chosen, one after another, and not copied.
pub(crate) struct Chosen<'a, A> {
    peers: &'a Slice<PeerId, Peer<A>>,
    places: Places,
    without: Option<Endpoint<A>>,
}

impl<A: Ip> Chosen<'_, A> {
    pub(crate) fn nobody() -> Self {
        Chosen {
            peers: Slice::new(),
            places: Places::none(),
            without: None,
        }
    }

    /// Passes over those with this endpoint, whatever their ids.
    pub(crate) fn without(mut self, endpoint: Endpoint<A>) -> Self {
        self.without = Some(endpoint);
        self
    }

    /// How many are left, also those to be passed over.
    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }
}

impl<'a, A: Ip> Iterator for Chosen<'a, A> {
    type Item = (&'a PeerId, &'a Peer<A>);

    fn next(&mut self) -> Option<(&'a PeerId, &'a Peer<A>)> {
        loop {
            let place = self.places.next()?;
            let (id, peer) = self.peers.get_index(place)?;
            if self.without != Some(peer.endpoint) {
                return Some((id, peer));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::net::Ipv4Addr;

    use super::*;

    fn peer(number: u8, expires: u32) -> Peer<Ipv4Addr> {
        Peer {
            endpoint: Endpoint {
                ip: Ipv4Addr::new(127, 0, 0, number),
                port: [0, 1],
            },
            key: 0,
            expires,
        }
    }

    fn ids(peers: &Peers<Ipv4Addr>, asker: Option<usize>, leechers_only: bool) -> Vec<u8> {
        let chosen = peers.choose(asker, leechers_only, 100, Rng::with_seed(1));
        let mut ids: Vec<u8> = chosen.map(|(id, _)| id[0]).collect();
        ids.sort_unstable();
        ids
    }

    /// Whatever peers do, in any order, those in front are the leechers.
    #[test]
    fn leechers_and_seeds_are_not_mixed_up() {
        let mut random = Rng::with_seed(5);
        let mut peers = Peers::<Ipv4Addr>::default();
        let mut model: HashMap<u8, bool> = HashMap::new();
        for _ in 0..20_000 {
            let number = random.u8(..12);
            let id = [number; 20];
            if random.u8(..4) == 0 {
                let was_leecher = model.remove(&number).map(|is_seed| !is_seed);
                assert_eq!(peers.leave(&id, 0), Ok(was_leecher));
            } else {
                let is_seed = random.bool();
                let before = model.insert(number, is_seed);
                let entered = peers.enter(id, peer(number, 1), is_seed).unwrap();
                assert_eq!(entered.has_completed, before == Some(false) && is_seed);
                assert_eq!(
                    peers.peers.get_index(entered.place.unwrap()).unwrap().0,
                    &id
                );
            }
            assert_eq!(peers.len(), model.len());
            assert_eq!(
                peers.leechers(),
                model.values().filter(|is_seed| !**is_seed).count()
            );
            for (id, peer, is_seed) in peers.iter() {
                assert_eq!(model[&id[0]], is_seed);
                assert_eq!(peer.endpoint.ip.octets()[3], id[0]);
            }
        }
    }

    #[test]
    fn a_seed_is_told_of_leechers_only_and_nobody_of_itself() {
        let mut peers = Peers::default();
        let mut place = |number, is_seed| {
            peers
                .enter([number; 20], peer(number, 1), is_seed)
                .unwrap()
                .place
        };
        place(1, false);
        let seed = place(2, true);
        assert_eq!(place(3, false), Some(1));
        place(4, true);
        assert_eq!(seed, Some(1), "moved by the leecher behind it");
        let leecher = peers.peers.get_index_of(&[3; 20]);
        let seed = peers.peers.get_index_of(&[2; 20]);
        assert_eq!(ids(&peers, leecher, false), [1, 2, 4]);
        assert_eq!(ids(&peers, seed, true), [1, 3]);
        assert_eq!(ids(&peers, None, false), [1, 2, 3, 4]);
    }

    #[test]
    fn who_has_another_key_changes_nothing() {
        let mut peers = Peers::default();
        let with_key = |key| Peer { key, ..peer(1, 1) };
        peers.enter([1; 20], with_key(7), false).unwrap();
        assert_eq!(peers.enter([1; 20], with_key(8), true), Err(WrongKey));
        assert_eq!(peers.enter([1; 20], with_key(0), true), Err(WrongKey));
        assert_eq!(peers.leave(&[1; 20], 8), Err(WrongKey));
        assert_eq!((peers.leechers(), peers.seeds()), (1, 0));
        assert_eq!(peers.leave(&[1; 20], 7), Ok(Some(true)));
        // Who gave none before may begin to.
        peers.enter([1; 20], with_key(0), false).unwrap();
        peers.enter([1; 20], with_key(7), false).unwrap();
        assert_eq!(peers.leave(&[1; 20], 0), Err(WrongKey));
    }

    #[test]
    fn a_sweep_removes_who_was_not_heard_of_and_nobody_else() {
        for step in [1, 3, 1000] {
            let mut peers = Peers::default();
            for number in 0..100 {
                let expires = if number % 3 == 0 { 9 } else { 10 };
                peers
                    .enter([number; 20], peer(number, expires), number % 2 == 0)
                    .unwrap();
            }
            let mut at = usize::MAX;
            while at > 0 {
                at = peers.sweep(at, step, 10);
            }
            let left = ids(&peers, None, false);
            assert_eq!(
                left,
                (0..100)
                    .filter(|number| number % 3 != 0)
                    .collect::<Vec<_>>()
            );
        }
    }

    #[test]
    fn those_who_have_gone_give_their_memory_back() {
        let mut peers = Peers::default();
        for number in 0..10_000_u32 {
            let mut id = [0; 20];
            id[..4].copy_from_slice(&number.to_be_bytes());
            peers
                .enter(id, peer(0, u32::from(number < 10)), false)
                .unwrap();
        }
        peers.sweep(usize::MAX, usize::MAX, 1);
        assert_eq!(peers.len(), 10);
        assert!(peers.peers.capacity() < 100, "{}", peers.peers.capacity());
    }
}
