//! Connections in memory, on made-up time.
