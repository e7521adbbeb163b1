//! What a peer says of itself, however it came: over HTTP or UDP.

use std::net::{IpAddr, SocketAddr};

use examples::info_hash::InfoHash;

/// Twenty bytes that a peer has chosen for itself.
pub(crate) type PeerId = [u8; 20];

/// One announce, checked.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Announce {
    pub(crate) info_hash: InfoHash,
    pub(crate) peer_id: PeerId,
    /// Where the announce came from, with the port that the peer listens on; never 0. An address
    /// that somebody only claims would send others there.
    pub(crate) address: SocketAddr,
    /// 0 if there is none.
    pub(crate) key: u32,
    /// Nothing is left to download.
    pub(crate) is_seed: bool,
    pub(crate) is_leaving: bool,
    /// How many peers it wants to hear of.
    pub(crate) wanted: usize,
}

/// The address of a peer as others can use it: IPv4 also when it came to a socket for both.
pub(crate) fn address(source: IpAddr, port: u16) -> SocketAddr {
    SocketAddr::new(source.to_canonical(), port)
}

/// How many peers are told of to who wants `wanted`; less than nought is no number.
pub(crate) fn peers_wanted(wanted: Option<i64>) -> usize {
    let wanted = wanted.and_then(|wanted| usize::try_from(wanted).ok());
    wanted.unwrap_or(WANTED_DEFAULT).min(WANTED_MAX)
}

/// Enough to begin with: clients open about 50 connections.
const WANTED_DEFAULT: usize = 50;
/// 1,200 bytes of IPv4 addresses, so that an answer over UDP fits into a packet. Clients ask for
/// 200 at most.
const WANTED_MAX: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_told_of_more_than_200_nor_of_fewer_than_asked_for() {
        let wanted = [
            None,
            Some(-1),
            Some(i64::MIN),
            Some(0),
            Some(7),
            Some(200),
            Some(201),
        ];
        let told = wanted.map(peers_wanted);
        assert_eq!(told, [50, 50, 50, 0, 7, 200, 200]);
        assert_eq!(peers_wanted(Some(i64::MAX)), 200);
    }

    #[test]
    fn an_address_that_was_mapped_is_the_one_it_was() {
        let mapped = "::ffff:127.0.0.3".parse().unwrap();
        assert_eq!(address(mapped, 7).to_string(), "127.0.0.3:7");
    }
}
