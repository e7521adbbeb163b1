//! The behaviour of TCP servers, one file per subject. Tests are named after what they forbid.
#![allow(
    clippy::unwrap_used,
    reason = "clippy.toml allows it in tests, but their helpers are not recognized as such"
)]

mod accepting;
mod bind;
mod connections;
mod cutting;
mod descriptors;
mod draining;
mod ends;
mod handles;
mod limits;
mod shutdown;
mod signals;
mod starting;
mod stopping;
mod support;
mod unix_sockets;
mod waits;
