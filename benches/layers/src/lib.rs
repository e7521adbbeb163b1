//! What the measurements of single layers have in common.

mod compare;

pub use crate::compare::{compare, nanoseconds_each};
