//! Nanoseconds for each small frame, 64 of which arrive at once: through `read_with` and
//! `decimal_prefixed`, against bare loops over the same bytes.
//!
//! Of a segment's frames all but the first, which are in memory by then, and all of them, with the
//! wait for the segment and the call that receives it.

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
use squall_bench_layers::compare;

fn main() -> Result<(), Box<dyn Error>> {
    let io_loop = IoLoop::current();
    let segment = segment();
    let mut toolkit = Toolkit::new()?;
    let mut bare = [Bare::new()?, Bare::new()?];
    let [copying, borrowing] = &mut bare;
    compare(
        ROUNDS,
        &["in memory", "with system"],
        &mut [
            ("copying", &mut || {
                copying.read(&segment, |message| drop(black_box(message.to_vec())))
            }),
            ("in place", &mut || {
                borrowing.read(&segment, |message| _ = black_box(message))
            }),
            ("iostream", &mut || {
                io_loop.run_until(toolkit.read(&segment))
            }),
        ],
    )
}

/// Nanoseconds for each frame behind the first of its segment, and for each of all, from the moment
/// when that had been sent.
fn nanoseconds(buffered: Duration, whole: Duration) -> Vec<f64> {
    let each = |time: Duration, frames| time.as_nanos() as f64 / (frames * SEGMENTS) as f64;
    vec![each(buffered, FRAMES - 1), each(whole, FRAMES)]
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

    async fn read(&mut self, segment: &[u8]) -> Vec<f64> {
        let (mut buffered, mut whole) = (Duration::ZERO, Duration::ZERO);
        for _ in 0..SEGMENTS {
            self.peer.write_all(segment).expect("a segment is sent");
            let start = Instant::now();
            drop(black_box(self.message().await));
            let first = Instant::now();
            for _ in 1..FRAMES {
                drop(black_box(self.message().await));
            }
            buffered += first.elapsed();
            whole += start.elapsed();
        }
        nanoseconds(buffered, whole)
    }

    async fn message(&mut self) -> Vec<u8> {
        let message = self.stream.read_with(decimal_prefixed(DIGITS, LENGTH_MAX));
        message.await.expect("a frame arrives")
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

    fn read(&mut self, segment: &[u8], take: impl Fn(&[u8])) -> Vec<f64> {
        let (mut buffered, mut whole) = (Duration::ZERO, Duration::ZERO);
        let mut events = Vec::with_capacity(16);
        for _ in 0..SEGMENTS {
            self.peer.write_all(segment).expect("a segment is sent");
            let start = Instant::now();
            events.clear();
            epoll::wait(&self.epoll, spare_capacity(&mut events), None).expect("it arrives");
            let received = recv(&self.socket, &mut self.buffer[..], RecvFlags::empty());
            let (count, _) = received.expect("it has arrived");
            let mut bytes = &self.buffer[..count];
            let (message, rest) = first_frame(bytes).expect("it has arrived whole");
            (bytes, _) = (rest, take(message));
            let first = Instant::now();
            for _ in 1..FRAMES {
                let (message, rest) = first_frame(bytes).expect("it has arrived whole");
                (bytes, _) = (rest, take(message));
            }
            buffered += first.elapsed();
            whole += start.elapsed();
        }
        nanoseconds(buffered, whole)
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

const DIGITS: usize = 10;

/// With its digits 22 bytes: 64 of them are what fits into a packet on Ethernet.
const LENGTH: usize = 12;

const FRAMES: usize = 64;

const LENGTH_MAX: usize = 1024 * 1024;

/// In each round, on each side.
const SEGMENTS: usize = 500;

const ROUNDS: usize = 100;
