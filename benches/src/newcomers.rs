//! Clients that connect for one request each: what it costs to accept, answer and close.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::time::Instant;

use rustix::event::epoll::{self, Event, EventData, EventFlags};

use crate::client::{self, Client};
use crate::dialogue::{Dialogue, Protocol};
use crate::http::Head;
use crate::load::{Limit, Progress, Slice, Workload, poll};

/// So many at a time; when the server has answered one and closed, the next connects.
pub struct Newcomers {
    server: SocketAddr,
    epoll: OwnedFd,
    clients: Vec<Newcomer>,
    events: Vec<Event>,
}

/// A place that one client after the other takes.
struct Newcomer {
    /// None between two of them.
    stream: Option<TcpStream>,
    dialogue: Dialogue,
    is_answered: bool,
    since: Instant,
}

impl Newcomers {
    pub fn open(server: SocketAddr, count: usize) -> io::Result<Newcomers> {
        let protocol = Protocol::Http(Head::Closing);
        let first = Client::open(server, &protocol, 0, 1)?;
        let newcomer = || Newcomer {
            stream: None,
            dialogue: first.dialogue.clone(),
            is_answered: false,
            since: Instant::now(),
        };
        Ok(Newcomers {
            server,
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            clients: (0..count).map(|_| newcomer()).collect(),
            events: Vec::with_capacity(count),
        })
    }

    fn connect(&mut self, index: usize, now: Instant) -> io::Result<()> {
        // The kernel takes it at once, there is room in the server's queue.
        let mut stream = client::connect(self.server, index)?;
        let newcomer = &mut self.clients[index];
        newcomer.since = now;
        newcomer.is_answered = false;
        stream.write_all(newcomer.dialogue.next_request())?;
        let key = EventData::new_u64(index as u64);
        epoll::add(&self.epoll, &stream, key, EventFlags::IN)?;
        newcomer.stream = Some(stream);
        Ok(())
    }
}

impl Workload for Newcomers {
    fn run(&mut self, limit: &Limit) -> io::Result<Slice> {
        let started = Instant::now();
        let mut progress = Progress::new(limit, started);
        let mut free: Vec<usize> = (0..self.clients.len()).collect();
        loop {
            while let Some(index) = free.pop() {
                let now = Instant::now();
                if progress.may_send(now, now) {
                    self.connect(index, now)?;
                    progress.sent += 1;
                }
            }
            if progress.answered == progress.sent {
                return Ok(progress.finish());
            }
            poll(&self.epoll, &mut self.events)?;
            if self.events.is_empty() {
                progress.check_patience()?;
            }
            for event in &self.events {
                let index = { event.data }.u64() as usize;
                let newcomer = &mut self.clients[index];
                if newcomer.hear()? {
                    progress.answer(1, newcomer.since, Instant::now());
                    free.push(index);
                }
            }
        }
    }

    fn answer_length(&self) -> usize {
        self.clients[0].dialogue.answer_length()
    }
}

impl Newcomer {
    /// True once the answer is complete and the server has closed.
    fn hear(&mut self) -> io::Result<bool> {
        let mut buffer = [0; 4096];
        let Some(stream) = &mut self.stream else {
            return Ok(false);
        };
        let count = stream.read(&mut buffer)?;
        if count == 0 && self.is_answered {
            self.stream = None;
            return Ok(true);
        }
        self.is_answered = self.dialogue.hear(&buffer[..count])?;
        Ok(false)
    }
}
