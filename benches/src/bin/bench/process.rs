//! A child process that does not outlive its owner, with the lines that it prints.

use std::io::{self, BufRead, BufReader, Read};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open, pidfd_send_signal};

use crate::usage;

/// Killed and waited for when dropped, with the processes that it has forked.
pub struct Process {
    child: Child,
    /// What it prints on standard output and standard error.
    lines: Receiver<String>,
}

impl Process {
    pub fn start(command: &mut Command) -> io::Result<Process> {
        let streams = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = streams.spawn()?;
        let (sender, lines) = sync_channel(LINES_KEPT);
        collect(child.stdout.take(), sender.clone());
        collect(child.stderr.take(), sender);
        Ok(Process { child, lines })
    }

    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        Ok(kill_process(self.pid(), signal)?)
    }

    /// The next line that it prints before `deadline`; none when it has closed its output.
    pub fn next_line(&self, deadline: Instant) -> Option<String> {
        self.lines
            .recv_timeout(deadline.saturating_duration_since(Instant::now()))
            .ok()
    }

    /// What it has printed since the last call. Once it has ended that is all of it.
    pub fn printed(&self) -> Vec<String> {
        let deadline = Instant::now() + OUTPUT_SETTLES;
        std::iter::from_fn(|| self.next_line(deadline)).collect()
    }

    /// Waits until it has ended, and kills it if it has not after `patience`.
    pub fn wait(&mut self, patience: Duration) -> io::Result<ExitStatus> {
        if !self.ends_within(patience)? {
            self.kill()?;
        }
        self.child.wait()
    }

    pub fn has_ended(&self) -> io::Result<bool> {
        self.ends_within(Duration::ZERO)
    }

    /// A descriptor that is readable once the process has ended.
    pub fn ended(&self) -> io::Result<OwnedFd> {
        Ok(pidfd_open(self.pid(), PidfdFlags::empty())?)
    }

    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    fn ends_within(&self, patience: Duration) -> io::Result<bool> {
        ends_within(&self.ended()?, patience)
    }

    /// Its children do not end by themselves when it is killed. They go after it, or it would fork
    /// others in their place.
    fn kill(&mut self) -> io::Result<()> {
        // Once it was waited for, its number may be somebody else's.
        if self.child.try_wait()?.is_some() {
            return Ok(());
        }
        let family = usage::family(self.pid())?;
        self.child.kill()?;
        for &descendant in &family[1..] {
            // Fails when it has ended by itself.
            if let Ok(ended) = pidfd_open(descendant, PidfdFlags::empty()) {
                pidfd_send_signal(&ended, Signal::KILL)?;
                // Until then it has the address that the next server wants.
                ends_within(&ended, DIES)?;
            }
        }
        Ok(())
    }
}

fn ends_within(ended: &OwnedFd, patience: Duration) -> io::Result<bool> {
    let timeout = Timespec::try_from(patience).map_err(io::Error::other)?;
    Ok(poll(&mut [PollFd::new(ended, PollFlags::IN)], Some(&timeout))? > 0)
}

impl Drop for Process {
    fn drop(&mut self) {
        // Fails when there is nothing left to do.
        let _ = self.kill();
        let _ = self.child.wait();
    }
}

/// Reads on a thread of its own, so that a process which prints much is never blocked.
fn collect(stream: Option<impl Read + Send + 'static>, lines: SyncSender<String>) {
    let Some(stream) = stream else { return };
    thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            // What nobody has asked for is lost when there is too much of it.
            let _ = lines.try_send(line);
        }
    });
}

const LINES_KEPT: usize = 1000;

/// How long the reading threads take at most to hand over what is in the pipes.
const OUTPUT_SETTLES: Duration = Duration::from_millis(200);

/// Closing some ten thousand connections takes a killed process less.
const DIES: Duration = Duration::from_secs(2);
