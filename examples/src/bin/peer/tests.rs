//! Connections in memory, on made-up time.

mod behaviour;
mod sharing;
mod support;
