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
//! | connections accepted per turn and socket | 128 | fixed |
//! | pause when out of descriptors | 100 ms | fixed |
//!
//! The limits of each stream are those of the [`iostream`] crate.

mod accept;
mod bind;
mod bind_options;
mod connection;
mod connections;
mod drain;
mod explain;
mod handler;
mod peer;
mod report;
mod run;
mod server;
mod settings;
mod unix;

pub use iostream::{Address, IoStream};

pub use crate::accept::{AcceptHandle, add_accept_handler};
pub use crate::bind::{Listener, bind_sockets};
pub use crate::bind_options::{BindOptions, Families};
pub use crate::connection::{Connection, UnlessDraining};
pub use crate::drain::Draining;
pub use crate::handler::{BoxError, StreamHandler};
pub use crate::server::{Drained, TcpServer};
pub use crate::settings::WhenFull;
pub use crate::unix::bind_unix_socket;
