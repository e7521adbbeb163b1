//! Nanoseconds for each small frame, 64 of which arrive at once: through `read_with` and
//! `decimal_prefixed`, against bare loops over the same bytes.
//!
//! Prints a row for each part of the work: of a segment's frames all but the first, which are in
//! memory by then, and all of them, with the wait for the segment and the call that receives it.
//! Both sides are measured in turn, and the ratio is the median of those of all rounds, of which
//! the first argument says how many.

use std::error::Error;
use std::hint::black_box;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use ioloop::IoLoop;
use iostream::IoStream;
use iostream::frame::decimal_prefixed;
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::net::{RecvFlags, recv};

fn main() -> Result<(), Box<dyn Error>> {
    let rounds_wanted = match std::env::args().nth(1) {
        Some(text) => text.parse()?,
        None => ROUNDS,
    };
    let io_loop = IoLoop::current();
    let segment = segment();
    let mut toolkit = Toolkit::new()?;
    let mut bare = Bare::new()?;
    let mut rounds = Vec::new();
    for _ in 0..rounds_wanted.max(1) {
        let through = io_loop.run_until(toolkit.read(&segment))?;
        let copied = bare.read(&segment, |message| drop(black_box(message.to_vec())))?;
        let borrowed = bare.read(&segment, |message| _ = black_box(message))?;
        rounds.push([through, copied, borrowed]);
    }
    println!(
        "{:12}  {:>9}  {:>13}  {:>5}  {:>13}  {:>5}",
        "ns per frame", "read_with", "bare, copying", "ratio", "bare, in place", "ratio"
    );
    print_row("in memory", &rounds, |time| time.buffered);
    print_row("with system", &rounds, |time| time.whole);
    Ok(())
}

/// How long the frames of a segment took, on average.
#[derive(Clone, Copy)]
struct Times {
    /// Nanoseconds for each of those behind the first.
    buffered: f64,
    /// Nanoseconds for each of all, from the moment when the segment had been sent.
    whole: f64,
}

impl Times {
    fn of(buffered: Duration, whole: Duration) -> Times {
        let each = |time: Duration, frames| time.as_nanos() as f64 / (frames * SEGMENTS) as f64;
        Times {
            buffered: each(buffered, FRAMES - 1),
            whole: each(whole, FRAMES),
        }
    }
}

struct Toolkit {
    stream: IoStream,
    peer: TcpStream,
}

impl Toolkit {
    fn new() -> Result<Toolkit, Box<dyn Error>> {
        let (stream, peer) = connection()?;
        let stream = IoStream::from_fd(stream)?;
        Ok(Toolkit { stream, peer })
    }

    async fn read(&mut self, segment: &[u8]) -> Result<Times, Box<dyn Error>> {
        let (mut buffered, mut whole) = (Duration::ZERO, Duration::ZERO);
        for _ in 0..SEGMENTS {
            self.peer.write_all(segment)?;
            let start = Instant::now();
            drop(black_box(self.message().await?));
            let first = Instant::now();
            for _ in 1..FRAMES {
                drop(black_box(self.message().await?));
            }
            buffered += first.elapsed();
            whole += start.elapsed();
        }
        Ok(Times::of(buffered, whole))
    }

    fn message(&mut self) -> impl Future<Output = Result<Vec<u8>, iostream::Error>> {
        self.stream.read_with(decimal_prefixed(DIGITS, LENGTH_MAX))
    }
}

/// What one writes without a toolkit: wait, receive, and a loop over the buffer.
struct Bare {
    epoll: std::os::fd::OwnedFd,
    socket: TcpStream,
    peer: TcpStream,
    buffer: Vec<u8>,
}

impl Bare {
    fn new() -> Result<Bare, Box<dyn Error>> {
        let (socket, peer) = connection()?;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, &socket, EventData::new_u64(0), EventFlags::IN)?;
        let buffer = vec![0; 64 * 1024];
        Ok(Bare {
            epoll,
            socket,
            peer,
            buffer,
        })
    }

    fn read(&mut self, segment: &[u8], take: impl Fn(&[u8])) -> Result<Times, Box<dyn Error>> {
        let (mut buffered, mut whole) = (Duration::ZERO, Duration::ZERO);
        let mut events = Vec::with_capacity(16);
        for _ in 0..SEGMENTS {
            self.peer.write_all(segment)?;
            let start = Instant::now();
            events.clear();
            epoll::wait(&self.epoll, spare_capacity(&mut events), None)?;
            let (count, _) = recv(&self.socket, &mut self.buffer[..], RecvFlags::empty())?;
            let mut bytes = &self.buffer[..count];
            let (message, rest) = first_frame(bytes).ok_or("the segment was cut")?;
            (bytes, _) = (rest, take(message));
            let first = Instant::now();
            for _ in 1..FRAMES {
                let (message, rest) = first_frame(bytes).ok_or("the segment was cut")?;
                (bytes, _) = (rest, take(message));
            }
            buffered += first.elapsed();
            whole += start.elapsed();
        }
        Ok(Times::of(buffered, whole))
    }
}

/// A message and what is behind it, checked as `decimal_prefixed` checks it.
#[inline]
fn first_frame(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (digits, rest) = bytes.split_first_chunk::<DIGITS>()?;
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let add = |sum: u64, digit: &u8| sum * 10 + u64::from(digit - b'0');
    let length = digits.iter().fold(0, add);
    if length > LENGTH_MAX as u64 {
        return None;
    }
    rest.split_at_checked(length as usize)
}

fn segment() -> Vec<u8> {
    let frame = |number| format!("{LENGTH:0DIGITS$}{number:0LENGTH$}");
    (0..FRAMES).map(frame).collect::<String>().into_bytes()
}

/// Both ends of a connection, the first of which does not block.
fn connection() -> std::io::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let peer = TcpStream::connect(listener.local_addr()?)?;
    let (stream, _) = listener.accept()?;
    stream.set_nonblocking(true)?;
    peer.set_nodelay(true)?;
    Ok((stream, peer))
}

fn print_row(name: &str, rounds: &[[Times; 3]], part: impl Fn(&Times) -> f64) {
    let time = |side: usize| median(rounds.iter().map(|round| part(&round[side])));
    let ratio = |side: usize| {
        let ratios = rounds.iter();
        median(ratios.map(|round| part(&round[0]) / part(&round[side])))
    };
    println!(
        "{name:12}  {:9.1}  {:13.1}  {:5.2}  {:13.1}  {:5.2}",
        time(0),
        time(1),
        ratio(1),
        time(2),
        ratio(2)
    );
}

fn median(numbers: impl Iterator<Item = f64>) -> f64 {
    let mut numbers: Vec<f64> = numbers.collect();
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

const DIGITS: usize = 10;

/// With its digits 22 bytes: 64 of them are what fits into a packet on Ethernet.
const LENGTH: usize = 12;

const FRAMES: usize = 64;

const LENGTH_MAX: usize = 1024 * 1024;

/// In each round, on each side.
const SEGMENTS: usize = 500;

const ROUNDS: usize = 100;
