//! One running server under test: how it is started, found and measured.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Pid;
use squall_benches::client::Client;
use squall_benches::dialogue::Protocol;

use crate::process::Process;
use crate::subject::Subject;
use crate::{Outcome, cores, usage};

/// A process, and those that it has forked, on a core that they share with other servers only.
pub struct Server {
    pub process: Process,
    pub address: SocketAddr,
}

impl Server {
    pub fn start(subject: &Subject, protocol: &Protocol) -> Outcome<Server> {
        Server::start_command(subject, subject.command(), protocol)
    }

    pub fn start_with_descriptors(
        subject: &Subject,
        protocol: &Protocol,
        maximum: usize,
    ) -> Outcome<Server> {
        Server::start_command(subject, subject.command_with_descriptors(maximum), protocol)
    }

    /// One that limits what it sends to `rate` bytes per second; 0 is no limit. It may keep a log.
    pub fn start_with_rate(subject: &Subject, rate: u64, is_logged: bool) -> Outcome<Server> {
        let mut command = subject.command();
        command.args(["--rate", &rate.to_string(), "--log", &is_logged.to_string()]);
        // It is not asked anything to see whether it is up: what it says is enough.
        Server::start_command(subject, command, &Protocol::Echo { line_length: 2 })
    }

    /// One whose instructions are counted, and written to `output` when it ends.
    pub fn start_under_callgrind(
        subject: &Subject,
        protocol: &Protocol,
        output: &Path,
    ) -> Outcome<Server> {
        let mut command = Command::new("valgrind");
        command.args(["--tool=callgrind", "--quiet"]);
        command.arg(format!("--callgrind-out-file={}", output.display()));
        let own = subject.command();
        command.arg(own.get_program()).args(own.get_args());
        Server::start_command(subject, command, protocol)
    }

    fn start_command(subject: &Subject, command: Command, protocol: &Protocol) -> Outcome<Server> {
        Server::launch(command, subject.address, protocol)
            .map_err(|error| format!("{} ({}): {error}", subject.name, subject.program()).into())
    }

    fn launch(
        mut command: Command,
        known_address: Option<SocketAddr>,
        protocol: &Protocol,
    ) -> Outcome<Server> {
        if let Some(address) = known_address {
            check_nobody_listens(address)?;
        }
        let process = Process::start(&mut command)?;
        let address = match known_address {
            Some(address) => {
                let ask = || Client::open(address, protocol, 0, 1).map(drop);
                wait_until_it_answers(&process, address, ask)?
            }
            None => wait_until_it_says_where(&process)?,
        };
        Server { process, address }.pinned()
    }

    /// A foreign one that listens on `address` and is ready when it accepts.
    pub fn start_that_accepts(mut command: Command, address: SocketAddr) -> Outcome<Server> {
        check_nobody_listens(address)?;
        let process = Process::start(&mut command)?;
        let ask = || TcpStream::connect(address).map(drop);
        wait_until_it_answers(&process, address, ask)?;
        Server { process, address }.pinned()
    }

    fn pinned(self) -> Outcome<Server> {
        for process in self.family()? {
            usage::threads(process)?
                .into_iter()
                .try_for_each(cores::pin_server)?;
        }
        Ok(self)
    }

    /// Its process and those that came of it.
    pub fn family(&self) -> Outcome<Vec<Pid>> {
        Ok(usage::family(self.process.pid())?)
    }

    /// On a processor, all threads of all its processes together.
    pub fn cpu_time(&self) -> Outcome<Duration> {
        // A thread's figure is brought up to date when it goes to sleep. The answer that ended the
        // measurement went out a moment before the server did.
        thread::sleep(GOES_TO_SLEEP);
        let times = self.family()?.into_iter().map(usage::cpu_time);
        Ok(times.sum::<Result<_, _>>()?)
    }

    /// As `cpu_time`, for a server that never goes to sleep: exact to a clock tick.
    pub fn cpu_time_now(&self) -> Outcome<Duration> {
        let times = self.family()?.into_iter().map(usage::cpu_time);
        Ok(times.sum::<Result<_, _>>()?)
    }

    /// Bytes of anonymous memory, of all its processes together.
    pub fn memory(&self) -> Outcome<u64> {
        let memory = self.family()?.into_iter().map(usage::anonymous_memory);
        Ok(memory.sum::<Result<_, _>>()?)
    }

    /// Passes on what the server has printed since it was ready.
    pub fn print_output(&self) {
        let lines = self.process.printed();
        for line in lines.iter().take(LINES_PRINTED) {
            println!("  printed: {line}");
        }
        if lines.len() > LINES_PRINTED {
            // More if it was a great deal: `Process` keeps no more than this.
            println!("  printed: {} lines more", lines.len() - LINES_PRINTED);
        }
    }
}

fn wait_until_it_says_where(process: &Process) -> Outcome<SocketAddr> {
    let deadline = Instant::now() + START_TIMEOUT;
    let mut printed = Vec::new();
    while let Some(line) = process.next_line(deadline) {
        if let Some(address) = address_in(&line) {
            return Ok(address);
        }
        printed.push(line);
    }
    let printed = printed.join("\n");
    Err(format!("did not say where it listens, but: {printed}").into())
}

fn address_in(line: &str) -> Option<SocketAddr> {
    let place = line
        .strip_prefix("listening on ")?
        .split_whitespace()
        .next()?;
    place
        .trim_start_matches("http://")
        .trim_end_matches('/')
        .parse()
        .ok()
}

/// Or a server that cannot start would be mistaken for the one that already has its address.
fn check_nobody_listens(address: SocketAddr) -> Outcome<()> {
    match TcpStream::connect(address) {
        Ok(_) => Err(format!("somebody already listens on {address}").into()),
        Err(_) => Ok(()),
    }
}

/// An answer also shows that the process which gives it has been forked.
fn wait_until_it_answers(
    process: &Process,
    address: SocketAddr,
    ask: impl Fn() -> io::Result<()>,
) -> Outcome<SocketAddr> {
    let deadline = Instant::now() + START_TIMEOUT;
    loop {
        let error = match ask() {
            Ok(()) => return Ok(address),
            Err(error) => error,
        };
        if process.has_ended()? || Instant::now() > deadline {
            let printed = process.printed().join("\n");
            return Err(format!("does not answer on {address}: {error}; {printed}").into());
        }
        thread::sleep(STARTS);
    }
}

const START_TIMEOUT: Duration = Duration::from_secs(10);

/// Between two attempts to connect.
const STARTS: Duration = Duration::from_millis(20);

/// A server that complains about each client it cannot have says the same over and over.
const LINES_PRINTED: usize = 10;

const GOES_TO_SLEEP: Duration = Duration::from_millis(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_line_may_be_an_address_or_a_url() {
        let address = Some("127.0.0.1:80".parse().expect("an address"));
        assert_eq!(address_in("listening on 127.0.0.1:80"), address);
        assert_eq!(address_in("listening on http://127.0.0.1:80/"), address);
        assert_eq!(address_in("starting"), None);
    }
}
