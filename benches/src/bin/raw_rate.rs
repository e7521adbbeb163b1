//! Sends at a limited rate by hand, on epoll without a framework: what is due every 5 ms, in turn.
//!
//! What limiting costs at least: the same writes at the same times, of a program that knows nothing
//! but when it has begun and how much it has sent. It saves up while nobody takes anything.

use std::collections::VecDeque;
use std::error::Error;
use std::io::{self, BufRead, BufReader, ErrorKind, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};

fn main() -> Result<(), Box<dyn Error>> {
    let (rate, address) = arguments()?;
    let listener = TcpListener::bind(address)?;
    println!("listening on {}", listener.local_addr()?);
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let data = epoll::EventData::new_u64(LISTENER);
    epoll::add(&epoll, &listener, data, epoll::EventFlags::IN)?;
    let mut connections = Vec::new();
    // Those that have room, as far as is known.
    let mut ring = VecDeque::new();
    let mut events = Vec::with_capacity(1024);
    let (mut start, mut sent) = (Instant::now(), 0_u64);
    loop {
        let idle = ring.is_empty();
        let timeout = match (idle, rate) {
            (true, _) => None,
            (false, 0) => Some(Duration::ZERO),
            (false, _) => Some(TICK),
        };
        let timeout = timeout.map(Timespec::try_from).transpose()?;
        events.clear();
        epoll::wait(&epoll, spare_capacity(&mut events), timeout.as_ref())?;
        for event in &events {
            let mut key = { event.data }.u64();
            if key == LISTENER {
                let connection = Connection::accept(&listener, rate)?;
                key = connections.len() as u64;
                let data = epoll::EventData::new_u64(key);
                let flags = epoll::EventFlags::OUT | epoll::EventFlags::ET;
                epoll::add(&epoll, &connection.stream, data, flags)?;
                connections.push(connection);
            } else if !ring.contains(&key) {
                ring.push_back(key);
            }
        }
        if idle {
            (start, sent) = (Instant::now(), 0);
        }
        let due = match rate {
            // As much as goes into the sockets at once.
            0 => sent + AT_ONCE,
            _ => (start.elapsed().as_secs_f64() * rate as f64) as u64,
        };
        // No more than a second is made up for, as by a `RateLimiter`.
        sent = sent.max(due.saturating_sub(rate.max(AT_ONCE)));
        while sent < due {
            let Some(key) = ring.pop_front() else { break };
            if let Some(count) = connections[key as usize].send()? {
                sent += count;
                ring.push_back(key);
            }
        }
    }
}

/// From `--rate BYTES --address A --port P`; a rate of 0 is no limit.
fn arguments() -> Result<(u64, SocketAddr), Box<dyn Error>> {
    let (mut rate, mut address, mut port) = (0, "127.0.0.1".to_string(), 0_u16);
    let words: Vec<String> = std::env::args().skip(1).collect();
    for pair in words.chunks(2) {
        match pair {
            [flag, value] if flag == "--rate" => rate = value.parse()?,
            [flag, value] if flag == "--address" => address = value.clone(),
            [flag, value] if flag == "--port" => port = value.parse()?,
            _ => return Err("usage: raw_rate [--rate BYTES] [--address A] [--port P]".into()),
        }
    }
    Ok((rate, SocketAddr::new(address.parse()?, port)))
}

struct Connection {
    stream: TcpStream,
    piece: Vec<u8>,
    /// Of the piece.
    sent: usize,
}

impl Connection {
    /// The client says at once how long its pieces are.
    fn accept(listener: &TcpListener, rate: u64) -> Result<Connection, Box<dyn Error>> {
        let (stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        let mut line = String::new();
        BufReader::new(&stream).read_line(&mut line)?;
        stream.set_nonblocking(true)?;
        let length: usize = line.trim().parse()?;
        // As a limiter would cut them.
        let unit = (rate as usize / 100).max(1380);
        let longest = if rate > 0 { unit } else { length };
        Ok(Connection {
            stream,
            piece: vec![7; length.min(longest)],
            sent: 0,
        })
    }

    /// How much it took; none if the socket has no room any more, or nobody at its other end.
    fn send(&mut self) -> io::Result<Option<u64>> {
        match self.stream.write(&self.piece[self.sent..]) {
            Ok(count) => {
                self.sent = (self.sent + count) % self.piece.len();
                Ok(Some(count as u64))
            }
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => {
                    Ok(None)
                }
                _ => Err(error),
            },
        }
    }
}

/// As often as a `RateLimiter` wakes.
const TICK: Duration = Duration::from_millis(5);

const AT_ONCE: u64 = 1024 * 1024;

const LISTENER: u64 = u64::MAX;
