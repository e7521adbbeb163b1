//! The behaviour of the loop, one file per subject. Tests are named after what they forbid.
#![allow(
    clippy::unwrap_used,
    reason = "clippy.toml allows it in tests, but their helpers are not recognized as such"
)]

#[cfg(feature = "blocking")]
mod blocking;
mod callbacks;
mod close;
mod endings;
mod fairness;
mod handlers;
mod hosting;
mod metrics;
mod other_threads;
mod panics;
mod periodic;
mod readiness;
mod running;
mod signals;
mod sources;
mod support;
mod tasks;
mod timers;
mod virtual_time;
mod watched;
