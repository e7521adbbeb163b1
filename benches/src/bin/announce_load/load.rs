//! Announces, 32 at a time: all are sent, then all answers are read and checked.

use std::fmt;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use crate::Outcome;
use crate::peers::{Peers, next_random};
use crate::subject::Subject;

/// How announces reach a tracker.
#[derive(Clone, Copy, PartialEq)]
pub enum Over {
    Connections,
    KeptConnections,
    Udp,
}

impl fmt::Display for Over {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Over::Connections => "a connection each",
            Over::KeptConnections => "kept connections",
            Over::Udp => "UDP",
        })
    }
}

pub struct Load {
    peers: Peers,
    random: u64,
    wire: Wire,
}

enum Wire {
    /// Opened for each announce.
    Connections(SocketAddr),
    Kept(Vec<TcpStream>),
    Udp(UdpSocket, [u8; 8]),
}

impl Load {
    pub fn open(subject: &Subject, over: Over, peers: Peers) -> Outcome<Load> {
        let wire = match over {
            Over::Connections => Wire::Connections(subject.http),
            Over::KeptConnections => {
                let connect = |_| connect(subject.http);
                Wire::Kept((0..AT_ONCE).map(connect).collect::<Outcome<_>>()?)
            }
            Over::Udp => open_udp(subject.udp)?,
        };
        Ok(Load {
            peers,
            random: 1,
            wire,
        })
    }

    /// Every peer once.
    pub fn fill(&mut self) -> Outcome<()> {
        let numbers: Vec<usize> = (0..self.peers.count()).collect();
        numbers
            .chunks(AT_ONCE)
            .try_for_each(|batch| self.announce(batch))
    }

    /// Peers at random for a while; says how many announces were answered.
    pub fn run(&mut self, duration: Duration) -> Outcome<usize> {
        let begun = Instant::now();
        let mut count = 0;
        while begun.elapsed() < duration {
            let mut batch = [0; AT_ONCE];
            batch.fill_with(|| next_random(&mut self.random) as usize % self.peers.count());
            self.announce(&batch)?;
            count += batch.len();
        }
        Ok(count)
    }

    fn announce(&mut self, batch: &[usize]) -> Outcome<()> {
        let peers = self.peers;
        match &mut self.wire {
            Wire::Udp(socket, connection) => {
                for number in batch {
                    socket.send(&peers.packet(*number, *connection))?;
                }
                let mut answer = [0; 2048];
                for _ in batch {
                    let length = socket.recv(&mut answer)?;
                    if length < 20 || answer[3] != 1 {
                        return Err("an answer over UDP that is none".into());
                    }
                }
            }
            Wire::Connections(address) => {
                let mut streams = Vec::new();
                for number in batch {
                    let mut stream = connect(*address)?;
                    stream.write_all(peers.request(*number, false).as_bytes())?;
                    streams.push(stream);
                }
                for mut stream in streams {
                    let mut answer = Vec::new();
                    stream.read_to_end(&mut answer)?;
                    if length(&answer)? != Some(answer.len()) {
                        return Err("an answer that is not whole".into());
                    }
                }
            }
            Wire::Kept(streams) => {
                for (number, stream) in batch.iter().zip(&mut *streams) {
                    stream.write_all(peers.request(*number, true).as_bytes())?;
                }
                for (_, stream) in batch.iter().zip(streams) {
                    read_whole(stream)?;
                }
            }
        }
        Ok(())
    }
}

fn connect(address: SocketAddr) -> Outcome<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

fn open_udp(address: SocketAddr) -> Outcome<Wire> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.connect(address)?;
    socket.send(&[0, 0, 4, 23, 39, 16, 25, 128, 0, 0, 0, 0, 0, 0, 0, 9])?;
    let mut reply = [0; 16];
    if socket.recv(&mut reply)? != 16 {
        return Err("no connection id".into());
    }
    let (_, id) = reply.split_at(8);
    Ok(Wire::Udp(socket, id.try_into()?))
}

fn read_whole(stream: &mut TcpStream) -> Outcome<()> {
    let mut answer = [0; 4096];
    let mut filled = 0;
    loop {
        let count = stream.read(&mut answer[filled..])?;
        if count == 0 {
            return Err("the connection is not kept".into());
        }
        filled += count;
        match length(&answer[..filled])? {
            Some(length) if length == filled => return Ok(()),
            Some(length) if length < filled => return Err("more than an answer".into()),
            _ => {}
        }
    }
}

/// Of the answer that begins so, once its head is there. It must be one to an announce.
fn length(answer: &[u8]) -> Outcome<Option<usize>> {
    let Some(end) = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = std::str::from_utf8(&answer[..end])?.to_ascii_lowercase();
    let body = &answer[end + 4..];
    if !head.starts_with("http/1.1 200") || !body.is_empty() && !body.starts_with(b"d8:complete") {
        return Err(format!("not an answer: {}", answer.escape_ascii()).into());
    }
    let (_, length) = head.split_once("content-length:").ok_or("no length")?;
    let length: usize = length
        .split("\r\n")
        .next()
        .unwrap_or_default()
        .trim()
        .parse()?;
    Ok(Some(end + 4 + length))
}

const AT_ONCE: usize = 32;
/// A server that answers nothing for so long will not any more.
const PATIENCE: Duration = Duration::from_secs(10);
