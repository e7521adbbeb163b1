//! The client side of the measurements: connections to a line echo server, one at a time or many in
//! a closed loop, and the latencies that they saw.

pub mod client;
pub mod histogram;
pub mod load;
