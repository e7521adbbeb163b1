//! Which core does what: the server has one to itself, the load generator another.

use rustix::io;
use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_setaffinity};

/// Pins the calling thread, and the threads and processes that it will start.
pub fn pin_load() -> io::Result<()> {
    sched_setaffinity(None, &only(LOAD_CORE))
}

/// Pins one thread of a server, or what runs only while the server stands still.
pub fn pin_server(thread: Pid) -> io::Result<()> {
    sched_setaffinity(Some(thread), &only(SERVER_CORE))
}

fn only(core: usize) -> CpuSet {
    let mut set = CpuSet::new();
    set.set(core);
    set
}

const SERVER_CORE: usize = 0;
const LOAD_CORE: usize = 1;
