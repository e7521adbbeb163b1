//! The behaviour of streams, one file per subject. Tests are named after what they forbid.
#![allow(
    clippy::unwrap_used,
    reason = "clippy.toml allows it in tests, but their helpers are not recognized as such"
)]

mod abort;
mod backpressure;
mod boxed;
mod budget;
mod coalescing;
mod connect;
mod contract;
mod deadlines;
mod lifecycle;
mod linger;
mod model;
mod on_close;
mod peer_closed;
mod rate_streams;
mod rate_turns;
mod scripted;
mod shutdown;
mod support;
mod transports;
mod websocket;
