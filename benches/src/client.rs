//! One client, which waits for each answer.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{self, AddressFamily, SocketFlags, SocketType, sockopt};

use crate::dialogue::{Dialogue, Protocol};

/// A connection over which at least one request has been answered.
pub struct Client {
    pub stream: TcpStream,
    pub dialogue: Dialogue,
}

impl Client {
    /// Connects and makes one request; those that follow go out `depth` at a time.
    pub fn open(
        server: SocketAddr,
        protocol: &Protocol,
        index: usize,
        depth: usize,
    ) -> io::Result<Client> {
        let mut stream = connect(server, index)?;
        let dialogue = protocol.begin(&mut stream, index, depth)?;
        Ok(Client { stream, dialogue })
    }

    /// Sends the next requests and waits for all of their answers.
    pub fn exchange(&mut self) -> io::Result<Duration> {
        let sent_at = Instant::now();
        self.stream.write_all(self.dialogue.next_request())?;
        let mut buffer = [0; 4096];
        loop {
            let count = self.stream.read(&mut buffer)?;
            if self.dialogue.hear(&buffer[..count])? {
                return Ok(sent_at.elapsed());
            }
        }
    }
}

/// Connects from the source address that is the `index`-th client's: enough of them share one that
/// local ports never run out, also not when a measurement is repeated at once.
pub fn connect(server: SocketAddr, index: usize) -> io::Result<TcpStream> {
    let socket = socket(server, index, SocketFlags::empty())?;
    // Covers the connect as well.
    sockopt::set_socket_timeout(&socket, sockopt::Timeout::Send, Some(ANSWER_TIMEOUT))?;
    sockopt::set_socket_timeout(&socket, sockopt::Timeout::Recv, Some(ANSWER_TIMEOUT))?;
    net::connect(&socket, &server)?;
    Ok(TcpStream::from(socket))
}

/// Starts to connect and does not wait: the server may be out of descriptors, or its queue full.
pub fn start_connecting(server: SocketAddr, index: usize) -> io::Result<TcpStream> {
    let socket = socket(server, index, SocketFlags::NONBLOCK)?;
    match net::connect(&socket, &server) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(TcpStream::from(socket)),
        Err(error) => Err(error.into()),
    }
}

fn socket(server: SocketAddr, index: usize, flags: SocketFlags) -> io::Result<OwnedFd> {
    let flags = flags | SocketFlags::CLOEXEC;
    let family = if server.is_ipv4() {
        AddressFamily::INET
    } else {
        AddressFamily::INET6
    };
    let socket = net::socket_with(family, SocketType::STREAM, flags, None)?;
    sockopt::set_tcp_nodelay(&socket, true)?;
    if server.is_ipv4() {
        let source = Ipv4Addr::new(127, 0, 0, 2 + (index / CLIENTS_PER_ADDRESS) as u8);
        net::bind(&socket, &SocketAddrV4::new(source, 0))?;
    }
    Ok(socket)
}

/// Until then a server has taken a connection and answered, or it never will.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// A tenth of the ephemeral ports of one address.
const CLIENTS_PER_ADDRESS: usize = 2800;
