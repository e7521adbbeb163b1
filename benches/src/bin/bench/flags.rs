//! The flags there are, and what they mean.

use std::time::Duration;

use squall_benches::dialogue::LINE_LENGTH_MAX;
use squall_benches::http::Head;
use squall_benches::load::between;

use crate::Outcome;
use crate::arguments::{Arguments, RATE_PARTS};
use crate::commands::{COMMANDS, Command};
use crate::kind::{Kind, PEERS};
use crate::report::SECTIONS;
use crate::subject::Subject;

pub fn set(arguments: &mut Arguments, name: &str, value: &str) -> Outcome<()> {
    let flag = FLAGS.iter().find(|flag| flag.name == name);
    let flag = flag.ok_or("no such flag")?;
    if !arguments.command.takes(name) {
        return Err("this command has no such flag".into());
    }
    (flag.set)(arguments, value)
}

/// What `--help` prints.
pub fn help() -> String {
    let mut text = String::from("usage: bench COMMAND [FLAG VALUE ...]\n\ncommands:\n");
    for Command { name, purpose, .. } in &COMMANDS {
        text += &format!("  {name:<14}{purpose}\n");
    }
    text += "\nflags:\n";
    for flag in &FLAGS {
        let takers = COMMANDS.iter().filter(|command| command.takes(flag.name));
        let takers: Vec<&str> = takers.map(|command| command.name).collect();
        let usage = format!("{} {}", flag.name, flag.value);
        text += &format!("  {usage}  ({})\n", takers.join(", "));
        text += &format!("      {}\n", flag.purpose);
    }
    text + NOTES
}

struct Flag {
    name: &'static str,
    value: &'static str,
    purpose: &'static str,
    set: fn(&mut Arguments, &str) -> Outcome<()>,
}

const FLAGS: [Flag; 14] = [
    Flag {
        name: "--subject",
        value: "[NAME[@ADDRESS:PORT]=]COMMAND",
        purpose: "a server to measure, any number of times (the toolkit's; flood, drain: the raw one)",
        set: |arguments, value| {
            arguments.subjects.push(Subject::parse(value)?);
            Ok(())
        },
    },
    Flag {
        name: "--protocol",
        value: "echo|frames|http",
        purpose: "what the subjects speak (http; flood, drain: echo; kill: frames)",
        set: |arguments, value| {
            arguments.kind = Kind::named(value)?;
            Ok(())
        },
    },
    Flag {
        name: "--connections",
        value: "N[xDEPTH][@RATE][,...]",
        purpose: "how many, how many requests each sends at once (1), and how many all of them
      send per second, in an open loop (as soon as they are answered)",
        set: |arguments, value| {
            let shapes = value.split(',').map(str::parse);
            arguments.shapes = shapes.collect::<Result<_, _>>()?;
            Ok(())
        },
    },
    Flag {
        name: "--rounds",
        value: "N",
        purpose:
            "how often each subject is loaded between two slices of the reference (24); rate: is
      measured with and without its limit (3)",
        set: |arguments, value| {
            arguments.rounds = Some(between(1, 10_000, value)?);
            Ok(())
        },
    },
    Flag {
        name: "--slice",
        value: "SECONDS",
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
        purpose: "of a line, with its delimiter (32), or of a frame, without its digits (100)",
        set: |arguments, value| {
            arguments.length = Some(between(2, LINE_LENGTH_MAX, value)?);
            Ok(())
        },
    },
    Flag {
        name: "--head",
        value: "small|browser",
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
        purpose: "what to measure beside the subjects, or none (all there are of raw, tokio, hyper,
      nginx, tornado, node)",
        set: |arguments, value| {
            arguments.peers.clear();
            for name in value.split(',').filter(|name| *name != "none") {
                let peer = PEERS.iter().find(|peer| peer.name == name);
                arguments.peers.push(peer.ok_or("no such peer")?.name);
            }
            Ok(())
        },
    },
    Flag {
        name: "--requests",
        value: "N",
        purpose: "made while strace or callgrind counts (20000)",
        set: |arguments, value| {
            arguments.requests = between(1, 100_000_000, value)? as u64;
            Ok(())
        },
    },
    Flag {
        name: "--at-most",
        value: "RATIO",
        purpose: "to the reference; a subject that needs more is an error",
        set: |arguments, value| {
            arguments.ratio_max = Some(value.parse()?);
            Ok(())
        },
    },
    Flag {
        name: "--exchanges",
        value: "N",
        purpose: "requests that each connection makes before it idles (1)",
        set: |arguments, value| {
            arguments.exchanges = between(0, 1000, value)?;
            Ok(())
        },
    },
    Flag {
        name: "--sections",
        value: "NAME[,NAME...]",
        purpose: "to measure anew, or none; the others are taken from the report before (all)",
        set: |arguments, value| {
            arguments.sections.clear();
            for name in value.split(',').filter(|name| *name != "none") {
                let section = SECTIONS.iter().find(|(known, _)| *known == name);
                arguments.sections.push(section.ok_or("no such section")?.0);
            }
            Ok(())
        },
    },
    Flag {
        name: "--parts",
        value: "exact|fair|cost|many[,...]",
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

/// A few clock ticks of the kernel.
const SLICE_MIN: Duration = Duration::from_millis(10);

/// Of which the shortest part that is observed is a fifth.
const OBSERVED_MIN: Duration = Duration::from_millis(100);
