//! The parent of workers: starts them, waits for them, passes signals on, and leaves none behind.

use std::io;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal as Received;
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, kill_process, waitpid};

use crate::fork::{Forked, fork};
use crate::parent_signals::ParentSignals;
use crate::processes::{Role, become_worker};
use crate::restarts::{Ending, Order, Restarts, Verdict};

/// Forks so many workers and returns in each; in the parent when all have ended. There, `forked`
/// is called when all run and no signal is missed any more, and `ending` when none will be started
/// again. With its role each process gets the signals, which are held back as long as it keeps them.
pub(crate) fn supervise(
    workers: usize,
    max_restarts: usize,
    forked: impl FnOnce(),
    ending: impl FnOnce(),
) -> io::Result<(Role, ParentSignals)> {
    // Before the first fork: a signal that comes early must reach the workers too.
    let signals = ParentSignals::block()?;
    let mut parent = Parent {
        running: vec![None; workers],
        restarts: Restarts::new(workers, max_restarts),
        beginning: now(),
        failure: None,
    };
    while let Some(id) = parent.restarts.due(Duration::ZERO) {
        if parent.start(id).map_err(|error| cannot_start(id, &error))? {
            return Ok((Role::Worker(id), signals));
        }
    }
    tracing::info!(workers, "started the workers");
    forked();

    let mut ending = Some(ending);
    while !parent.restarts.is_over() {
        signals.wait(parent.time_left())?;
        let mut must_end = false;
        while let Some(signal) = signals.next()? {
            must_end |= parent.receive(signal);
        }
        must_end |= parent.reap();
        if must_end {
            if let Some(ending) = ending.take() {
                ending();
            }
        }
        while let Some(id) = parent.restarts.due(parent.time()) {
            match parent.start(id) {
                Ok(true) => return Ok((Role::Worker(id), signals)),
                Ok(false) => {}
                Err(error) => {
                    tracing::error!(worker = id, %error, "cannot start a worker");
                    parent.judge(id, Ending::NotStarted);
                }
            }
        }
        let time = parent.time();
        if parent.restarts.must_kill(time) {
            tracing::warn!("workers have not ended in time; killing them");
            parent.send(Signal::KILL);
        }
    }
    // One more Ctrl-C, by somebody impatient, must not turn an orderly end into a death.
    while signals.next()?.is_some() {}
    match parent.failure.take() {
        None => Ok((Role::Parent, signals)),
        Some(failure) => Err(io::Error::other(failure)),
    }
}

struct Parent {
    /// The process of each worker that runs. It was not waited for yet, so that its number cannot
    /// have become another's.
    running: Vec<Option<Pid>>,
    restarts: Restarts,
    beginning: Instant,
    /// Why it gave up.
    failure: Option<String>,
}

impl Parent {
    /// Forks a worker. True in the worker.
    fn start(&mut self, id: usize) -> io::Result<bool> {
        match fork()? {
            Forked::Parent { child } => {
                self.running[id] = Some(child);
                self.restarts.started(id, self.time());
                let pid = child.as_raw_nonzero();
                tracing::debug!(worker = id, pid, "started a worker");
                Ok(false)
            }
            Forked::Child => {
                // Those are its parent's.
                self.running.clear();
                become_worker(id);
                Ok(true)
            }
        }
    }

    /// True if all must end.
    fn receive(&mut self, signal: Received) -> bool {
        let passed_on = match signal {
            Received::SIGHUP => {
                self.restarts.hung_up();
                self.send(Signal::HUP);
                return false;
            }
            Received::SIGUSR1 => return self.pass_on(Signal::USR1),
            Received::SIGUSR2 => return self.pass_on(Signal::USR2),
            Received::SIGINT => Signal::INT,
            Received::SIGQUIT => Signal::QUIT,
            Received::SIGTERM => Signal::TERM,
            // Of a child, which is waited for in any case.
            _ => return false,
        };
        match self.restarts.interrupted() {
            Order::PassOn => {
                let workers = self.running.iter().flatten().count();
                tracing::info!(%signal, workers, "ending the workers; a second signal kills them");
                self.send(passed_on);
            }
            Order::Kill => {
                tracing::warn!(%signal, "killing the workers");
                self.send(Signal::KILL);
            }
        }
        true
    }

    /// What it means is each worker's own affair. Nobody must end.
    fn pass_on(&self, signal: Signal) -> bool {
        self.send(signal);
        false
    }

    /// Looks which workers have ended. Only at our own: the process may have had other children
    /// before, whom somebody else waits for. True if all must end.
    fn reap(&mut self) -> bool {
        let mut must_end = false;
        for id in 0..self.running.len() {
            let Some(pid) = self.running[id] else {
                continue;
            };
            if let Some(ending) = how_it_ended(pid) {
                self.running[id] = None;
                must_end |= self.judge(id, ending);
            }
        }
        must_end
    }

    /// Decides about a worker that has ended. True if all must end.
    fn judge(&mut self, id: usize, ending: Ending) -> bool {
        let time = self.time();
        match self.restarts.ended(id, ending, time) {
            Verdict::Leave => {
                tracing::info!(worker = id, "a worker {ending}");
                false
            }
            Verdict::Restart(pause) => {
                tracing::warn!(worker = id, ?pause, "a worker {ending}; starting it again");
                false
            }
            Verdict::GiveUp => {
                let failure = format!("too many restarts of workers: worker {id} {ending}");
                tracing::error!(
                    worker = id,
                    "a worker {ending}; that is too many, giving up"
                );
                self.failure = Some(failure);
                self.send(Signal::TERM);
                true
            }
        }
    }

    fn send(&self, signal: Signal) {
        for pid in self.running.iter().flatten() {
            // A worker that has just ended is not waited for yet, and takes no harm.
            let _ = kill_process(*pid, signal);
        }
    }

    fn time(&self) -> Duration {
        now().duration_since(self.beginning)
    }

    fn time_left(&self) -> Duration {
        let next = self.restarts.next();
        let left = next.map_or(Duration::MAX, |next| next.saturating_sub(self.time()));
        left.min(LOOK_AGAIN)
    }
}

/// Whatever becomes of the parent's code, no worker stays. In a worker this finds none.
impl Drop for Parent {
    fn drop(&mut self) {
        self.send(Signal::KILL);
        for pid in self.running.iter().flatten() {
            let _ = waitpid(Some(*pid), WaitOptions::empty());
        }
    }
}

/// None while it runs.
fn how_it_ended(pid: Pid) -> Option<Ending> {
    let status: WaitStatus = match waitpid(Some(pid), WaitOptions::NOHANG) {
        Ok(None) | Err(Errno::INTR) => return None,
        Ok(Some((_, status))) => status,
        Err(_) => return Some(Ending::Unknown),
    };
    match (status.exit_status(), status.terminating_signal()) {
        (Some(status), _) => Some(Ending::Exited(status)),
        (None, Some(signal)) => Some(Ending::Killed(signal)),
        // Stopped or continued, of which we did not ask to be told.
        (None, None) => None,
    }
}

fn cannot_start(id: usize, error: &io::Error) -> io::Error {
    if error.raw_os_error().is_none() {
        // It says already what is wrong with the caller.
        return io::Error::new(error.kind(), error.to_string());
    }
    let reason = iostream::in_words(error);
    io::Error::new(error.kind(), format!("cannot fork worker {id}: {reason}"))
}

#[expect(
    clippy::disallowed_methods,
    reason = "a parent of workers has no loop, and so no loop's time"
)]
fn now() -> Instant {
    Instant::now()
}

/// A process that was started with `SIGCHLD` ignored, as some that start others do, is not told of
/// its children's ends: it has to look. Rare enough to cost nothing.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
