//! What the behaviour tests of the layers share: a loop that fails instead of hanging, small steps
//! on it, and what was reported meanwhile.

mod on_loop;
mod reports;
mod steps;

pub use on_loop::{on_loop, on_virtual_loop};
pub use reports::{capture_reports, remarks, reports};
pub use steps::{attempt, counter, flag, increment, pattern, spawn, timed, turns, until};
