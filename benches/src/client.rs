//! One blocking client of a line echo server.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{self, AddressFamily, SocketFlags, SocketType, sockopt};

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

/// Sends one line and waits until it has come back.
pub fn exchange(stream: &mut TcpStream, line: &[u8]) -> io::Result<Duration> {
    let sent_at = Instant::now();
    stream.write_all(line)?;
    let mut answer = vec![0; line.len()];
    stream.read_exact(&mut answer)?;
    if answer == line {
        Ok(sent_at.elapsed())
    } else {
        Err(wrong_answer())
    }
}

/// A line of `length` bytes with its delimiter, at most `LINE_LENGTH_MAX`. Lines with different
/// numbers differ if they have room for it.
pub fn line(length: usize, number: usize) -> Vec<u8> {
    let mut line = format!("a{number:08x} ").into_bytes();
    line.resize(length - 1, b'.');
    line.push(b'\n');
    line
}

pub(crate) fn wrong_answer() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        "the server sent back something else",
    )
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

/// The longest line that the echo servers take, with its delimiter.
pub const LINE_LENGTH_MAX: usize = 4096;

/// Until then a server has taken a connection and answered, or it never will.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// A tenth of the ephemeral ports of one address.
const CLIENTS_PER_ADDRESS: usize = 2800;
