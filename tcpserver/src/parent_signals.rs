//! The signals of a parent of workers: held back from it, and read one by one.
//!
//! Handlers would be in the way: a worker that is started again inherits them, and nothing safe
//! gives a signal its default effect back. A signal that is blocked keeps its effect, and whoever
//! unblocks it has it again.

use std::io;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Blocks the signals while it lives. It goes through a fork: each process that drops its own gets
/// its signals back, first of all those that have come in between. So a worker that handles one
/// keeps it until it does, and is not killed by one that comes a moment too early.
pub(crate) struct ParentSignals {
    fd: SignalFd,
    mask_before: SigSet,
}

impl ParentSignals {
    pub(crate) fn block() -> io::Result<ParentSignals> {
        let signals: SigSet = SIGNALS.into_iter().collect();
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        let fd = SignalFd::with_flags(&signals, flags)?;
        let mask_before = signals.thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
        Ok(ParentSignals { fd, mask_before })
    }

    /// Waits for a signal, for so long at most.
    pub(crate) fn wait(&self, limit: Duration) -> io::Result<()> {
        let limit = Timespec::try_from(limit).ok();
        let mut fds = [PollFd::new(&self.fd, PollFlags::IN)];
        match poll(&mut fds, limit.as_ref()) {
            // Of a signal that we do not read.
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// The next signal that has come, if any.
    pub(crate) fn next(&self) -> io::Result<Option<Signal>> {
        loop {
            match self.fd.read_signal() {
                Ok(None) => return Ok(None),
                Ok(Some(info)) => {
                    let number = i32::try_from(info.ssi_signo).map_err(io::Error::other)?;
                    return Ok(Some(Signal::try_from(number)?));
                }
                Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl Drop for ParentSignals {
    fn drop(&mut self) {
        // It cannot fail: the mask is one that the system gave us.
        let _ = self.mask_before.thread_set_mask();
    }
}

const SIGNALS: [Signal; 7] = [
    Signal::SIGCHLD,
    Signal::SIGHUP,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGTERM,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
];
