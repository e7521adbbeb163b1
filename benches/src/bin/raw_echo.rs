//! A line echo server written by hand on epoll, without a framework: what the others are held against.
//!
//! It does the work of `loop { line = read_until(b"\n", 4096).await; write(&line).await }` and no
//! more: one `recv` when a line has arrived, one `send` for that line, no `epoll_ctl` unless the
//! client stops reading. A connection that waits for its next line owns no buffer.

use std::error::Error;
use std::io;
use std::mem;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd};

use memchr::memchr;
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{self, RecvFlags, SendFlags, SocketFlags, SocketType, sockopt};

fn main() -> Result<(), Box<dyn Error>> {
    let mut server = Server::bind(address_from_arguments()?)?;
    println!("listening on {}", server.local_address()?);
    Ok(server.run()?)
}

fn address_from_arguments() -> Result<SocketAddr, Box<dyn Error>> {
    let mut address = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let mut port = 8888;
    let mut arguments = std::env::args().skip(1);
    while let Some(flag) = arguments.next() {
        let value = arguments.next().ok_or(USAGE)?;
        match flag.as_str() {
            "--address" => address = value.parse()?,
            "--port" => port = value.parse()?,
            _ => return Err(USAGE.into()),
        }
    }
    Ok(SocketAddr::new(address, port))
}

struct Server {
    epoll: OwnedFd,
    listener: OwnedFd,
    /// False while the process is out of descriptors: the listener is then not in the epoll set.
    accepting: bool,
    /// Indexed by descriptor number, which is also the key of a connection's events. An event is
    /// never stale: epoll reports a descriptor once a wait, and only its own event closes it.
    connections: Vec<Option<Connection>>,
}

impl Server {
    fn bind(address: SocketAddr) -> io::Result<Server> {
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
        };
        server.start_accepting()?;
        Ok(server)
    }

    fn run(&mut self) -> io::Result<()> {
        let mut events = Vec::with_capacity(EVENTS_PER_WAIT);
        let mut buffer = vec![0; RECEIVE_BUFFER];
        loop {
            events.clear();
            match epoll::wait(&self.epoll, spare_capacity(&mut events), None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            for event in &events {
                match { event.data }.u64() {
                    LISTENER => self.accept()?,
                    key => self.serve(key as usize, &mut buffer)?,
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
        epoll::add(
            &self.epoll,
            &socket,
            EventData::new_u64(key as u64),
            EventFlags::IN,
        )?;
        if key >= self.connections.len() {
            self.connections.resize_with(key + 1, || None);
        }
        self.connections[key] = Some(Connection {
            socket,
            unread: Vec::new(),
            pending: Vec::new(),
        });
        Ok(())
    }

    fn serve(&mut self, key: usize, buffer: &mut [u8]) -> io::Result<()> {
        let Some(connection) = &mut self.connections[key] else {
            return Ok(());
        };
        let was_blocked = connection.is_blocked();
        let outcome = if was_blocked {
            connection.resume()
        } else {
            connection.receive(buffer)
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
            epoll::modify(&self.epoll, &connection.socket, data, interest)?;
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

struct Connection {
    socket: OwnedFd,
    /// An incomplete line; while the connection is blocked also the lines that follow.
    unread: Vec<u8>,
    /// What the socket refused. While there is any, nothing is received.
    pending: Vec<u8>,
}

/// The client is gone, or sent a line longer than `LINE_MAX`.
struct Ended;

impl Connection {
    fn receive(&mut self, buffer: &mut [u8]) -> Result<(), Ended> {
        let count = match net::recv(&self.socket, &mut *buffer, RecvFlags::empty()) {
            Ok((0, _)) => return Err(Ended),
            Ok((count, _)) => count,
            Err(Errno::AGAIN | Errno::INTR) => return Ok(()),
            Err(_) => return Err(Ended),
        };
        let received = &buffer[..count];
        if self.unread.is_empty() {
            return self.echo(received, 0);
        }
        let searched = self.unread.len();
        let mut input = mem::take(&mut self.unread);
        input.extend_from_slice(received);
        self.echo(&input, searched)
    }

    fn resume(&mut self) -> Result<(), Ended> {
        let pending = mem::take(&mut self.pending);
        let sent = self.send(&pending)?;
        if sent < pending.len() {
            self.pending = pending[sent..].to_vec();
            return Ok(());
        }
        let unread = mem::take(&mut self.unread);
        self.echo(&unread, 0)
    }

    fn is_blocked(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Sends back every line of `input`, of which the first `searched` bytes hold no delimiter, and
    /// keeps the rest.
    fn echo(&mut self, mut input: &[u8], mut searched: usize) -> Result<(), Ended> {
        while let Some(end) = memchr(b'\n', &input[searched..]) {
            let (line, rest) = input.split_at(searched + end + 1);
            if line.len() > LINE_MAX {
                return Err(Ended);
            }
            let sent = self.send(line)?;
            (input, searched) = (rest, 0);
            if sent < line.len() {
                self.pending = line[sent..].to_vec();
                break;
            }
        }
        if !self.is_blocked() && input.len() >= LINE_MAX {
            return Err(Ended);
        }
        self.unread = input.to_vec();
        Ok(())
    }

    fn send(&self, data: &[u8]) -> Result<usize, Ended> {
        match net::send(&self.socket, data, SendFlags::NOSIGNAL) {
            Ok(sent) => Ok(sent),
            Err(Errno::AGAIN | Errno::INTR) => Ok(0),
            Err(_) => Err(Ended),
        }
    }
}

const USAGE: &str = "usage: raw_echo [--address 127.0.0.1] [--port 8888]";

/// No descriptor has this number.
const LISTENER: u64 = u64::MAX;

/// The longest line, with its delimiter.
const LINE_MAX: usize = 4096;

const RECEIVE_BUFFER: usize = 64 * 1024;

const EVENTS_PER_WAIT: usize = 1024;

/// So that a burst of new clients does not hold up those who are being served.
const ACCEPTS_PER_TURN: usize = 64;

/// What the kernel allows by default; it clamps a larger number silently.
const BACKLOG: i32 = 4096;
