//! Connection ids of UDP: proof that who asks receives what is sent to its address, without
//! remembering anybody.

use std::fs::File;
use std::io::{self, Read};
use std::net::IpAddr;

use sha2::{Digest, Sha256};

/// Gives out ids that only it can make, and that are good for two to four minutes.
pub(crate) struct ConnectionIds {
    secret: [u8; 32],
}

impl ConnectionIds {
    pub(crate) fn new() -> io::Result<ConnectionIds> {
        let mut secret = [0; 32];
        File::open("/dev/urandom")?.read_exact(&mut secret)?;
        Ok(ConnectionIds { secret })
    }

    /// `now` is in seconds.
    pub(crate) fn issue(&self, ip: IpAddr, now: u32) -> u64 {
        self.of(ip, now / PERIOD)
    }

    pub(crate) fn accepts(&self, id: u64, ip: IpAddr, now: u32) -> bool {
        let period = now / PERIOD;
        id == self.of(ip, period) || period > 0 && id == self.of(ip, period - 1)
    }

    /// A part of the hash is all that anybody sees, so it cannot be carried on to another one.
    fn of(&self, ip: IpAddr, period: u32) -> u64 {
        let mut hash = Sha256::new_with_prefix(self.secret);
        hash.update(period.to_be_bytes());
        match ip.to_canonical() {
            IpAddr::V4(ip) => hash.update(ip.octets()),
            IpAddr::V6(ip) => hash.update(ip.octets()),
        }
        let hash: [u8; 32] = hash.finalize().into();
        hash.iter()
            .take(8)
            .fold(0, |id, byte| id << 8 | u64::from(*byte))
    }
}

/// Seconds. Clients use an id for one minute, and are to be let do so for two (BEP 15).
const PERIOD: u32 = 120;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_good_for_its_address_and_for_a_while() {
        let ids = ConnectionIds::new().unwrap();
        let ip: IpAddr = "127.0.0.1".parse().unwrap();
        for now in [0, 1, 119, 120, 1000] {
            let id = ids.issue(ip, now);
            assert!(ids.accepts(id, ip, now) && ids.accepts(id, ip, now + 120));
            assert!(!ids.accepts(id, ip, now + 240));
            assert!(!ids.accepts(id ^ 1, ip, now));
            assert!(!ids.accepts(id, "127.0.0.2".parse().unwrap(), now));
            assert!(ids.accepts(id, "::ffff:127.0.0.1".parse().unwrap(), now));
            assert_ne!(ConnectionIds::new().unwrap().issue(ip, now), id);
        }
    }
}
