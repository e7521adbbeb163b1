//! The peers of one torrent, of both address families.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use fastrand::Rng;

use crate::announce::Announce;
use crate::endpoint::{Endpoint, Ip};
use crate::peers::{Chosen, Entered, Peer, Peers, WrongKey};

#[derive(Default)]
pub(crate) struct Swarm {
    pub(crate) v4: Peers<Ipv4Addr>,
    pub(crate) v6: Peers<Ipv6Addr>,
    /// How often a peer that had something left came to have nothing left.
    pub(crate) downloaded: u64,
}

/// What an announce is answered with.
pub(crate) struct Answer<'a> {
    pub(crate) counts: Counts,
    pub(crate) v4: Chosen<'a, Ipv4Addr>,
    pub(crate) v6: Chosen<'a, Ipv6Addr>,
}

/// How many there are in a swarm, or in all of them.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Counts {
    pub(crate) seeds: usize,
    pub(crate) leechers: usize,
    pub(crate) downloaded: u64,
}

impl Swarm {
    /// Counts the one who announces in, or out, and then chooses whom it is told of.
    pub(crate) fn announce(
        &mut self,
        announce: &Announce,
        expires: u32,
        random: &mut Rng,
    ) -> Result<Answer<'_>, WrongKey> {
        let port = announce.address.port().to_be_bytes();
        match announce.address.ip() {
            IpAddr::V4(ip) => {
                let own = Endpoint { ip, port };
                let entered = enter(&mut self.v4, announce, own, expires)?;
                self.downloaded += u64::from(entered.has_completed);
                let (v4, v6) = choose(&self.v4, &self.v6, announce, own, entered, random);
                Ok(self.answer(v4, v6))
            }
            IpAddr::V6(ip) => {
                let own = Endpoint { ip, port };
                let entered = enter(&mut self.v6, announce, own, expires)?;
                self.downloaded += u64::from(entered.has_completed);
                let (v6, v4) = choose(&self.v6, &self.v4, announce, own, entered, random);
                Ok(self.answer(v4, v6))
            }
        }
    }

    /// Whether the one who announces has done so before.
    pub(crate) fn knows(&self, announce: &Announce) -> bool {
        match announce.address {
            SocketAddr::V4(_) => self.v4.has(&announce.peer_id),
            SocketAddr::V6(_) => self.v6.has(&announce.peer_id),
        }
    }

    /// [`Peers::sweep`] of both families, as if they lay behind one another.
    pub(crate) fn sweep(&mut self, end: usize, limit: usize, now: u32) -> usize {
        let end = end.min(self.len());
        let first_v6 = self.v4.len();
        let mut stop = end;
        if stop > first_v6 {
            stop = first_v6 + self.v6.sweep(end - first_v6, limit, now);
        }
        if stop <= first_v6 {
            stop = self.v4.sweep(stop, limit - (end - stop), now);
        }
        stop
    }

    pub(crate) fn counts(&self) -> Counts {
        Counts {
            seeds: self.v4.seeds() + self.v6.seeds(),
            leechers: self.v4.leechers() + self.v6.leechers(),
            downloaded: self.downloaded,
        }
    }

    fn answer<'a>(&self, v4: Chosen<'a, Ipv4Addr>, v6: Chosen<'a, Ipv6Addr>) -> Answer<'a> {
        let counts = self.counts();
        Answer { counts, v4, v6 }
    }

    pub(crate) fn len(&self) -> usize {
        self.v4.len() + self.v6.len()
    }
}

impl Answer<'_> {
    /// Nobody is there.
    pub(crate) fn empty() -> Self {
        Answer {
            counts: Counts::default(),
            v4: Chosen::nobody(),
            v6: Chosen::nobody(),
        }
    }
}

fn enter<A: Ip>(
    peers: &mut Peers<A>,
    announce: &Announce,
    endpoint: Endpoint<A>,
    expires: u32,
) -> Result<Entered, WrongKey> {
    if announce.is_leaving {
        let was_leecher = peers.leave(&announce.peer_id, announce.key)?;
        return Ok(Entered {
            place: None,
            // Some clients never say that they have completed, and leave at once.
            has_completed: was_leecher == Some(true) && announce.is_seed,
        });
    }
    let peer = Peer {
        endpoint,
        key: announce.key,
        expires,
    };
    peers.enter(announce.peer_id, peer, announce.is_seed)
}

/// Peers with addresses like the asker's own come first: those it can reach for sure.
fn choose<'a, A: Ip, B: Ip>(
    alike: &'a Peers<A>,
    others: &'a Peers<B>,
    announce: &Announce,
    own: Endpoint<A>,
    entered: Entered,
    random: &mut Rng,
) -> (Chosen<'a, A>, Chosen<'a, B>) {
    let wanted = if announce.is_leaving {
        0
    } else {
        announce.wanted
    };
    let leechers_only = announce.is_seed;
    let alike = alike.choose(entered.place, leechers_only, wanted, random.fork());
    let others = others.choose(None, leechers_only, wanted - alike.len(), random.fork());
    // A client that was started again has a new id, but must not connect to itself.
    (alike.without(own), others)
}
