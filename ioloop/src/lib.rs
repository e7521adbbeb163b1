//! A Tornado-style event loop: one per thread, callbacks and `async` on the same loop.
//!
//! Callbacks first. A descriptor has a handler, a deadline has a callback:
//!
//! ```
//! use std::{io::{Read, Write}, os::unix::net::UnixStream, rc::Rc, time::Duration};
//! use ioloop::{Interest, IoLoop};
//!
//! # fn main() -> std::io::Result<()> {
//! let io_loop = IoLoop::current();
//! let (ours, mut theirs) = UnixStream::pair()?;
//!
//! io_loop.add_handler(Rc::new(ours), Interest::READ, |mut stream, event| {
//!     let mut bytes = [0; 64];
//!     let count = stream.read(&mut bytes).unwrap_or(0);
//!     println!("{}", String::from_utf8_lossy(&bytes[..count]));
//!     IoLoop::current().remove_handler(event.id);
//!     IoLoop::current().stop();
//! })?;
//! io_loop.call_later(Duration::from_millis(1), move || theirs.write_all(b"hello").unwrap());
//! io_loop.start();
//! # Ok(())
//! # }
//! ```
//!
//! The same loop runs futures, which need not be `Send`:
//!
//! ```
//! use std::time::Duration;
//! use ioloop::{IoLoop, sleep, timeout};
//!
//! IoLoop::current().run_until(async {
//!     let task = IoLoop::current().spawn(async {
//!         sleep(Duration::from_millis(1)).await;
//!         "done"
//!     });
//!     assert_eq!(timeout(Duration::from_secs(1), task).await, Ok("done"));
//! });
//! ```
//!
//! Other threads hold a [`Remote`]; tests make time up ([`testing`]); any descriptor can be
//! awaited ([`Watched`]); signals are futures or callbacks ([`signals`]).
//!
//! # A turn
//!
//! A loop runs in turns. Each takes these steps, in this order:
//!
//! 1. what other threads have sent, if the last wait was ended by them;
//! 2. the callbacks that were present at the start;
//! 3. the timers that are due, in the order of their deadlines, then of their making;
//! 4. tasks that are ready, at most 1,024 of them; one that gave way waits for the next turn;
//! 5. objects that asked to be told of the end of the turn: streams send what was written;
//! 6. the wait, until something is ready or the next timer is due, and the handlers of what is.
//!
//! Time is read once, after the wait ([`IoLoop::now`]). Code that holds the loop moves the time that
//! new delays count from, but fires no timer before input that came meanwhile has been handled.
//!
//! # What holds
//!
//! - Handlers, timers and tasks may add, change and remove one another at any moment. Whatever is
//!   removed is not called again, also if its event was fetched already.
//! - A panic in any of them is reported once through `tracing`, ends that one, and the loop goes
//!   on. With `panic = "abort"` the process ends instead.
//! - Code that holds the loop for more than 100 ms is named in a warning, once per place.
//!
//! # Limits
//!
//! | limit | value | where |
//! |---|---|---|
//! | tasks polled per turn | 1,024 | fixed |
//! | events per wait | 1,024 | fixed |
//! | timer resolution | 1 ms, never early | the system's |
//! | longest single wait | 1 hour, then it waits again | fixed |
//! | handlers | 2^32 - 3 (65,533 on 32-bit targets) | fixed |
//! | slow-callback warning | 100 ms | [`Builder::slow_callback`] |
//!
//! Callbacks, tasks and timers are bounded by memory only: whoever adds them decides.
//!
//! # Platforms
//!
//! Unix. Linux is tested; BSD and macOS are written for, through [`Waiting::Portable`].

#[cfg(feature = "blocking")]
mod blocking;
mod builder;
mod clock;
mod close;
mod handlers;
mod inbox;
mod io_loop;
mod metrics;
mod moment;
mod notify;
mod panics;
mod periodic;
mod places;
mod registration;
mod registry;
mod run;
pub mod signals;
mod sleep;
mod sources;
mod tasks;
pub mod testing;
mod thread;
mod timers;
mod turn;
mod wait;
mod watch;
mod watched;

#[cfg(feature = "blocking")]
pub use crate::blocking::RunBlocking;
pub use crate::builder::{Builder, loops_made};
pub use crate::handlers::{Event, HandlerId, Interest, Source};
pub use crate::inbox::{Closed, Remote};
pub use crate::io_loop::IoLoop;
pub use crate::metrics::Metrics;
pub use crate::moment::Moment;
pub use crate::notify::{Notice, Notify};
pub use crate::periodic::PeriodicCallback;
pub use crate::registration::Registration;
pub use crate::sleep::{Sleep, TimedOut, Timeout, sleep, sleep_until, timeout};
pub use crate::tasks::Task;
pub use crate::timers::TimerId;
pub use crate::wait::Waiting;
pub use crate::watched::Watched;
