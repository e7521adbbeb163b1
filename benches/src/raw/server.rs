//! The event loop of the hand-written servers: level-triggered epoll on one thread, and what any
//! server has to do beside answering.

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{self, RecvFlags, SendFlags, SocketFlags, SocketType, sockopt};

use crate::address::address_from_arguments;

/// What becomes of an accepted socket.
pub trait Connection: Sized {
    /// What all connections of a server use in turn, such as the buffer that they receive into.
    type Shared;

    fn new(socket: OwnedFd) -> Self;

    /// A wait has ended, its events are next.
    fn begin_turn(_shared: &mut Self::Shared) {}

    /// The socket has something to read. Not called while the connection is blocked.
    fn receive(&mut self, shared: &mut Self::Shared) -> Result<(), Ended>;

    /// The socket that the connection is blocked on has room again.
    fn resume(&mut self, shared: &mut Self::Shared) -> Result<(), Ended>;

    /// It has something to send that the socket refused. Until then it receives no more.
    fn is_blocked(&self) -> bool;

    fn socket(&self) -> &OwnedFd;
}

/// The client is gone, or is to go.
pub struct Ended;

/// Listens where `--address` and `--port` say, tells where that is, and serves for ever.
pub fn serve<C: Connection>(shared: C::Shared) -> Result<(), Box<dyn Error>> {
    let mut server: Server<C> = Server::bind(address_from_arguments()?, shared)?;
    println!("listening on {}", server.local_address()?);
    Ok(server.run()?)
}

/// What has arrived, at least a byte; none if it turns out that there is nothing.
#[inline]
pub fn receive<'buffer>(
    socket: &OwnedFd,
    buffer: &'buffer mut [u8],
) -> Result<Option<&'buffer [u8]>, Ended> {
    match net::recv(socket, &mut *buffer, RecvFlags::empty()) {
        Ok((0, _)) => Err(Ended),
        Ok((count, _)) => Ok(Some(&buffer[..count])),
        Err(Errno::AGAIN | Errno::INTR) => Ok(None),
        Err(_) => Err(Ended),
    }
}

/// How much of the data the socket took.
#[inline]
pub fn send(socket: &OwnedFd, data: &[u8]) -> Result<usize, Ended> {
    match net::send(socket, data, SendFlags::NOSIGNAL) {
        Ok(sent) => Ok(sent),
        Err(Errno::AGAIN | Errno::INTR) => Ok(0),
        Err(_) => Err(Ended),
    }
}

struct Server<C: Connection> {
    epoll: OwnedFd,
    listener: OwnedFd,
    /// False while the process is out of descriptors: the listener is then not in the epoll set.
    accepting: bool,
    /// Indexed by descriptor number, which is also the key of a connection's events. An event is
    /// never stale: epoll reports a descriptor once a wait, and only its own event closes it.
    connections: Vec<Option<C>>,
    shared: C::Shared,
}

impl<C: Connection> Server<C> {
    fn bind(address: SocketAddr, shared: C::Shared) -> io::Result<Server<C>> {
        let family = if address.is_ipv4() {
            net::AddressFamily::INET
        } else {
            net::AddressFamily::INET6
        };
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let listener = net::socket_with(family, SocketType::STREAM, flags, None)?;
        sockopt::set_socket_reuseaddr(&listener, true)?;
        net::bind(&listener, &address)?;
        net::listen(&listener, BACKLOG)?;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let mut server = Server {
            epoll,
            listener,
            accepting: false,
            connections: Vec::new(),
            shared,
        };
        server.start_accepting()?;
        Ok(server)
    }

    fn run(&mut self) -> io::Result<()> {
        let mut events = Vec::with_capacity(EVENTS_PER_WAIT);
        loop {
            events.clear();
            match epoll::wait(&self.epoll, spare_capacity(&mut events), None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            C::begin_turn(&mut self.shared);
            for event in &events {
                match { event.data }.u64() {
                    LISTENER => self.accept()?,
                    key => self.serve(key as usize)?,
                }
            }
        }
    }

    fn local_address(&self) -> io::Result<SocketAddr> {
        Ok(SocketAddr::try_from(net::getsockname(&self.listener)?)?)
    }

    fn accept(&mut self) -> io::Result<()> {
        for _ in 0..ACCEPTS_PER_TURN {
            let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
            match net::accept_with(&self.listener, flags) {
                Ok(socket) => self.add(socket)?,
                Err(Errno::AGAIN) => break,
                // Level-triggered, the listener would be reported at every wait until there is a
                // descriptor again. The next connection that ends takes it back in.
                Err(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM) => {
                    epoll::delete(&self.epoll, &self.listener)?;
                    self.accepting = false;
                    break;
                }
                // The client went away before its turn came.
                Err(_) => {}
            }
        }
        Ok(())
    }

    fn add(&mut self, socket: OwnedFd) -> io::Result<()> {
        sockopt::set_tcp_nodelay(&socket, true)?;
        let key = socket.as_raw_fd() as usize;
        let data = EventData::new_u64(key as u64);
        epoll::add(&self.epoll, &socket, data, EventFlags::IN)?;
        if key >= self.connections.len() {
            self.connections.resize_with(key + 1, || None);
        }
        self.connections[key] = Some(C::new(socket));
        Ok(())
    }

    fn serve(&mut self, key: usize) -> io::Result<()> {
        let Some(connection) = &mut self.connections[key] else {
            return Ok(());
        };
        let was_blocked = connection.is_blocked();
        let outcome = if was_blocked {
            connection.resume(&mut self.shared)
        } else {
            connection.receive(&mut self.shared)
        };
        if outcome.is_err() {
            return self.close(key);
        }
        let is_blocked = connection.is_blocked();
        if is_blocked != was_blocked {
            let interest = if is_blocked {
                EventFlags::OUT
            } else {
                EventFlags::IN
            };
            let data = EventData::new_u64(key as u64);
            epoll::modify(&self.epoll, connection.socket(), data, interest)?;
        }
        Ok(())
    }

    fn close(&mut self, key: usize) -> io::Result<()> {
        self.connections[key] = None;
        if self.accepting {
            Ok(())
        } else {
            self.start_accepting()
        }
    }

    fn start_accepting(&mut self) -> io::Result<()> {
        let data = EventData::new_u64(LISTENER);
        epoll::add(&self.epoll, &self.listener, data, EventFlags::IN)?;
        self.accepting = true;
        Ok(())
    }
}

/// What one receive takes at most.
pub const RECEIVE_BUFFER: usize = 64 * 1024;

/// No descriptor has this number.
const LISTENER: u64 = u64::MAX;

const EVENTS_PER_WAIT: usize = 1024;

/// So that a burst of new clients does not hold up those who are being served.
const ACCEPTS_PER_TURN: usize = 64;

/// What the kernel allows by default; it clamps a larger number silently.
const BACKLOG: i32 = 4096;
