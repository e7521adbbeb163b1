//! What tests share: a loop that fails instead of hanging, small steps on it, what was reported
//! meanwhile, and servers as programs.

mod on_loop;
mod reports;
mod server;
mod steps;

pub use on_loop::{on_loop, on_virtual_loop};
pub use reports::{capture_reports, remarks, reports};
pub use server::{Client, Ending, Server, Signal};
pub use steps::{attempt, counter, flag, increment, pattern, spawn, timed, turns, until};
