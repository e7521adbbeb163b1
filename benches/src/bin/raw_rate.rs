//! Sends at a limited rate by hand, on epoll without a framework: what is due every 5 ms, in turn.
//!
//! What limiting costs at least: the same writes at the same times, of a program that knows nothing
//! but when it has begun and how much it has sent. It saves up while nobody takes anything.

use std::collections::VecDeque;
use std::error::Error;
use std::io::{self, BufRead, BufReader, ErrorKind, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use squall_benches::rate::{Arguments, Log};

fn main() -> Result<(), Box<dyn Error>> {
    let Arguments {
        rate,
        address,
        is_logged,
    } = Arguments::parse()?;
    let log = Log::new(is_logged);
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
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
            let key = { event.data }.u64();
            if key == LISTENER {
                // All that wait, or without a limit each would have to wait for a round of writes.
                while let Some(stream) = accept(&listener)? {
                    let Some(connection) = Connection::begin(stream, rate, &log)? else {
                        continue;
                    };
                    let data = epoll::EventData::new_u64(connections.len() as u64);
                    let flags = epoll::EventFlags::OUT | epoll::EventFlags::ET;
                    epoll::add(&epoll, &connection.stream, data, flags)?;
                    connections.push(connection);
                }
            } else if !connections[key as usize].is_in_ring {
                connections[key as usize].is_in_ring = true;
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
                log.note(count);
                sent += count as u64;
                ring.push_back(key);
            }
        }
    }
}

fn accept(listener: &TcpListener) -> io::Result<Option<TcpStream>> {
    match listener.accept() {
        Ok((stream, _)) => Ok(Some(stream)),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}

struct Connection {
    stream: TcpStream,
    piece: Vec<u8>,
    /// Of the piece.
    sent: usize,
    is_in_ring: bool,
}

impl Connection {
    /// The client says at once how long its pieces are. None if it only wanted the log.
    fn begin(
        mut stream: TcpStream,
        rate: u64,
        log: &Log,
    ) -> Result<Option<Connection>, Box<dyn Error>> {
        stream.set_nodelay(true)?;
        let mut line = String::new();
        BufReader::new(&stream).read_line(&mut line)?;
        let length: usize = line.trim().parse()?;
        if length == 0 {
            stream.write_all(log.text().as_bytes())?;
            return Ok(None);
        }
        stream.set_nonblocking(true)?;
        // As a limiter would cut them.
        let unit = (rate as usize / 100).max(1380);
        let longest = if rate > 0 { unit } else { length };
        Ok(Some(Connection {
            stream,
            piece: vec![7; length.min(longest)],
            sent: 0,
            is_in_ring: false,
        }))
    }

    /// How much it took; none if the socket has no room any more, or nobody at its other end.
    fn send(&mut self) -> io::Result<Option<usize>> {
        match self.stream.write(&self.piece[self.sent..]) {
            Ok(count) => {
                self.sent = (self.sent + count) % self.piece.len();
                Ok(Some(count))
            }
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => {
                    self.is_in_ring = false;
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
