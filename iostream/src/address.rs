//! Addresses of streams, whatever their kind.

use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::{fmt, io};

use socket2::{SockAddr, SockRef};

/// Where one end of a stream is.
///
/// ```
/// use iostream::Address;
///
/// let address = Address::from("127.0.0.1:80".parse::<std::net::SocketAddr>().unwrap());
/// assert_eq!(address.to_string(), "127.0.0.1:80");
/// ```
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Address {
    /// IPv4 or IPv6, and the port.
    Ip(SocketAddr),
    /// A Unix socket, with its path if it has one: clients usually have none.
    Unix(Option<PathBuf>),
    /// The in-memory pair, or another transport without a descriptor.
    Memory,
}

impl Address {
    /// The IP address and port, if it has them.
    ///
    /// ```
    /// assert_eq!(iostream::Address::Memory.ip(), None);
    /// ```
    pub fn ip(&self) -> Option<SocketAddr> {
        match self {
            Address::Ip(address) => Some(*address),
            _ => None,
        }
    }

    pub(crate) fn local(fd: BorrowedFd<'_>) -> io::Result<Address> {
        SockRef::from(&fd)
            .local_addr()
            .map(|address| Address::from(&address))
    }

    pub(crate) fn peer(fd: BorrowedFd<'_>) -> io::Result<Address> {
        SockRef::from(&fd)
            .peer_addr()
            .map(|address| Address::from(&address))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Ip(address) => address.fmt(formatter),
            Address::Unix(Some(path)) => write!(formatter, "unix:{}", path.display()),
            Address::Unix(None) => formatter.write_str("unix"),
            Address::Memory => formatter.write_str("memory"),
        }
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Address {
        Address::Ip(address)
    }
}

impl From<&SockAddr> for Address {
    fn from(address: &SockAddr) -> Address {
        match address.as_socket() {
            Some(ip) => Address::Ip(ip),
            None => Address::Unix(address.as_pathname().map(PathBuf::from)),
        }
    }
}
