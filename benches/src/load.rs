//! A closed loop over many connections: each sends its requests, waits for all of their answers,
//! sends the next.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, Event, EventData, EventFlags};
use rustix::io::Errno;

use crate::client::Client;
use crate::dialogue::Protocol;
use crate::histogram::Histogram;

/// How many connections there are, and how many requests each of them sends at once.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    pub connections: usize,
    pub depth: usize,
}

impl fmt::Display for Shape {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.depth {
            1 => write!(formatter, "{}", self.connections),
            depth => write!(formatter, "{}x{depth}", self.connections),
        }
    }
}

/// When a slice stops to send; it ends when the last answer has arrived.
pub enum Limit {
    Requests(u64),
    Time(Duration),
}

/// What one server did with the load of one slice.
pub struct Slice {
    pub requests: u64,
    /// From the first request sent to the last answer received.
    pub seconds: f64,
    /// From a connection's requests to the last of their answers.
    pub latencies: Histogram,
}

/// Connections to one server, opened once and held from slice to slice.
pub struct Load {
    epoll: OwnedFd,
    connections: Vec<Connection>,
    events: Vec<Event>,
    buffer: Vec<u8>,
}

impl Load {
    /// Opens the connections, over each of which one request has been answered.
    pub fn open(server: SocketAddr, protocol: &Protocol, shape: Shape) -> io::Result<Load> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let mut connections = Vec::with_capacity(shape.connections);
        for index in 0..shape.connections {
            // The answer shows that the server has accepted, so its queue never overflows.
            let client = Client::open(server, protocol, index, shape.depth)?;
            client.stream.set_nonblocking(true)?;
            let key = EventData::new_u64(index as u64);
            epoll::add(&epoll, &client.stream, key, EventFlags::IN)?;
            connections.push(Connection {
                client,
                sent_at: Instant::now(),
            });
        }
        Ok(Load {
            epoll,
            connections,
            events: Vec::with_capacity(EVENTS_PER_WAIT),
            buffer: vec![0; RECEIVE_BUFFER],
        })
    }

    /// Bytes of each answer.
    pub fn answer_length(&self) -> usize {
        let first = self.connections.first();
        first.map_or(0, |first| first.client.dialogue.answer_length())
    }

    pub fn run(&mut self, limit: &Limit) -> io::Result<Slice> {
        let mut progress = Progress::new(limit);
        for connection in &mut self.connections {
            if progress.may_send(progress.started) {
                progress.sent += connection.send(Instant::now())?;
            }
        }
        while progress.answered < progress.sent {
            self.poll()?;
            if self.events.is_empty() {
                progress.check_patience()?;
            }
            for event in &self.events {
                let connection = &mut self.connections[{ event.data }.u64() as usize];
                let Some(now) = connection.receive(&mut self.buffer)? else {
                    continue;
                };
                progress.answered += connection.client.dialogue.depth() as u64;
                progress.last_answer = now;
                progress.latencies.record(now - connection.sent_at);
                if progress.may_send(now) {
                    progress.sent += connection.send(now)?;
                }
            }
        }
        Ok(progress.finish())
    }

    /// Looks for events and does not sleep until there are some. To wake a sleeping core the server
    /// would have to interrupt it: in a virtual machine that tripled the server's CPU time for a
    /// request over one connection, and quadrupled the spread of the ratios.
    fn poll(&mut self) -> io::Result<()> {
        self.events.clear();
        match epoll::wait(
            &self.epoll,
            spare_capacity(&mut self.events),
            Some(&AT_ONCE),
        ) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

struct Progress<'limit> {
    limit: &'limit Limit,
    started: Instant,
    sent: u64,
    answered: u64,
    last_answer: Instant,
    latencies: Histogram,
}

impl Progress<'_> {
    fn new(limit: &Limit) -> Progress<'_> {
        let started = Instant::now();
        let latencies = Histogram::new();
        Progress {
            limit,
            started,
            sent: 0,
            answered: 0,
            last_answer: started,
            latencies,
        }
    }

    fn check_patience(&self) -> io::Result<()> {
        if self.last_answer.elapsed() < PATIENCE {
            return Ok(());
        }
        Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "the server has gone silent",
        ))
    }

    fn may_send(&self, now: Instant) -> bool {
        match self.limit {
            Limit::Requests(requests) => self.sent < *requests,
            Limit::Time(duration) => now - self.started < *duration,
        }
    }

    fn finish(self) -> Slice {
        let seconds = self.started.elapsed().as_secs_f64();
        Slice {
            requests: self.answered,
            seconds,
            latencies: self.latencies,
        }
    }
}

struct Connection {
    client: Client,
    sent_at: Instant,
}

impl Connection {
    /// Sends the next requests and says how many they are.
    fn send(&mut self, now: Instant) -> io::Result<u64> {
        self.sent_at = now;
        let requests = self.client.dialogue.next_request();
        // All of it or an error: the socket is empty, and takes the deepest pipeline at once.
        let sent = self.client.stream.write(requests)?;
        if sent == requests.len() {
            Ok(self.client.dialogue.depth() as u64)
        } else {
            Err(io::ErrorKind::WriteZero.into())
        }
    }

    /// The time when the last of the answers has come.
    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<Option<Instant>> {
        let count = self.client.stream.read(buffer)?;
        let is_complete = self.client.dialogue.hear(&buffer[..count])?;
        Ok(is_complete.then(Instant::now))
    }
}

const RECEIVE_BUFFER: usize = 64 * 1024;

const EVENTS_PER_WAIT: usize = 1024;

const AT_ONCE: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 0,
};

/// A server that answers nothing for so long will not any more.
const PATIENCE: Duration = Duration::from_secs(10);
