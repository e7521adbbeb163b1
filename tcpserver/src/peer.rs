//! The address of a peer, in as little room as most need.

use std::cell::OnceCell;
use std::net::{SocketAddr, SocketAddrV4};

use iostream::Address;

/// Where a peer is. Every idle connection keeps one, and few are ever asked for it: an IPv4
/// address is written out only then.
pub(crate) struct Peer {
    /// None if the address was never in short form; then it is written out from the start.
    short: Option<SocketAddrV4>,
    written_out: OnceCell<Box<Address>>,
}

impl Peer {
    pub(crate) fn address(&self) -> &Address {
        self.written_out.get_or_init(|| {
            let short = self.short.map(|address| SocketAddr::V4(address).into());
            Box::new(short.unwrap_or(Address::Memory))
        })
    }
}

impl From<Address> for Peer {
    fn from(address: Address) -> Peer {
        match address {
            Address::Ip(SocketAddr::V4(address)) => Peer {
                short: Some(address),
                written_out: OnceCell::new(),
            },
            // What a missing short form stands for.
            Address::Memory => Peer {
                short: None,
                written_out: OnceCell::new(),
            },
            address => Peer {
                short: None,
                written_out: OnceCell::from(Box::new(address)),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_address_is_lost() {
        let v4 = "127.0.0.1:8888".parse::<SocketAddr>().unwrap();
        let v6 = "[::1]:8888".parse::<SocketAddr>().unwrap();
        let unix = Address::Unix(Some("/run/socket".into()));
        for address in [
            v4.into(),
            v6.into(),
            unix,
            Address::Unix(None),
            Address::Memory,
        ] {
            let peer = Peer::from(address.clone());
            assert_eq!(*peer.address(), address);
            assert_eq!(*peer.address(), address, "asked again");
        }
    }
}
