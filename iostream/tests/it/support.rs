//! What every test needs: a loop, and a look at streams and descriptors.

use std::cell::Cell;
use std::fmt;
use std::os::fd::{AsFd, AsRawFd};
use std::rc::Rc;

use iostream::OnClose;
pub(crate) use test_support::{
    attempt, on_loop, on_virtual_loop, pattern, reports, spawn, timed, turns, until,
};

/// How many bytes a stream holds that its transport has not taken; it is not in the interface.
pub(crate) fn queued(stream: &impl fmt::Debug) -> usize {
    number(stream, "queued: ")
}

/// How many bytes a stream holds that nobody has read.
pub(crate) fn unread(stream: &impl fmt::Debug) -> usize {
    number(stream, "unread: ")
}

fn number(stream: &impl fmt::Debug, name: &str) -> usize {
    let text = format!("{stream:?}");
    let (_, after) = text.split_once(name).unwrap();
    let (number, _) = after.split_once(',').unwrap();
    number.parse().unwrap()
}

/// Counts how often a stream said that it is closed.
#[derive(Default)]
pub(crate) struct Closes(Cell<usize>);

impl Closes {
    pub(crate) fn new() -> Rc<Closes> {
        Rc::default()
    }

    pub(crate) fn count(&self) -> usize {
        self.0.get()
    }
}

impl OnClose for Closes {
    fn closed(&self) {
        self.0.set(self.0.get() + 1);
    }
}

/// What a descriptor refers to, whatever its number: `socket:[4711]`. Other tests open and close
/// descriptors of their own meanwhile, so counting them would say nothing.
#[derive(Debug)]
pub(crate) struct File(std::path::PathBuf);

impl File {
    pub(crate) fn of(fd: &impl AsFd) -> File {
        let number = fd.as_fd().as_raw_fd();
        File(std::fs::read_link(format!("/proc/self/fd/{number}")).unwrap())
    }

    /// Whether any descriptor of this process refers to it.
    pub(crate) fn is_open(&self) -> bool {
        let descriptors = std::fs::read_dir("/proc/self/fd").unwrap();
        descriptors
            .filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok())
            .any(|target| target == self.0)
    }
}
