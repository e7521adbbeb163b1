//! Buffered streams on a Tornado-style event loop.
//!
//! A protocol is one pure function and a loop:
//!
//! ```
//! use iostream::{Error, IoStream, frame};
//!
//! async fn shout(mut stream: IoStream) -> Result<(), Error> {
//!     loop {
//!         let mut line = stream.read_until(b"\n", 4096).await?;
//!         line.make_ascii_uppercase();
//!         stream.write(&line).await?;
//!     }
//! }
//!
//! # ioloop::testing::run(async {
//! let (mut client, server) = IoStream::pair();
//! ioloop::IoLoop::current().spawn(shout(server)).detach();
//! client.write(b"hello\n").await.unwrap();
//! assert_eq!(client.read_until(b"\n", 4096).await.unwrap(), b"HELLO\n");
//! # });
//! ```
//!
//! [`IoStream::read_with`] takes any parser; [`frame`] has stock ones. [`connect()`] opens a
//! connection; [`IoStream::from_fd`] takes any descriptor, [`IoStream::from_transport`] any
//! futures-io type. `IoStream` is a futures-io type itself, so other crates' protocols run over
//! it. [`IoStream::pair`] connects two streams in memory: with `ioloop::testing`, a protocol is
//! tested without a kernel and without waiting.
//!
//! # Writing
//!
//! The loop sends, not a future. [`queue`](IoStream::queue) never waits, and everything that a
//! turn queues leaves in one system call; [`write`](IoStream::write) waits for room first, which
//! holds back whoever produces faster than the peer reads. Dropping a stream loses nothing: the
//! loop sends what was written, half-closes, and waits a little for the peer to close too.
//! [`abort`](IoStream::abort) is the only way to throw bytes away.
//!
//! [`RateLimiter`] holds any number of streams to so many bytes per second together, in either
//! direction.
//!
//! # Reading
//!
//! Reads hold `&mut self`, so there is one at a time, and are safe to drop: bytes that arrived
//! stay for the next read. A reader that stops reading stops the peer. Bytes that arrived before
//! the peer closed are read before the end is reported.
//!
//! # Limits
//!
//! | limit | default | where |
//! |---|---|---|
//! | one message | given with each read | `max` |
//! | bytes buffered for a parser without a limit | 100 MiB | [`IoStream::set_max_buffer_size`] |
//! | bytes queued for a slow peer | 1 MiB | [`IoStream::set_max_write_buffer_size`] |
//! | time for a peer to close after us | 5 s | [`IoStream::set_linger_timeout`] |
//! | time without progress, sending after the handles are gone | 60 s | fixed |
//! | one system call | 64 KiB | fixed |
//! | what a stream does in a turn without waiting | 32 system calls or 256 messages | fixed |
//! | input kept while only `peer_closed` waits | 64 KiB | fixed |
//! | one turn of a rate limiter | 10 ms of the limit, 1,380 to 65,536 bytes | [`RateLimiter::unit`] |
//! | lateness that a rate limiter makes up for | 1 s | fixed |
//! | rate limiters within each other | 16 | fixed |
//! | waiting for a connection | 30 s | [`Connector::timeout`] |
//!
//! Pipes and terminals have no way to write without `SIGPIPE`: it has to be ignored, as it is in
//! every Rust program unless it says otherwise.

mod aborter;
mod address;
mod closing;
mod connect;
mod deadline;
mod error;
mod extras;
pub mod frame;
mod futures_io;
mod limits;
mod on_close;
mod operations;
mod outgoing;
mod pair;
mod peer_closed;
mod rate_account;
mod rate_grant;
mod rate_limiter;
mod rate_ring;
mod rate_stream;
mod rate_turns;
mod read_half;
mod reading;
mod reads;
mod receive;
mod settings;
mod shared;
mod stream;
mod transport;
mod unread;
mod write_half;
mod writing;

pub use crate::aborter::Aborter;
pub use crate::address::Address;
#[cfg(feature = "blocking")]
pub use crate::connect::connect_host;
pub use crate::connect::{Connector, connect, connect_unix};
#[doc(hidden)]
pub use crate::error::in_words;
pub use crate::error::{CloseReason, Error};
pub use crate::on_close::OnClose;
pub use crate::peer_closed::PeerClosed;
pub use crate::rate_grant::{Grant, Permit};
pub use crate::rate_limiter::RateLimiter;
pub use crate::read_half::ReadHalf;
pub use crate::stream::IoStream;
pub use crate::write_half::WriteHalf;
