//! Load over many connections. In a closed loop each sends its requests, waits for all of their
//! answers, sends the next; in an open one requests are due at a fixed rate, whether or not the
//! server keeps up, and a latency counts from then.

use std::error::Error;
use std::fmt;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::str::FromStr;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, Event, EventData, EventFlags};
use rustix::io::Errno;

use crate::client::Client;
use crate::dialogue::{DEPTH_MAX, Protocol};
use crate::histogram::Histogram;
use crate::schedule::Schedule;

/// How many connections there are, how many requests each of them sends at once, and when.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    pub connections: usize,
    pub depth: usize,
    /// Requests of all connections together; none for a closed loop.
    pub per_second: Option<u32>,
}

impl fmt::Display for Shape {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.connections)?;
        if self.depth > 1 {
            write!(formatter, "x{}", self.depth)?;
        }
        match self.per_second {
            Some(rate) => write!(formatter, "@{rate}"),
            None => Ok(()),
        }
    }
}

/// From `CONNECTIONS[xDEPTH][@PER_SECOND]`.
impl FromStr for Shape {
    type Err = Box<dyn Error>;

    fn from_str(text: &str) -> Result<Shape, Self::Err> {
        let (text, per_second) = match text.split_once('@') {
            Some((text, rate)) => (text, Some(between(1, RATE_MAX, rate)? as u32)),
            None => (text, None),
        };
        let (connections, depth) = text.split_once('x').unwrap_or((text, "1"));
        Ok(Shape {
            connections: between(1, CONNECTIONS_MAX, connections)?,
            depth: between(1, DEPTH_MAX, depth)?,
            per_second,
        })
    }
}

/// A number that a command line gives.
pub fn between(lowest: usize, highest: usize, text: &str) -> Result<usize, Box<dyn Error>> {
    let number = text.parse()?;
    if (lowest..=highest).contains(&number) {
        Ok(number)
    } else {
        Err(format!("not between {lowest} and {highest}").into())
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
    /// From when a connection's requests were sent, or due in an open loop, to the last of their
    /// answers.
    pub latencies: Histogram,
}

/// What one server is loaded with.
pub trait Workload {
    fn run(&mut self, limit: &Limit) -> io::Result<Slice>;

    /// Bytes of each answer.
    fn answer_length(&self) -> usize;
}

/// Connections to one server, opened once and held from slice to slice.
pub struct Load {
    epoll: OwnedFd,
    shape: Shape,
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
                waits_since: None,
            });
        }
        Ok(Load {
            epoll,
            shape,
            connections,
            events: Vec::with_capacity(EVENTS_PER_WAIT),
            buffer: vec![0; RECEIVE_BUFFER],
        })
    }

    /// Begins on every connection that is idle and has something to send by now.
    fn send_what_is_due(
        &mut self,
        schedule: &mut Schedule,
        progress: &mut Progress<'_>,
    ) -> io::Result<()> {
        let now = Instant::now();
        while let Some((index, due)) = schedule.next_due(now) {
            let connection = &mut self.connections[index];
            // One that still waits is asked again when it has its answer.
            if connection.waits_since.is_none() && progress.may_send(due, now) {
                progress.sent += connection.send(due)?;
                schedule.begun(index);
            }
        }
        Ok(())
    }

    fn hear(&mut self, schedule: &mut Schedule, progress: &mut Progress<'_>) -> io::Result<()> {
        for event in &self.events {
            let index = { event.data }.u64() as usize;
            let connection = &mut self.connections[index];
            let Some((since, now)) = connection.receive(&mut self.buffer)? else {
                continue;
            };
            progress.answer(connection.client.dialogue.depth() as u64, since, now);
            if let Some(due) = schedule
                .due(index, now)
                .filter(|due| progress.may_send(*due, now))
            {
                progress.sent += connection.send(due)?;
                schedule.begun(index);
            }
        }
        Ok(())
    }
}

impl Workload for Load {
    fn run(&mut self, limit: &Limit) -> io::Result<Slice> {
        let started = Instant::now();
        let mut progress = Progress::new(limit, started);
        let mut schedule = Schedule::new(&self.shape, started);
        loop {
            self.send_what_is_due(&mut schedule, &mut progress)?;
            let awaits_nothing = progress.answered == progress.sent;
            if awaits_nothing && !progress.may_send(schedule.upcoming(), Instant::now()) {
                return Ok(progress.finish());
            }
            poll(&self.epoll, &mut self.events)?;
            if self.events.is_empty() {
                progress.check_patience()?;
            }
            self.hear(&mut schedule, &mut progress)?;
        }
    }

    fn answer_length(&self) -> usize {
        let first = self.connections.first();
        first.map_or(0, |first| first.client.dialogue.answer_length())
    }
}

/// Looks for events and does not sleep until there are some. To wake a sleeping core the server
/// would have to interrupt it: in a virtual machine that tripled the server's CPU time for a
/// request over one connection, and quadrupled the spread of the ratios.
pub(crate) fn poll(epoll: &OwnedFd, events: &mut Vec<Event>) -> io::Result<()> {
    events.clear();
    match epoll::wait(epoll, spare_capacity(events), Some(&AT_ONCE)) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// How far a slice has come.
pub(crate) struct Progress<'limit> {
    limit: &'limit Limit,
    started: Instant,
    pub(crate) sent: u64,
    pub(crate) answered: u64,
    pub(crate) last_answer: Instant,
    latencies: Histogram,
}

impl Progress<'_> {
    pub(crate) fn new(limit: &Limit, started: Instant) -> Progress<'_> {
        Progress {
            limit,
            started,
            sent: 0,
            answered: 0,
            last_answer: started,
            latencies: Histogram::new(),
        }
    }

    pub(crate) fn answer(&mut self, requests: u64, since: Instant, now: Instant) {
        self.answered += requests;
        self.last_answer = now;
        self.latencies.record(now - since);
    }

    pub(crate) fn check_patience(&self) -> io::Result<()> {
        if self.last_answer.elapsed() < PATIENCE {
            return Ok(());
        }
        Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "the server has gone silent",
        ))
    }

    /// Whether what was due at that moment still belongs to the slice. A server that falls behind is
    /// not waited for without end: `per second` shows that it did.
    pub(crate) fn may_send(&self, due: Instant, now: Instant) -> bool {
        match self.limit {
            Limit::Requests(requests) => self.sent < *requests,
            Limit::Time(duration) => {
                due - self.started < *duration && now - self.started < *duration * 2
            }
        }
    }

    pub(crate) fn finish(self) -> Slice {
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
    /// When the requests that it has sent were due; none if all are answered.
    waits_since: Option<Instant>,
}

impl Connection {
    /// Sends the next requests and says how many they are.
    fn send(&mut self, due: Instant) -> io::Result<u64> {
        self.waits_since = Some(due);
        let requests = self.client.dialogue.next_request();
        // All of it or an error: the socket is empty, and takes the deepest pipeline at once.
        let sent = self.client.stream.write(requests)?;
        if sent == requests.len() {
            Ok(self.client.dialogue.depth() as u64)
        } else {
            Err(io::ErrorKind::WriteZero.into())
        }
    }

    /// Once the last of the answers has come: since when it was waited for, and the time now.
    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<Option<(Instant, Instant)>> {
        let count = self.client.stream.read(buffer)?;
        if !self.client.dialogue.hear(&buffer[..count])? {
            return Ok(None);
        }
        Ok(self.waits_since.take().map(|since| (since, Instant::now())))
    }
}

/// What a process may hold here, less what it needs for itself, is less than that anyway.
const CONNECTIONS_MAX: usize = 1_000_000;

/// More than the generator can keep up with.
const RATE_MAX: usize = 10_000_000;

const RECEIVE_BUFFER: usize = 64 * 1024;

const EVENTS_PER_WAIT: usize = 1024;

const AT_ONCE: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 0,
};

/// A server that answers nothing for so long will not any more.
const PATIENCE: Duration = Duration::from_secs(10);
