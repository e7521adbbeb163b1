//! A line echo server under test: how it is named, started and found.

use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::process::Process;
use crate::{Outcome, cores, usage};

/// A program that takes `--address` and `--port` and prints `listening on ADDRESS:PORT`.
pub struct Subject {
    pub name: String,
    /// The program, then arguments of its own.
    command: Vec<String>,
}

impl Subject {
    /// From `[NAME=]PROGRAM [ARGUMENT ...]`; without a name it is called like the program's file.
    pub fn parse(text: &str) -> Outcome<Subject> {
        let (name, command) = match text.split_once('=') {
            Some((name, command)) if !name.contains(['/', ' ']) => (name, command),
            _ => (file_name(text), text),
        };
        let command: Vec<String> = command.split_whitespace().map(String::from).collect();
        if command.is_empty() {
            return Err(format!("--subject {text}: no program").into());
        }
        Ok(Subject {
            name: name.to_string(),
            command,
        })
    }

    /// The hand-written server, which is built beside this program.
    pub fn reference(name: &str) -> Outcome<Subject> {
        let program = std::env::current_exe()?.with_file_name("raw_echo");
        let program = program
            .into_os_string()
            .into_string()
            .map_err(|_| "path is not UTF-8")?;
        Ok(Subject {
            name: name.to_string(),
            command: vec![program],
        })
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.command[0]);
        command
            .args(&self.command[1..])
            .args(["--address", "127.0.0.1", "--port", "0"]);
        command
    }

    fn command_with_descriptors(&self, maximum: usize) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("ulimit -n {maximum}; exec \"$0\" \"$@\"")]);
        command
            .arg(&self.command[0])
            .args(self.command().get_args());
        command
    }
}

/// One running server, on a core that it shares with the other servers only.
pub struct Server {
    pub process: Process,
    pub address: SocketAddr,
}

impl Server {
    pub fn start(subject: &Subject) -> Outcome<Server> {
        Server::start_command(subject, subject.command())
    }

    pub fn start_with_descriptors(subject: &Subject, maximum: usize) -> Outcome<Server> {
        Server::start_command(subject, subject.command_with_descriptors(maximum))
    }

    fn start_command(subject: &Subject, mut command: Command) -> Outcome<Server> {
        let failed = |what: String| format!("{} ({}): {what}", subject.name, subject.command[0]);
        let process = Process::start(&mut command).map_err(|error| failed(error.to_string()))?;
        let deadline = Instant::now() + START_TIMEOUT;
        let mut printed = Vec::new();
        while let Some(line) = process.next_line(deadline) {
            if let Some(address) = address_in(&line) {
                usage::threads(process.pid())?
                    .into_iter()
                    .try_for_each(cores::pin_server)?;
                return Ok(Server { process, address });
            }
            printed.push(line);
        }
        Err(failed(format!(
            "did not say where it listens, but: {}",
            printed.join("\n")
        ))
        .into())
    }

    /// On a processor, all threads together.
    pub fn cpu_time(&self) -> Outcome<Duration> {
        // A thread's figure is brought up to date when it goes to sleep. The echo that ended the
        // measurement went out a moment before the server did.
        std::thread::sleep(GOES_TO_SLEEP);
        Ok(usage::cpu_time(self.process.pid())?)
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

fn file_name(text: &str) -> &str {
    let program = text.split_whitespace().next().unwrap_or_default();
    program.rsplit('/').next().unwrap_or(program)
}

const START_TIMEOUT: Duration = Duration::from_secs(10);

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

    #[test]
    fn equals_sign_in_an_argument_is_not_taken_for_a_name() {
        let subject = Subject::parse("./echo --mode=fast").expect("a subject");
        assert_eq!(subject.name, "echo");
        let subject = Subject::parse("old=./echo --mode=fast").expect("a subject");
        assert_eq!(subject.name, "old");
        assert_eq!(subject.command, ["./echo", "--mode=fast"]);
    }
}
