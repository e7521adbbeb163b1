//! The commands and flags there are, and what they mean.

use std::time::Duration;

use squall_benches::dialogue::{DEPTH_MAX, LINE_LENGTH_MAX};
use squall_benches::http::Head;
use squall_benches::load::Shape;

use crate::Outcome;
use crate::arguments::{Arguments, Command, Kind, PEERS, RATE_PARTS};
use crate::subject::Subject;

pub fn command(name: &str) -> Outcome<Command> {
    let command = COMMANDS.iter().find(|(known, ..)| *known == name);
    let (_, command, _) = command.ok_or(format!("there is no command {name}; see --help"))?;
    Ok(*command)
}

pub fn set(arguments: &mut Arguments, name: &str, value: &str) -> Outcome<()> {
    let flag = FLAGS.iter().find(|flag| flag.name == name);
    let flag = flag.ok_or("no such flag")?;
    if !flag.commands.contains(&arguments.command) {
        return Err("this command has no such flag".into());
    }
    (flag.set)(arguments, value)
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

/// From `CONNECTIONS` or `CONNECTIONSxDEPTH`.
fn shape(text: &str) -> Outcome<Shape> {
    let (connections, depth) = text.split_once('x').unwrap_or((text, "1"));
    Ok(Shape {
        connections: between(1, CONNECTIONS_MAX, connections)?,
        depth: between(1, DEPTH_MAX, depth)?,
    })
}

const COMMANDS: [(&str, Command, &str); 9] = [
    (
        "echo",
        Command::Echo,
        "requests per CPU-second, as a ratio to raw_echo and to a null test",
    ),
    (
        "frames",
        Command::Frames,
        "the same for frames, a length and so many bytes, and raw_frames",
    ),
    ("http", Command::Http, "the same for HTTP and raw_http"),
    (
        "syscalls",
        Command::Syscalls,
        "system calls for each request, counted by strace",
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
    (
        "kill",
        Command::Kill,
        "what is lost when a worker is killed, and when another is there",
    ),
    (
        "rate",
        Command::Rate,
        "how exact, fair and cheap rate limiters are",
    ),
];

const FLAGS: [Flag; 12] = [
    Flag {
        name: "--subject",
        value: "[NAME[@ADDRESS:PORT]=]COMMAND",
        commands: &[
            Command::Echo,
            Command::Frames,
            Command::Http,
            Command::Syscalls,
            Command::Idle,
            Command::Flood,
            Command::Drain,
            Command::Kill,
            Command::Rate,
        ],
        purpose: "a server to measure, any number of times; idle, flood, drain: else the raw one",
        set: |arguments, value| {
            arguments.subjects.push(Subject::parse(value)?);
            Ok(())
        },
    },
    Flag {
        name: "--protocol",
        value: "echo|frames|http",
        commands: &[
            Command::Syscalls,
            Command::Idle,
            Command::Flood,
            Command::Drain,
            Command::Kill,
        ],
        purpose: "what the subjects speak (echo)",
        set: |arguments, value| {
            arguments.kind = match value {
                "echo" => Kind::Echo,
                "frames" => Kind::Frames,
                "http" => Kind::Http,
                _ => return Err("no such protocol".into()),
            };
            Ok(())
        },
    },
    Flag {
        name: "--connections",
        value: "N[xDEPTH][,...]",
        commands: &[
            Command::Echo,
            Command::Frames,
            Command::Http,
            Command::Syscalls,
            Command::Idle,
            Command::Drain,
            Command::Kill,
        ],
        purpose: "how many, and how many requests each sends at once (echo, frames: 1,64,1024;
      http: 1,64,1024,64x16; syscalls: 1,64, over HTTP also 64x16; idle: 19000, over HTTP 10000;
      drain: 1000; kill: 64)",
        set: |arguments, value| {
            arguments.shapes = value.split(',').map(shape).collect::<Outcome<_>>()?;
            Ok(())
        },
    },
    Flag {
        name: "--rounds",
        value: "N",
        commands: &[Command::Echo, Command::Frames, Command::Http, Command::Rate],
        purpose:
            "how often each subject is loaded between two slices of the reference (24); rate: is
      measured with and without its limit (3)",
        set: |arguments, value| {
            arguments.rounds = between(1, 10_000, value)?;
            Ok(())
        },
    },
    Flag {
        name: "--slice",
        value: "SECONDS",
        commands: &[Command::Echo, Command::Frames, Command::Http],
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
        commands: &[Command::Echo, Command::Frames, Command::Syscalls],
        purpose: "of a line, with its delimiter (32), or of a frame, without its digits (100)",
        set: |arguments, value| {
            arguments.length = Some(between(2, LINE_LENGTH_MAX, value)?);
            Ok(())
        },
    },
    Flag {
        name: "--head",
        value: "small|browser",
        commands: &[Command::Http, Command::Syscalls, Command::Idle],
        purpose: "of an HTTP request: like wrk's, or 12 fields in 700 bytes (small)",
        set: |arguments, value| {
            arguments.head = Some(match value {
                "small" => Head::Small,
                "browser" => Head::Browser,
                _ => return Err("no such head".into()),
            });
            Ok(())
        },
    },
    Flag {
        name: "--peers",
        value: "NAME[,NAME...]",
        commands: &[Command::Http],
        purpose: "what to measure beside the subjects, or none (raw,hyper)",
        set: |arguments, value| {
            arguments.peers.clear();
            for name in value.split(',').filter(|name| *name != "none") {
                let peer = PEERS.iter().find(|(known, _)| *known == name);
                arguments.peers.push(peer.ok_or("no such peer")?.0);
            }
            Ok(())
        },
    },
    Flag {
        name: "--requests",
        value: "N",
        commands: &[Command::Syscalls],
        purpose: "made while strace counts (20000)",
        set: |arguments, value| {
            arguments.requests = between(1, 100_000_000, value)? as u64;
            Ok(())
        },
    },
    Flag {
        name: "--exchanges",
        value: "N",
        commands: &[Command::Idle],
        purpose: "requests that each connection makes before it idles (1)",
        set: |arguments, value| {
            arguments.exchanges = between(0, 1000, value)?;
            Ok(())
        },
    },
    Flag {
        name: "--parts",
        value: "exact|fair|cost|many[,...]",
        commands: &[Command::Rate],
        purpose: "what to measure: the total, shares, CPU time, CPU time of 10,000 streams (all of it)",
        set: |arguments, value| {
            arguments.parts.clear();
            for name in value.split(',') {
                let part = RATE_PARTS.iter().find(|known| **known == name);
                arguments.parts.push(part.ok_or("no such part")?);
            }
            Ok(())
        },
    },
    Flag {
        name: "--seconds",
        value: "N",
        commands: &[Command::Rate],
        purpose: "how long each rate is observed (10)",
        set: |arguments, value| {
            arguments.observed = Duration::try_from_secs_f64(value.parse()?)?;
            if arguments.observed < OBSERVED_MIN {
                return Err("too short to measure anything".into());
            }
            Ok(())
        },
    },
];

const NOTES: &str = "
A subject is a program, by its path, with arguments of its own if need be. It is given
--address 127.0.0.1 --port 0 and prints `listening on ADDRESS:PORT` once it is ready. With an
address behind its name it is a shell command that listens there and prints nothing. It runs on
core 0, the load generator on core 1. Processes that a server forks are counted while they live.
";

/// What a process may hold here, less what it needs for itself, is less than that anyway.
const CONNECTIONS_MAX: usize = 1_000_000;

/// A few clock ticks of the kernel.
const SLICE_MIN: Duration = Duration::from_millis(10);

/// Of which the shortest part that is observed is a fifth.
const OBSERVED_MIN: Duration = Duration::from_millis(100);
