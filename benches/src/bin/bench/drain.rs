//! How a server ends on SIGINT with clients that idle: how soon, and what becomes of them.

use std::io::{ErrorKind, Read};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, Event, EventData, EventFlags};
use rustix::process::Signal;
use squall_benches::client::{self, Client};
use squall_benches::dialogue::Protocol;

use crate::Outcome;
use crate::arguments::Arguments;
use crate::server::Server;
use crate::subject::Subject;

pub fn run(arguments: &Arguments) -> Outcome<()> {
    for shape in &arguments.shapes {
        for subject in &arguments.subjects {
            measure(subject, &arguments.protocol(), shape.connections)?;
        }
    }
    Ok(())
}

fn measure(subject: &Subject, protocol: &Protocol, connections: usize) -> Outcome<()> {
    let mut server = Server::start(subject, protocol)?;
    let mut clients = Clients::open(&server, protocol, connections)?;
    let started = Instant::now();
    server.process.signal(Signal::INT)?;
    let ended = clients.watch(started + PATIENCE)?;
    let elapsed = started.elapsed().as_secs_f64() * 1e3;
    let status = server.process.wait(Duration::ZERO)?;
    clients.take_rest()?;
    println!(
        "{}: {connections} connections, half of them never used",
        subject.name
    );
    let how = if ended {
        "ended"
    } else {
        "did not end and was killed"
    };
    println!("  {how} {elapsed:.1} ms after SIGINT: {status}");
    let Clients {
        finished, reset, ..
    } = clients;
    let open = connections - finished - reset;
    println!("  connections: {finished} finished, {reset} reset, {open} still open");
    server.print_output();
    Ok(())
}

/// Clients that close when the server does, and watch it end.
struct Clients {
    epoll: OwnedFd,
    /// None once it is closed.
    streams: Vec<Option<TcpStream>>,
    /// Held because the epoll set refers to it.
    _server_ended: OwnedFd,
    finished: usize,
    reset: usize,
}

impl Clients {
    fn open(server: &Server, protocol: &Protocol, count: usize) -> Outcome<Clients> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let server_ended = server.process.ended()?;
        let once = EventFlags::IN | EventFlags::ONESHOT;
        epoll::add(
            &epoll,
            &server_ended,
            EventData::new_u64(SERVER_ENDED),
            once,
        )?;
        let mut streams = Vec::with_capacity(count);
        for index in 0..count {
            // Every other one, and the last: the queue is first in, first out, so its answer
            // shows that the silent ones have been accepted too.
            let stream = if index % 2 == 1 || index == count - 1 {
                Client::open(server.address, protocol, index, 1)?.stream
            } else {
                client::connect(server.address, index)?
            };
            stream.set_nonblocking(true)?;
            epoll::add(
                &epoll,
                &stream,
                EventData::new_u64(index as u64),
                EventFlags::IN,
            )?;
            streams.push(Some(stream));
        }
        Ok(Clients {
            epoll,
            streams,
            _server_ended: server_ended,
            finished: 0,
            reset: 0,
        })
    }

    /// Whether the server has ended before the deadline.
    fn watch(&mut self, deadline: Instant) -> Outcome<bool> {
        let mut events = Vec::with_capacity(EVENTS_PER_WAIT);
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(false);
            }
            self.wait(&mut events, left)?;
            for event in &events {
                match { event.data }.u64() {
                    SERVER_ENDED => return Ok(true),
                    index => self.receive(index as usize),
                }
            }
        }
    }

    /// What the end of the server did to connections, and `watch` did not wait for.
    fn take_rest(&mut self) -> Outcome<()> {
        let mut events = Vec::with_capacity(EVENTS_PER_WAIT);
        loop {
            self.wait(&mut events, REST)?;
            if events.is_empty() {
                return Ok(());
            }
            for event in &events {
                self.receive({ event.data }.u64() as usize);
            }
        }
    }

    fn wait(&self, events: &mut Vec<Event>, timeout: Duration) -> Outcome<()> {
        events.clear();
        let timeout = Timespec::try_from(timeout)?;
        epoll::wait(&self.epoll, spare_capacity(events), Some(&timeout))?;
        Ok(())
    }

    fn receive(&mut self, index: usize) {
        let Some(Some(stream)) = self.streams.get_mut(index) else {
            return;
        };
        match stream.read(&mut [0; 4096]) {
            Ok(0) => self.finished += 1,
            Err(error) if error.kind() != ErrorKind::WouldBlock => self.reset += 1,
            // What the server has to say at the end.
            _ => return,
        }
        self.streams[index] = None;
    }
}

/// Longer than any grace that a server gives its clients.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long a connection's end takes to get from the server's socket to ours, and much more.
const REST: Duration = Duration::from_millis(100);

const EVENTS_PER_WAIT: usize = 1024;

/// The key of the server's process; no connection has this index.
const SERVER_ENDED: u64 = u64::MAX;
