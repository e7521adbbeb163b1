//! A closed loop over many connections: each sends one line, waits for its echo, sends the next.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, Event, EventData, EventFlags};
use rustix::io::Errno;

use crate::client;
use crate::histogram::Histogram;

/// When a slice stops to send; it ends when the last echo has arrived.
pub enum Limit {
    Requests(u64),
    Time(Duration),
}

/// What one server did with the load of one slice.
pub struct Slice {
    pub requests: u64,
    /// From the first line sent to the last echo received.
    pub seconds: f64,
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
    /// Opens `count` connections, over each of which one line has been to the server and back.
    pub fn open(server: SocketAddr, count: usize, line_length: usize) -> io::Result<Load> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let mut connections = Vec::with_capacity(count);
        for index in 0..count {
            let connection = Connection::open(server, index, line_length)?;
            let key = EventData::new_u64(index as u64);
            epoll::add(&epoll, &connection.stream, key, EventFlags::IN)?;
            connections.push(connection);
        }
        let events = Vec::with_capacity(EVENTS_PER_WAIT);
        Ok(Load {
            epoll,
            connections,
            events,
            buffer: vec![0; client::LINE_LENGTH_MAX],
        })
    }

    pub fn run(&mut self, limit: &Limit) -> io::Result<Slice> {
        let mut progress = Progress::new(limit);
        for connection in &mut self.connections {
            if progress.may_send(progress.started) {
                connection.send(Instant::now())?;
                progress.sent += 1;
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
                progress.count_answer(now, now - connection.sent_at);
                if progress.may_send(now) {
                    connection.send(now)?;
                    progress.sent += 1;
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

    fn count_answer(&mut self, now: Instant, latency: Duration) {
        self.answered += 1;
        self.last_answer = now;
        self.latencies.record(latency);
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
    stream: TcpStream,
    line: Vec<u8>,
    /// How much of the line has come back.
    echoed: usize,
    sent_at: Instant,
}

impl Connection {
    fn open(server: SocketAddr, index: usize, line_length: usize) -> io::Result<Connection> {
        let mut stream = client::connect(server, index)?;
        let line = client::line(line_length, index);
        // The answer shows that the server has accepted, so its queue never overflows.
        client::exchange(&mut stream, &line)?;
        stream.set_nonblocking(true)?;
        Ok(Connection {
            stream,
            line,
            echoed: 0,
            sent_at: Instant::now(),
        })
    }

    fn send(&mut self, now: Instant) -> io::Result<()> {
        // Another line each time, so that an answer to the previous one is not taken for its echo.
        self.line[0] = if self.line[0] == b'z' { b'a' } else { b'z' };
        self.sent_at = now;
        self.echoed = 0;
        // All of it or an error: the socket is empty, the line is short.
        let sent = self.stream.write(&self.line)?;
        if sent == self.line.len() {
            Ok(())
        } else {
            Err(io::ErrorKind::WriteZero.into())
        }
    }

    /// The time when the whole line has come back.
    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<Option<Instant>> {
        let count = self.stream.read(buffer)?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if !self.line[self.echoed..].starts_with(&buffer[..count]) {
            return Err(client::wrong_answer());
        }
        self.echoed += count;
        Ok((self.echoed == self.line.len()).then(Instant::now))
    }
}

const EVENTS_PER_WAIT: usize = 1024;

const AT_ONCE: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 0,
};

/// A server that answers nothing for so long will not any more.
const PATIENCE: Duration = Duration::from_secs(10);
