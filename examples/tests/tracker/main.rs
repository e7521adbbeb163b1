//! The program `tracker` as its clients see it, over HTTP and UDP.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod bad_input;
mod catalogue;
mod http;
mod server;
mod state;
mod udp;
