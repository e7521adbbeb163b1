//! The one call of `fork`, and why it is sound.

use std::fs;
use std::io;
use std::process;

use rustix::process::{
    Pid, Signal, getpid, getppid, kill_process, set_parent_process_death_signal,
};

/// In which of the two processes a call of [`fork`] has returned.
pub(crate) enum Forked {
    Parent { child: Pid },
    Child,
}

/// Forks this process. The child ends when its parent does, however that ends.
#[expect(
    unsafe_code,
    reason = "no library can know that there is neither a loop nor another thread"
)]
pub(crate) fn fork() -> io::Result<Forked> {
    check_alone()?;
    let parent = getpid();
    // SAFETY: A child has a copy of the memory, but only the thread that has called: what another
    // thread was changing at that moment would stay half changed, and its locks locked for ever,
    // which is why POSIX lets the child of a process with threads do next to nothing. There is no
    // other thread, as `check_alone` has just made sure: only a thread can start a thread, this is
    // the only one, and it has been here since. So the child's memory is as whole as the parent's.
    //
    // Descriptors are shared with the parent rather than copied. Those of ordinary sockets and
    // files bear that; an event loop's poller does not, since its registrations are the parent's
    // too, and a loop's proof (`ioloop/src/sources.rs`) speaks of one process. No loop was ever
    // made.
    let result = unsafe { libc::fork() };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    if let Some(child) = Pid::from_raw(result) {
        return Ok(Forked::Parent { child });
    }
    end_with(parent);
    Ok(Forked::Child)
}

/// What must be so before this process may fork.
fn check_alone() -> io::Result<()> {
    if ioloop::loops_made() > 0 {
        return Err(io::Error::other(
            "cannot fork: this process has made an event loop, which its children would share; \
             fork before anything listens, sleeps or asks for the loop",
        ));
    }
    let threads = threads().map_err(|error| {
        let message = format!("cannot fork: cannot count this process's threads: {error}");
        io::Error::new(error.kind(), message)
    })?;
    if threads != 1 {
        return Err(io::Error::other(format!(
            "cannot fork: this process has {threads} threads, of which its children would have \
             one; fork before others are started",
        )));
    }
    Ok(())
}

fn threads() -> io::Result<usize> {
    fs::read_dir("/proc/self/task")?.try_fold(0, |count, entry| entry.map(|_| count + 1))
}

/// Has the system kill this process, a child, when its parent ends. Nothing that a parent does is
/// as sure: it may itself be killed.
fn end_with(parent: Pid) {
    let asked = set_parent_process_death_signal(Some(Signal::KILL));
    // It may have ended before we could ask. None is a parent outside of our process namespace.
    let is_orphan = getppid().is_some_and(|now| now != parent);
    if asked.is_err() || is_orphan {
        // Not an error to return: the caller would be the parent's code, in the wrong process.
        let _ = kill_process(getpid(), Signal::KILL);
        process::abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_thread_is_counted() {
        std::thread::scope(|scope| {
            let (sender, receiver) = std::sync::mpsc::channel::<()>();
            scope.spawn(move || receiver.recv());
            assert!(threads().unwrap() > 1);
            drop(sender);
        });
    }
}
