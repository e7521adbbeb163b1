//! Connections in memory, on made-up time.

mod bad_input;
mod behaviour;
mod sharing;
mod support;
