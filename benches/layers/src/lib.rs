//! What the measurements of single layers have in common.

mod compare;

pub use crate::compare::{Stopwatch, compare, nanoseconds_each};
