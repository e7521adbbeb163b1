//! What the hand-written servers have in common: the event loop, and for HTTP the connection.

pub mod http;
pub mod server;
