//! The behaviour of HTTP servers, one file per subject. Tests are named after what they forbid.
#![allow(
    clippy::unwrap_used,
    reason = "clippy.toml allows it in tests, but their helpers are not recognized as such"
)]

mod answers;
mod conversions;
mod deadlines;
mod draining;
mod ends;
mod errors;
mod expect;
mod failing_bodies;
mod fairness;
mod fields;
mod framing;
mod memory;
mod model;
mod panics;
mod peer_closed;
mod regressions;
mod splitting;
mod support;
mod unread_bodies;
mod upgrade;
