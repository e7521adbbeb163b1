//! Addresses and ports of either family, each in as many bytes as it takes.

use std::fmt::Display;
use std::net::{Ipv4Addr, Ipv6Addr};

/// An address and a port, as they are sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Endpoint<A> {
    pub(crate) ip: A,
    pub(crate) port: [u8; 2],
}

/// IPv4 or IPv6.
pub(crate) trait Ip: Copy + Display + PartialEq {
    /// In bytes, as it is sent.
    const LENGTH: usize;

    fn append_to(self, out: &mut Vec<u8>);

    /// From exactly as many bytes.
    fn read(bytes: &[u8]) -> Option<Self>;
}

impl Ip for Ipv4Addr {
    const LENGTH: usize = 4;

    fn append_to(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.octets());
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        <[u8; 4]>::try_from(bytes).ok().map(Ipv4Addr::from)
    }
}

impl Ip for Ipv6Addr {
    const LENGTH: usize = 16;

    fn append_to(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.octets());
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        <[u8; 16]>::try_from(bytes).ok().map(Ipv6Addr::from)
    }
}

impl<A: Ip> Endpoint<A> {
    /// As in compact answers.
    pub(crate) fn append_to(self, out: &mut Vec<u8>) {
        self.ip.append_to(out);
        out.extend_from_slice(&self.port);
    }
}
