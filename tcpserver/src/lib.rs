//! A Tornado-style TCP server: give it a handler, tell it where to listen.
//!
//! ```no_run
//! use tcpserver::{BoxError, Connection, IoStream, TcpServer};
//!
//! async fn echo(mut stream: IoStream, _: Connection) -> Result<(), BoxError> {
//!     loop {
//!         let line = stream.read_until(b"\n", 4096).await?;
//!         stream.write(&line).await?;
//!     }
//! }
//!
//! fn main() -> Result<(), BoxError> {
//!     TcpServer::new(echo).run("127.0.0.1:8888")
//! }
//! ```
//!
//! A peer that leaves ends the loop above through `?`, and the server takes that as the normal
//! end. A handler that fails or panics ends its own connection only.
//!
//! # Stopping
//!
//! `SIGINT` and `SIGTERM` drain: nobody is accepted any more, handlers are told, and what is left
//! after the grace period is cut. A handler that wants to end between two messages wraps the read
//! that waits for the next one:
//!
//! ```
//! use tcpserver::{BoxError, Connection, IoStream};
//!
//! async fn echo(mut stream: IoStream, connection: Connection) -> Result<(), BoxError> {
//!     while let Some(line) = connection.unless_draining(stream.read_until(b"\n", 4096)).await {
//!         stream.write(&line?).await?;
//!     }
//!     Ok(())
//! }
//! # let _server = tcpserver::TcpServer::new(echo);
//! ```
//!
//! # Several processes
//!
//! One loop uses one processor. [`TcpServer::serve_processes`] serves the same sockets from several
//! processes, under a parent that starts those again that fail; [`fork_processes`] and
//! [`TcpServer::start`] are its parts, and say when a process may fork:
//!
//! ```no_run
//! # use tcpserver::{BoxError, Connection, IoStream, TcpServer};
//! # async fn echo(_: IoStream, _: Connection) -> Result<(), BoxError> { Ok(()) }
//! fn main() -> Result<(), BoxError> {
//!     let server = TcpServer::new(echo);
//!     let addresses = server.bind("127.0.0.1:8888")?;
//!     server.serve_processes(0, || println!("listening on {}", addresses[0]))
//! }
//! ```
//!
//! # Pieces
//!
//! [`bind_sockets`] and [`bind_unix_socket`] open listening sockets, [`add_accept_handler`]
//! accepts from them on any loop. [`StreamHandler`] says how a handler is written and tested.
//!
//! # Limits
//!
//! | limit | default | where |
//! |---|---|---|
//! | connections at once | the process's descriptors | [`TcpServer::max_connections`] |
//! | time without a byte | none | [`TcpServer::idle_timeout`] |
//! | time to finish after a signal | 8 s | [`TcpServer::shutdown_grace`] |
//! | waiting for peers to close, while draining | 250 ms | fixed |
//! | connections waiting to be accepted | 1,024 | [`BindOptions::backlog`] |
//! | connections accepted per turn and socket | 128; 1 if forked after binding | fixed |
//! | pause when out of descriptors | 100 ms | fixed |
//! | restarts of workers, in total | 100 | [`fork_processes`], [`TcpServer::start`] |
//! | pause before a restart | 0, 125 ms, doubling up to 4 s | fixed |
//! | time to end when there were too many restarts | 10 s | fixed |
//!
//! The limits of each stream are those of the [`iostream`] crate.

mod accept;
mod bind;
mod bind_options;
mod connection;
mod connections;
mod drain;
mod explain;
#[cfg(target_os = "linux")]
mod fork;
mod handler;
#[cfg(target_os = "linux")]
mod parent_signals;
mod peer;
mod processes;
mod report;
#[cfg(target_os = "linux")]
mod restarts;
mod run;
mod server;
mod settings;
#[cfg(target_os = "linux")]
mod supervise;
mod unix;

pub use iostream::{Address, IoStream};

pub use crate::accept::{AcceptHandle, add_accept_handler};
pub use crate::bind::{Listener, bind_sockets};
pub use crate::bind_options::{BindOptions, Families};
pub use crate::connection::{Connection, UnlessDraining};
pub use crate::drain::Draining;
pub use crate::handler::{BoxError, StreamHandler};
pub use crate::processes::{Role, fork_processes, worker_id};
pub use crate::server::{Drained, TcpServer};
pub use crate::settings::WhenFull;
pub use crate::unix::bind_unix_socket;
