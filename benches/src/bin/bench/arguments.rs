//! The command line: one command, then flags with a value each.

use std::time::Duration;

use squall_benches::client::LINE_LENGTH_MAX;

use crate::Outcome;
use crate::server::Subject;

#[derive(Clone, Copy, PartialEq)]
pub enum Command {
    Echo,
    Syscalls,
    Idle,
    Flood,
    Drain,
}

pub struct Arguments {
    pub command: Command,
    /// The hand-written server if the command line names none, and the command does not add it
    /// to every comparison anyway.
    pub subjects: Vec<Subject>,
    /// How many at a time; the measurement is repeated for each.
    pub connections: Vec<usize>,
    pub rounds: usize,
    pub slice: Duration,
    /// Bytes of a line, with its delimiter.
    pub line_length: usize,
    /// How many each idle connection has exchanged.
    pub lines: usize,
    /// How many lines are sent while strace counts.
    pub requests: u64,
}

impl Arguments {
    pub fn parse(words: &[String]) -> Outcome<Arguments> {
        let Some((command, flags)) = words.split_first() else {
            return Err(help().into());
        };
        let Some((_, command, _)) = COMMANDS.iter().find(|(name, ..)| name == command) else {
            return Err(format!("there is no command {command}; see --help").into());
        };
        let mut arguments = Arguments::defaults(*command);
        for pair in flags.chunks(2) {
            let [flag, value] = pair else {
                return Err(format!("{} needs a value", pair[0]).into());
            };
            arguments
                .set(flag, value)
                .map_err(|error| format!("{flag} {value}: {error}"))?;
        }
        let compares = matches!(command, Command::Echo | Command::Syscalls);
        if arguments.subjects.is_empty() && !compares {
            arguments.subjects.push(Subject::reference("raw_echo")?);
        }
        Ok(arguments)
    }

    fn defaults(command: Command) -> Arguments {
        let connections = match command {
            Command::Echo => vec![1, 64, 1024],
            Command::Syscalls => vec![1, 64],
            Command::Idle => vec![19_000],
            Command::Flood => vec![200],
            Command::Drain => vec![1000],
        };
        Arguments {
            command,
            subjects: Vec::new(),
            connections,
            rounds: 24,
            slice: Duration::from_millis(300),
            line_length: 32,
            lines: 1,
            requests: 20_000,
        }
    }

    fn set(&mut self, name: &str, value: &str) -> Outcome<()> {
        let flag = FLAGS
            .iter()
            .find(|flag| flag.name == name)
            .ok_or("no such flag")?;
        if !flag.commands.contains(&self.command) {
            return Err("this command has no such flag".into());
        }
        (flag.set)(self, value)
    }
}

/// What `--help` prints.
pub fn help() -> String {
    let mut text = String::from("usage: bench COMMAND [FLAG VALUE ...]\n\ncommands:\n");
    for (name, _, purpose) in COMMANDS {
        text += &format!("  {name:<10}{purpose}\n");
    }
    text += "\nflags:\n";
    for flag in &FLAGS {
        let takers = COMMANDS
            .iter()
            .filter(|(_, command, _)| flag.commands.contains(command));
        let takers: Vec<&str> = takers.map(|(name, ..)| *name).collect();
        let usage = format!("{} {}", flag.name, flag.value);
        text += &format!("  {usage}  ({})\n", takers.join(", "));
        text += &format!("      {}\n", flag.purpose);
    }
    text + NOTES
}

struct Flag {
    name: &'static str,
    value: &'static str,
    commands: &'static [Command],
    purpose: &'static str,
    set: fn(&mut Arguments, &str) -> Outcome<()>,
}

fn between(lowest: usize, highest: usize, text: &str) -> Outcome<usize> {
    let number = text.parse()?;
    if (lowest..=highest).contains(&number) {
        Ok(number)
    } else {
        Err(format!("not between {lowest} and {highest}").into())
    }
}

const COMMANDS: [(&str, Command, &str); 5] = [
    (
        "echo",
        Command::Echo,
        "requests per CPU-second, as a ratio to raw_echo and to a null test",
    ),
    (
        "syscalls",
        Command::Syscalls,
        "system calls for each line, counted by strace",
    ),
    (
        "idle",
        Command::Idle,
        "memory and CPU time of idle connections",
    ),
    (
        "flood",
        Command::Flood,
        "more clients than the server has descriptors",
    ),
    (
        "drain",
        Command::Drain,
        "how long the server takes to end after SIGINT",
    ),
];

const FLAGS: [Flag; 7] = [
    Flag {
        name: "--subject",
        value: "[NAME=]COMMAND",
        commands: &[
            Command::Echo,
            Command::Syscalls,
            Command::Idle,
            Command::Flood,
            Command::Drain,
        ],
        purpose: "a server to measure, any number of times; idle, flood, drain: else raw_echo",
        set: |arguments, value| {
            arguments.subjects.push(Subject::parse(value)?);
            Ok(())
        },
    },
    Flag {
        name: "--connections",
        value: "N[,N...]",
        commands: &[
            Command::Echo,
            Command::Syscalls,
            Command::Idle,
            Command::Drain,
        ],
        purpose: "how many (echo: 1,64,1024; syscalls: 1,64; idle: 19000; drain: 1000)",
        set: |arguments, value| {
            let counts = value
                .split(',')
                .map(|count| between(1, CONNECTIONS_MAX, count));
            arguments.connections = counts.collect::<Outcome<_>>()?;
            Ok(())
        },
    },
    Flag {
        name: "--rounds",
        value: "N",
        commands: &[Command::Echo],
        purpose: "how often each subject is loaded between two slices of the reference (24)",
        set: |arguments, value| {
            arguments.rounds = between(1, 10_000, value)?;
            Ok(())
        },
    },
    Flag {
        name: "--slice",
        value: "SECONDS",
        commands: &[Command::Echo],
        purpose: "how long a server is loaded at a time (0.3)",
        set: |arguments, value| {
            arguments.slice = Duration::try_from_secs_f64(value.parse()?)?;
            if arguments.slice < SLICE_MIN {
                return Err("too short to measure anything".into());
            }
            Ok(())
        },
    },
    Flag {
        name: "--length",
        value: "BYTES",
        commands: &[Command::Echo, Command::Syscalls],
        purpose: "of a line, with its delimiter (32)",
        set: |arguments, value| {
            arguments.line_length = between(2, LINE_LENGTH_MAX, value)?;
            Ok(())
        },
    },
    Flag {
        name: "--requests",
        value: "N",
        commands: &[Command::Syscalls],
        purpose: "lines sent while strace counts (20000)",
        set: |arguments, value| {
            arguments.requests = between(1, 100_000_000, value)? as u64;
            Ok(())
        },
    },
    Flag {
        name: "--lines",
        value: "N",
        commands: &[Command::Idle],
        purpose: "that each connection exchanges before it idles (1)",
        set: |arguments, value| {
            arguments.lines = between(0, 1000, value)?;
            Ok(())
        },
    },
];

const NOTES: &str = "
A subject is a program, by its path, with arguments of its own if need be. It is given
--address 127.0.0.1 --port 0 and prints `listening on ADDRESS:PORT` once it is ready. It runs on
core 0, the load generator on core 1. Processes that a server forks are not counted.
";

/// What a process may hold here, less what it needs for itself, is less than that anyway.
const CONNECTIONS_MAX: usize = 1_000_000;

/// A few clock ticks of the kernel.
const SLICE_MIN: Duration = Duration::from_millis(10);
