//! Listening sockets: which to open for an address, with which options, and why it failed.

use std::fmt::Display;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use iostream::Address;
use rustix::io::Errno;
use socket2::{Domain, SockRef, Socket, Type};

use crate::bind_options::BindOptions;
use crate::explain::cannot_listen;

/// A socket that listens: from [`bind_sockets`], [`bind_unix_socket`], or of another's making.
///
/// [`bind_unix_socket`]: crate::bind_unix_socket
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
/// let address = listener.local_addr()?;
/// let listener = tcpserver::Listener::try_from(std::os::fd::OwnedFd::from(listener))?;
/// assert_eq!(listener.address().ip(), Some(address));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Listener {
    fd: OwnedFd,
    address: Address,
    /// The process that it was made in; in another, it is shared with that one.
    process: u32,
}

impl Listener {
    pub(crate) fn new(socket: Socket, address: Address) -> Listener {
        Listener::of(socket.into(), address)
    }

    fn of(fd: OwnedFd, address: Address) -> Listener {
        let process = std::process::id();
        Listener {
            fd,
            address,
            process,
        }
    }

    /// Whether this process was forked after it was made, so that others accept from it too.
    pub(crate) fn is_shared(&self) -> bool {
        self.process != std::process::id()
    }

    /// Where it listens; with the port that the system chose if zero was asked for.
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// let sockets = tcpserver::bind_sockets("127.0.0.1:0", &Default::default())?;
    /// assert_ne!(sockets[0].address().ip().unwrap().port(), 0);
    /// # Ok(())
    /// # }
    /// ```
    pub fn address(&self) -> &Address {
        &self.address
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl TryFrom<OwnedFd> for Listener {
    type Error = io::Error;

    /// Takes over a listening socket, for example one that a supervisor has opened, and makes it
    /// non-blocking. `InvalidInput` if it does not listen: accepting from it would never work.
    fn try_from(fd: OwnedFd) -> io::Result<Listener> {
        #[cfg(not(target_vendor = "apple"))]
        if !rustix::net::sockopt::socket_acceptconn(&fd)? {
            let message = format!("descriptor {} is no listening socket", fd.as_raw_fd());
            return Err(io::Error::new(ErrorKind::InvalidInput, message));
        }
        let socket = SockRef::from(&fd);
        socket.set_nonblocking(true)?;
        let address = Address::from(&socket.local_addr()?);
        Ok(Listener::of(fd, address))
    }
}

/// Opens a listening socket for every address that `address` stands for. Makes no loop, so a
/// process may fork afterwards.
///
/// `address` is `HOST:PORT`: a name or an IP address, IPv6 in brackets; without a host, as in
/// `:8888`, all interfaces. A name is looked up here, which may block. With port 0 the system
/// chooses one, the same for IPv4 and IPv6.
///
/// A family that the system does not have is left out, and so is the `::1` of `localhost` where
/// there is none.
///
/// # Errors
/// One sentence that says which address and why, such as `cannot listen on 127.0.0.1:80:
/// permission denied`, with the kind to act on.
///
/// ```
/// use tcpserver::{BindOptions, bind_sockets};
///
/// # fn main() -> std::io::Result<()> {
/// let sockets = bind_sockets("127.0.0.1:0", &BindOptions::new())?;
/// let taken = sockets[0].address();
/// let error = bind_sockets(taken, &BindOptions::new()).unwrap_err();
/// assert_eq!(error.to_string(), format!("cannot listen on {taken}: address already in use"));
/// # Ok(())
/// # }
/// ```
pub fn bind_sockets(address: impl Display, options: &BindOptions) -> io::Result<Vec<Listener>> {
    let address = address.to_string();
    let addresses = resolve(&address, options)?;
    let wants_any_port = addresses.iter().all(|address| address.port() == 0);
    // The port that the first socket was given may be taken in the other family.
    let attempts = if wants_any_port && addresses.len() > 1 {
        PORT_ATTEMPTS
    } else {
        1
    };
    let mut result = bind_all(&addresses, options);
    for _ in 1..attempts {
        match &result {
            Err((_, error)) if error.kind() == ErrorKind::AddrInUse => {
                result = bind_all(&addresses, options);
            }
            _ => break,
        }
    }
    match result {
        Ok(listeners) if listeners.is_empty() => Err(cannot_listen(
            &address,
            "the system has none of its address families",
        )),
        Ok(listeners) => Ok(listeners),
        Err((failed, error)) => Err(cannot_listen(failed, error)),
    }
}

/// The addresses behind `HOST:PORT`, IPv4 first, each once.
fn resolve(address: &str, options: &BindOptions) -> io::Result<Vec<SocketAddr>> {
    let Some((host, port)) = address.rsplit_once(':') else {
        return Err(cannot_listen(address, "expected HOST:PORT"));
    };
    let Ok(port) = port.parse::<u16>() else {
        let why = format!("'{port}' is no port, which is a number from 0 to 65535");
        return Err(cannot_listen(address, why));
    };
    let mut addresses: Vec<SocketAddr> = match host {
        "" | "*" => {
            let any = [
                IpAddr::from(Ipv4Addr::UNSPECIFIED),
                Ipv6Addr::UNSPECIFIED.into(),
            ];
            any.map(|any| SocketAddr::new(any, port)).into()
        }
        _ => match address.to_socket_addrs() {
            Ok(addresses) => addresses.collect(),
            Err(error) => {
                return Err(cannot_listen(
                    address,
                    format!("cannot look up '{host}': {error}"),
                ));
            }
        },
    };
    addresses.retain(|address| options.allows(address));
    addresses.sort_unstable();
    addresses.dedup();
    if addresses.is_empty() {
        return Err(cannot_listen(
            address,
            "it has no address of the wanted family",
        ));
    }
    Ok(addresses)
}

/// Opens them all, on the same port if that is to be chosen.
fn bind_all(
    addresses: &[SocketAddr],
    options: &BindOptions,
) -> Result<Vec<Listener>, (SocketAddr, io::Error)> {
    let mut listeners: Vec<Listener> = Vec::new();
    for &wanted in addresses {
        let mut address = wanted;
        if let Some(chosen) = listeners.first().and_then(|first| first.address.ip()) {
            if address.port() == 0 {
                address.set_port(chosen.port());
            }
        }
        match bind(address, options) {
            Ok(listener) => listeners.push(listener),
            Err(error) if is_missing(&error, address, addresses.len()) => {}
            Err(error) => return Err((address, error)),
        }
    }
    Ok(listeners)
}

fn bind(address: SocketAddr, options: &BindOptions) -> io::Result<Listener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.set_reuse_address(options.reuse_addr)?;
    if options.reuse_port {
        rustix::net::sockopt::set_socket_reuseport(&socket, true)?;
    }
    if address.is_ipv6() {
        socket.set_only_v6(options.v6only)?;
    } else if let Some(tos) = options.tos {
        socket.set_tos_v4(tos)?;
    }
    socket.bind(&address.into())?;
    socket.listen(options.backlog)?;
    let address = Address::from(&socket.local_addr()?);
    Ok(Listener::new(socket, address))
}

/// Whether an address can be left out: a family that is not there, or the IPv6 side of a name that
/// stands for both, in a container without it.
fn is_missing(error: &io::Error, address: SocketAddr, alternatives: usize) -> bool {
    let is = |errno: Errno| error.raw_os_error() == Some(errno.raw_os_error());
    if alternatives == 1 {
        return false;
    }
    is(Errno::AFNOSUPPORT) || (address.is_ipv6() && is(Errno::ADDRNOTAVAIL))
}

/// More than one collision by chance is rare, five are something else.
const PORT_ATTEMPTS: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bind_options::Families;

    fn error(address: &str) -> String {
        bind_sockets(address, &BindOptions::new())
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn a_bad_address_is_refused_in_one_sentence() {
        assert_eq!(
            error("nonsense"),
            "cannot listen on nonsense: expected HOST:PORT"
        );
        assert_eq!(
            error("127.0.0.1:99999"),
            "cannot listen on 127.0.0.1:99999: '99999' is no port, which is a number from 0 to \
             65535"
        );
        assert!(error("no-such-host.invalid:1").starts_with(
            "cannot listen on no-such-host.invalid:1: cannot look up 'no-such-host.invalid': "
        ));
        // Not an address of this machine: TEST-NET-1 of RFC 5737.
        assert_eq!(
            error("192.0.2.1:0"),
            "cannot listen on 192.0.2.1:0: cannot assign requested address"
        );
    }

    #[test]
    fn both_families_get_the_same_port() {
        let sockets = bind_sockets("localhost:0", &BindOptions::new()).unwrap();
        let ports: Vec<u16> = sockets
            .iter()
            .map(|socket| socket.address().ip().unwrap().port())
            .collect();
        assert!(
            ports.iter().all(|port| *port == ports[0] && *port != 0),
            "{ports:?}"
        );
    }

    #[test]
    fn a_family_that_was_not_asked_for_is_left_out() {
        let options = BindOptions::new().families(Families::V6);
        let error = bind_sockets("127.0.0.1:0", &options)
            .unwrap_err()
            .to_string();
        assert_eq!(
            error,
            "cannot listen on 127.0.0.1:0: it has no address of the wanted family"
        );
    }

    #[test]
    fn options_reach_the_socket() {
        let options = BindOptions::new().tos(0x10).reuse_port(true);
        let sockets = bind_sockets("127.0.0.1:0", &options).unwrap();
        let socket = SockRef::from(&sockets[0]);
        assert_eq!(socket.tos_v4().unwrap(), 0x10);
        assert!(socket.reuse_address().unwrap());
        // A second socket may have the address too.
        bind_sockets(sockets[0].address(), &options).unwrap();
    }
}
