//! Opening connections: one attempt, and several across address families (RFC 8305).

use std::future::{pending, poll_fn};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_lite::future::or;
use ioloop::{Watched, sleep, timeout};
use rustix::io::Errno;
use socket2::{Domain, SockAddr, Socket, Type};

use crate::error::in_words;
use crate::stream::IoStream;

/// Connects to `address`, within 30 s. Nodelay is on.
///
/// # Errors
/// One sentence that says the address and why, with the kind to act on: `ConnectionRefused`,
/// `HostUnreachable`, `NetworkUnreachable`, `TimedOut`, or another of the system's.
///
/// # Cancel safety
/// Dropping the future closes the socket.
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
/// let address = listener.local_addr()?;
/// let stream = ioloop::IoLoop::current().run_until(iostream::connect(address))?;
/// assert_eq!(stream.peer_address()?.ip(), Some(address));
/// # Ok(())
/// # }
/// ```
pub async fn connect(address: SocketAddr) -> io::Result<IoStream> {
    Connector::new().connect(&[address]).await
}

/// Connects to the Unix socket at `path`, within 30 s.
///
/// # Errors
/// As [`connect`], with the path.
///
/// # Cancel safety
/// Dropping the future closes the socket.
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// let folder = std::env::temp_dir().join(format!("iostream-doc-{}", std::process::id()));
/// let listener = std::os::unix::net::UnixListener::bind(&folder)?;
/// let stream = ioloop::IoLoop::current().run_until(iostream::connect_unix(&folder))?;
/// # std::fs::remove_file(folder)?;
/// # Ok(())
/// # }
/// ```
pub async fn connect_unix(path: impl AsRef<Path>) -> io::Result<IoStream> {
    let path = path.as_ref();
    let attempt = async {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        attempt(socket, &SockAddr::unix(path)?).await
    };
    let result = timeout(TIMEOUT, attempt).await;
    flatten(result).map_err(|error| explained(&path.display(), &error))
}

/// Looks `name` up on the pool of blocking threads and connects to `port` at one of its addresses,
/// within 30 s in all.
///
/// # Errors
/// As [`connect`]; and what the resolver says.
///
/// # Cancel safety
/// Dropping the future closes the sockets. A look-up that has started ends in the background.
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
/// let port = listener.local_addr()?.port();
/// let stream = ioloop::IoLoop::current().run_until(iostream::connect_host("localhost", port))?;
/// # Ok(())
/// # }
/// ```
#[cfg(feature = "blocking")]
pub async fn connect_host(name: &str, port: u16) -> io::Result<IoStream> {
    use std::net::ToSocketAddrs;

    let (host, io_loop) = (name.to_owned(), ioloop::IoLoop::current());
    let look_up = io_loop.run_blocking(move || (host, port).to_socket_addrs());
    let addresses: Vec<SocketAddr> = look_up
        .await
        .map_err(|error| io::Error::new(error.kind(), format!("cannot look up {name}: {error}")))?
        .collect();
    Connector::new().connect(&addresses).await
}

/// Connects with other settings than the defaults.
///
/// ```
/// use std::time::Duration;
///
/// # fn main() -> std::io::Result<()> {
/// let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
/// let connector = iostream::Connector::new()
///     .timeout(Duration::from_secs(5))
///     .source_address("127.0.0.2".parse().unwrap());
/// let addresses = [listener.local_addr()?];
/// let stream = ioloop::IoLoop::current().run_until(connector.connect(&addresses))?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Connector {
    timeout: Duration,
    source: Option<IpAddr>,
}

impl Connector {
    /// The defaults: 30 s, and the source address that the system chooses.
    ///
    /// ```
    /// let connector = iostream::Connector::new();
    /// ```
    pub fn new() -> Connector {
        Connector {
            timeout: TIMEOUT,
            source: None,
        }
    }

    /// How long all attempts together may take; 30 s unless set.
    ///
    /// ```
    /// let connector = iostream::Connector::new().timeout(std::time::Duration::from_secs(3));
    /// ```
    pub fn timeout(mut self, timeout: Duration) -> Connector {
        self.timeout = timeout;
        self
    }

    /// The address to connect from. Destinations of the other family are left out.
    ///
    /// ```
    /// let connector = iostream::Connector::new().source_address("127.0.0.2".parse().unwrap());
    /// ```
    pub fn source_address(mut self, source: IpAddr) -> Connector {
        self.source = Some(source);
        self
    }

    /// Connects to the first of `addresses` that answers.
    ///
    /// They are tried as RFC 8305 says: families take turns, an attempt that has not succeeded
    /// after 250 ms, or has failed, gets company by the next, and the first to succeed ends the
    /// others.
    ///
    /// # Errors
    /// As [`connect`]; for the last attempt that failed. `InvalidInput` if there is no address.
    ///
    /// # Cancel safety
    /// Dropping the future closes every socket.
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    /// let addresses = ["[::1]:1".parse().unwrap(), listener.local_addr()?];
    /// let connector = iostream::Connector::new();
    /// ioloop::IoLoop::current().run_until(connector.connect(&addresses))?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn connect(&self, addresses: &[SocketAddr]) -> io::Result<IoStream> {
        let usable = |address: &&SocketAddr| {
            self.source
                .is_none_or(|source| source.is_ipv4() == address.is_ipv4())
        };
        let addresses = interleaved(addresses.iter().filter(usable).copied());
        let Some(last) = addresses.last().copied() else {
            let message = "cannot connect: no address to connect to";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        };
        match timeout(self.timeout, self.race(addresses)).await {
            Ok(result) => result,
            Err(timed_out) => Err(explained(&last, &timed_out.into())),
        }
    }

    async fn race(&self, addresses: Vec<SocketAddr>) -> io::Result<IoStream> {
        let mut untried = addresses.into_iter();
        let mut attempts = Vec::new();
        let mut failure = io::ErrorKind::NotConnected.into();
        loop {
            attempts.extend(
                untried
                    .next()
                    .map(|address| Box::pin(self.attempt(address))),
            );
            if attempts.is_empty() {
                return Err(failure);
            }
            let is_last = untried.len() == 0;
            let ended = async { Some(poll_fn(|context| poll_any(&mut attempts, context)).await) };
            let head_start = async {
                match is_last {
                    true => pending().await,
                    false => sleep(ATTEMPT_DELAY).await,
                }
                None
            };
            match or(ended, head_start).await {
                Some(Ok(stream)) => return Ok(stream),
                Some(Err(error)) => failure = error,
                None => {}
            }
        }
    }

    async fn attempt(&self, address: SocketAddr) -> io::Result<IoStream> {
        let attempt = async {
            let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
            socket.set_tcp_nodelay(true)?;
            if let Some(source) = self.source {
                socket.bind(&SocketAddr::new(source, 0).into())?;
            }
            attempt(socket, &address.into()).await
        };
        attempt.await.map_err(|error| explained(&address, &error))
    }
}

impl Default for Connector {
    fn default() -> Connector {
        Connector::new()
    }
}

/// Connects `socket`. Being writable says only that the attempt is over, not how it went.
async fn attempt(socket: Socket, address: &SockAddr) -> io::Result<IoStream> {
    socket.set_nonblocking(true)?;
    match socket.connect(address) {
        Ok(()) => return Ok(IoStream::from_socket(socket)),
        Err(error) if error.raw_os_error() == Some(Errno::INPROGRESS.raw_os_error()) => {}
        Err(error) => return Err(error),
    }
    let watched = Watched::new(socket);
    watched.writable().await?;
    match watched.take_error()? {
        Some(error) => Err(error),
        None => Ok(IoStream::from_socket(watched.into_inner()?)),
    }
}

/// Polls all of `attempts`; the first that has ended is taken out.
fn poll_any<F: Future>(
    attempts: &mut Vec<Pin<Box<F>>>,
    context: &mut Context<'_>,
) -> Poll<F::Output> {
    for index in 0..attempts.len() {
        if let Poll::Ready(output) = attempts[index].as_mut().poll(context) {
            drop(attempts.swap_remove(index));
            return Poll::Ready(output);
        }
    }
    Poll::Pending
}

/// The families take turns, beginning with that of the first address.
fn interleaved(addresses: impl Iterator<Item = SocketAddr>) -> Vec<SocketAddr> {
    let mut addresses = addresses.peekable();
    let Some(first) = addresses.peek().copied() else {
        return Vec::new();
    };
    let (mut preferred, mut others): (Vec<_>, Vec<_>) =
        addresses.partition(|address| address.is_ipv4() == first.is_ipv4());
    let mut order = Vec::with_capacity(preferred.len() + others.len());
    let (mut preferred, mut others) = (preferred.drain(..), others.drain(..));
    loop {
        let (one, other) = (preferred.next(), others.next());
        if one.is_none() && other.is_none() {
            return order;
        }
        order.extend(one);
        order.extend(other);
    }
}

fn flatten<T>(result: Result<io::Result<T>, ioloop::TimedOut>) -> io::Result<T> {
    result.unwrap_or_else(|timed_out| Err(timed_out.into()))
}

/// One sentence, and the kind kept.
fn explained(address: &dyn std::fmt::Display, error: &io::Error) -> io::Error {
    let kind = error.kind();
    io::Error::new(
        kind,
        format!("cannot connect to {address}: {}", in_words(error)),
    )
}

/// A user who waits for longer has given up already.
const TIMEOUT: Duration = Duration::from_secs(30);

/// RFC 8305, section 5: the recommended Connection Attempt Delay.
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_take_turns() {
        let parse = |list: &str| -> Vec<SocketAddr> {
            list.split(' ')
                .map(|address| address.parse().unwrap())
                .collect()
        };
        let given = parse("[::1]:1 [::1]:2 [::1]:3 127.0.0.1:4 127.0.0.1:5");
        let order = parse("[::1]:1 127.0.0.1:4 [::1]:2 127.0.0.1:5 [::1]:3");
        assert_eq!(interleaved(given.into_iter()), order);
        assert!(interleaved(std::iter::empty()).is_empty());
    }

    #[test]
    fn refused_unreachable_and_timed_out_are_told_apart() {
        let address: SocketAddr = "192.0.2.1:80".parse().unwrap();
        for (errno, kind, words) in [
            (
                Errno::CONNREFUSED,
                io::ErrorKind::ConnectionRefused,
                "connection refused",
            ),
            (
                Errno::HOSTUNREACH,
                io::ErrorKind::HostUnreachable,
                "no route to host",
            ),
            (
                Errno::NETUNREACH,
                io::ErrorKind::NetworkUnreachable,
                "network is unreachable",
            ),
            (
                Errno::TIMEDOUT,
                io::ErrorKind::TimedOut,
                "connection timed out",
            ),
        ] {
            let error = explained(&address, &errno.into());
            assert_eq!(error.kind(), kind);
            assert_eq!(
                error.to_string(),
                format!("cannot connect to 192.0.2.1:80: {words}")
            );
        }
    }
}
