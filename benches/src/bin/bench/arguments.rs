//! The command line: one command, then flags with a value each.

use std::time::Duration;

use squall_benches::dialogue::Protocol;
use squall_benches::http::Head;
use squall_benches::load::Shape;

use crate::Outcome;
use crate::flags;
use crate::subject::Subject;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Command {
    Echo,
    Http,
    Syscalls,
    Idle,
    Flood,
    Drain,
    Rate,
}

pub struct Arguments {
    pub command: Command,
    /// False for echo.
    pub http: bool,
    /// The hand-written server if the command line names none, and the command does not add it
    /// to every comparison anyway.
    pub subjects: Vec<Subject>,
    /// The measurement is repeated for each; empty until all flags are known.
    pub shapes: Vec<Shape>,
    pub rounds: usize,
    pub slice: Duration,
    /// Bytes of a line, with its delimiter.
    pub line_length: Option<usize>,
    pub head: Option<Head>,
    /// How many each idle connection has made.
    pub exchanges: usize,
    /// How many are made while strace counts.
    pub requests: u64,
    /// How long each rate is observed.
    pub observed: Duration,
    /// Of what `rate` measures, by their names in `RATE_PARTS`.
    pub parts: Vec<&'static str>,
    /// By their names in `PEERS`.
    pub peers: Vec<&'static str>,
}

impl Arguments {
    pub fn parse(words: &[String]) -> Outcome<Arguments> {
        let Some((command, flags)) = words.split_first() else {
            return Err(flags::help().into());
        };
        let command = flags::command(command)?;
        let mut arguments = Arguments::defaults(command);
        for pair in flags.chunks(2) {
            let [flag, value] = pair else {
                return Err(format!("{} needs a value", pair[0]).into());
            };
            flags::set(&mut arguments, flag, value)
                .map_err(|error| format!("{flag} {value}: {error}"))?;
        }
        arguments.check()?;
        if arguments.shapes.is_empty() {
            arguments.shapes = arguments.default_shapes();
        }
        if arguments.subjects.is_empty() && command == Command::Rate {
            for (name, program) in RATE_PEERS {
                arguments.subjects.push(Subject::built(program, name)?);
            }
        }
        if arguments.subjects.is_empty() && !arguments.compares() {
            let reference = arguments.reference(arguments.reference_program())?;
            arguments.subjects.push(reference);
        }
        Ok(arguments)
    }

    pub fn protocol(&self) -> Protocol {
        if self.http {
            Protocol::Http(self.head.unwrap_or(Head::Small))
        } else {
            let line_length = self.line_length.unwrap_or(LINE_LENGTH);
            Protocol::Echo { line_length }
        }
    }

    /// The hand-written server, which the others are held against.
    pub fn reference(&self, name: &str) -> Outcome<Subject> {
        Subject::built(self.reference_program(), name)
    }

    pub fn peers(&self) -> Outcome<Vec<Subject>> {
        if !self.http {
            return Ok(Vec::new());
        }
        let chosen = PEERS.iter().filter(|(name, _)| self.peers.contains(name));
        chosen
            .map(|(name, program)| Subject::built(program, name))
            .collect()
    }

    fn defaults(command: Command) -> Arguments {
        Arguments {
            command,
            http: command == Command::Http,
            subjects: Vec::new(),
            shapes: Vec::new(),
            rounds: 24,
            slice: Duration::from_millis(300),
            line_length: None,
            head: None,
            exchanges: 1,
            requests: 20_000,
            parts: RATE_PARTS.into(),
            observed: Duration::from_secs(10),
            peers: PEERS.map(|(name, _)| name).into(),
        }
    }

    fn default_shapes(&self) -> Vec<Shape> {
        let single = |connections| Shape {
            connections,
            depth: 1,
        };
        let pipelined = Shape {
            connections: 64,
            depth: 16,
        };
        match (self.command, self.http) {
            (Command::Echo, _) => [1, 64, 1024].map(single).into(),
            (Command::Http, _) => vec![single(1), single(64), single(1024), pipelined],
            (Command::Syscalls, false) => [1, 64].map(single).into(),
            (Command::Syscalls, true) => vec![single(1), single(64), pipelined],
            (Command::Idle, false) => vec![single(19_000)],
            (Command::Idle, true) => vec![single(10_000)],
            (Command::Flood, _) => vec![single(200)],
            (Command::Drain, _) => vec![single(1000)],
            // Its scenarios say how many.
            (Command::Rate, _) => Vec::new(),
        }
    }

    fn check(&self) -> Outcome<()> {
        if self.http && self.line_length.is_some() {
            return Err("--length is for echo only".into());
        }
        if !self.http && self.head.is_some() {
            return Err("--head is for HTTP only".into());
        }
        let is_pipelined = self.shapes.iter().any(|shape| shape.depth > 1);
        if is_pipelined && !self.compares() {
            return Err("--connections: this command sends one request at a time".into());
        }
        Ok(())
    }

    /// Whether the reference is measured along with the subjects.
    fn compares(&self) -> bool {
        use Command::{Echo, Http, Syscalls};
        matches!(self.command, Echo | Http | Syscalls)
    }

    fn reference_program(&self) -> &'static str {
        if self.http { "raw_http" } else { "raw_echo" }
    }
}

/// What HTTP servers are compared with beside the reference: names, and the programs.
pub const PEERS: [(&str, &str); 2] = [("raw", "raw_http_canned"), ("hyper", "hyper_hello")];

/// What there is to know of a rate limiter.
pub const RATE_PARTS: [&str; 3] = ["exact", "fair", "cost"];

/// What is measured if the command line names no rate-limited server.
const RATE_PEERS: [(&str, &str); 3] = [
    ("squall", "rate_squall"),
    ("governor", "rate_governor"),
    ("async-speed-limit", "rate_async_speed_limit"),
];

const LINE_LENGTH: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Outcome<Arguments> {
        let words: Vec<String> = line.split_whitespace().map(String::from).collect();
        Arguments::parse(&words)
    }

    #[test]
    fn flag_that_would_have_no_effect_is_refused() {
        for line in [
            "echo --head small",
            "http --length 100",
            "syscalls --head browser",
            "syscalls --protocol http --length 100",
            "idle --subject ./server --connections 10x2",
            "flood --peers raw",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }

    #[test]
    fn shape_is_connections_and_perhaps_a_depth() {
        let arguments = parse("http --connections 1,64x16").expect("arguments");
        let shapes: Vec<String> = arguments.shapes.iter().map(Shape::to_string).collect();
        assert_eq!(shapes, ["1", "64x16"]);
        for wrong in ["0", "64x0", "64x1000", "x16", "64x", "64x16x2"] {
            assert!(parse(&format!("http --connections {wrong}")).is_err());
        }
    }

    #[test]
    fn order_of_flags_does_not_matter() {
        let arguments = parse("syscalls --head browser --protocol http").expect("arguments");
        assert_eq!(arguments.protocol(), Protocol::Http(Head::Browser));
    }
}
