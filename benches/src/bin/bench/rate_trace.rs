//! What a rate-limited server sends, as its clients see it arrive.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::net::sockopt;
use squall_benches::client;

use crate::Outcome;
use crate::rate_aria2::Requests;
use crate::rate_log::Excess;

/// Clients that read whatever comes, and some that never do.
pub struct Clients {
    epoll: std::os::fd::OwnedFd,
    streams: Vec<TcpStream>,
    _deaf: Vec<TcpStream>,
    buffer: Vec<u8>,
    /// What the server wants to be asked for what it sends.
    pub requests: Option<Requests>,
}

/// What came in a span of time.
pub struct Trace {
    /// Bytes of each client.
    pub shares: Vec<u64>,
    /// Bytes of all in each hundredth of a second.
    bins: Vec<u64>,
    /// The most that any part of the span had beyond the rate, in bytes, as far as it is certain:
    /// what is read now came at any time since the look before.
    pub excess_least: f64,
    /// The same if all of it came just now.
    pub excess_most: f64,
}

impl Clients {
    /// One client for each of `pieces`, to which so many bytes are written at a time.
    pub fn open(server: SocketAddr, pieces: &[usize], deaf: usize) -> Outcome<Clients> {
        let connect = |index: usize, piece: usize| -> Outcome<TcpStream> {
            let mut stream = client::connect(server, index)?;
            stream.write_all(format!("{piece}\n").as_bytes())?;
            Ok(stream)
        };
        let silent = (0..deaf).map(|index| {
            let stream = connect(index, pieces[0])?;
            sockopt::set_socket_recv_buffer_size(&stream, 4096)?;
            Ok(stream)
        });
        let silent: Vec<TcpStream> = silent.collect::<Outcome<_>>()?;
        let streams = pieces.iter().enumerate();
        let streams = streams.map(|(index, piece)| connect(deaf + index, *piece));
        Clients::of(streams.collect::<Outcome<_>>()?, silent)
    }

    /// Those that have connections already.
    pub fn of(streams: Vec<TcpStream>, deaf: Vec<TcpStream>) -> Outcome<Clients> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        for (index, stream) in streams.iter().enumerate() {
            stream.set_nonblocking(true)?;
            let data = epoll::EventData::new_u64(index as u64);
            epoll::add(&epoll, stream, data, epoll::EventFlags::IN)?;
        }
        Ok(Clients {
            epoll,
            streams,
            _deaf: deaf,
            buffer: vec![0; 64 * 1024],
            requests: None,
        })
    }

    /// Reads for `span`, and never sleeps: being woken takes time that would be the server's, and
    /// what is read late seems to have come at once.
    pub fn observe(&mut self, rate: u64, span: Duration) -> Outcome<Trace> {
        let start = Instant::now();
        let mut trace = Trace {
            shares: vec![0; self.streams.len()],
            bins: vec![0; (span.as_secs_f64() * BINS) as usize + 1],
            excess_least: 0.0,
            excess_most: 0.0,
        };
        let (mut events, mut before) = (Vec::with_capacity(1024), start);
        let (mut least, mut most) = (Excess::default(), Excess::default());
        while start.elapsed() < span {
            events.clear();
            let timeout = Some(&Timespec::default());
            epoll::wait(&self.epoll, spare_capacity(&mut events), timeout)?;
            let now = Instant::now();
            let mut read = 0;
            for event in &events {
                let index = { event.data }.u64() as usize;
                let count = match self.streams[index].read(&mut self.buffer) {
                    Ok(0) => return Err("the server has closed a connection".into()),
                    Ok(count) => count,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
                    Err(error) => return Err(error.into()),
                };
                if let Some(requests) = &mut self.requests {
                    requests.go_on(&mut self.streams[index], count)?;
                }
                read += count;
                let count = count as u64;
                trace.shares[index] += count;
                let bin = ((now - start).as_secs_f64() * BINS) as usize;
                let last = trace.bins.len() - 1;
                trace.bins[bin.min(last)] += count;
            }
            // At the latest now, at the earliest just after the look before.
            most.pass(now - before, rate);
            most.add(read);
            least.add_and_pass(read, now - before, rate);
            before = now;
        }
        (trace.excess_least, trace.excess_most) = (least.most(), most.most());
        Ok(trace)
    }
}

impl Trace {
    pub fn total(&self) -> u64 {
        self.shares.iter().sum()
    }

    /// The least and the most that a second had, of those that begin at each hundredth of one. None
    /// if there was no second.
    pub fn seconds(&self) -> Option<(u64, u64)> {
        let whole = &self.bins[..self.bins.len() - 1];
        let sums = whole.windows(BINS as usize).map(|bins| bins.iter().sum());
        let sums: Vec<u64> = sums.collect();
        Some((*sums.iter().min()?, *sums.iter().max()?))
    }

    /// By how much the largest share is over the smallest.
    pub fn spread(&self) -> f64 {
        let least = self.shares.iter().min().copied().unwrap_or(0);
        let most = self.shares.iter().max().copied().unwrap_or(0);
        most as f64 / least as f64
    }
}

/// In a second.
const BINS: f64 = 100.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn burst_at_the_border_of_two_seconds_is_not_hidden() {
        let mut bins = vec![0; 301];
        (bins[90], bins[110]) = (500, 500);
        let trace = Trace {
            shares: vec![1000],
            bins,
            excess_least: 0.0,
            excess_most: 0.0,
        };
        assert_eq!(trace.seconds(), Some((0, 1000)));
    }
}
