//! The command line: one command, then flags with a value each.

use std::time::Duration;

use squall_benches::dialogue::{FRAME_LENGTH_MAX, Protocol};
use squall_benches::http::Head;
use squall_benches::load::Shape;

use crate::Outcome;
use crate::flags;
use crate::rate_aria2;
use crate::subject::Subject;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Command {
    Echo,
    Frames,
    Http,
    Syscalls,
    Idle,
    Flood,
    Drain,
    Kill,
    Rate,
}

/// What the subjects speak.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    Echo,
    Frames,
    Http,
}

pub struct Arguments {
    pub command: Command,
    pub kind: Kind,
    /// The hand-written server if the command line names none, and the command does not add it
    /// to every comparison anyway.
    pub subjects: Vec<Subject>,
    /// The measurement is repeated for each; empty until all flags are known.
    pub shapes: Vec<Shape>,
    pub rounds: usize,
    pub slice: Duration,
    /// Bytes of a line, with its delimiter, or of a frame, without its digits.
    pub length: Option<usize>,
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
            arguments
                .subjects
                .push(Subject::parse(rate_aria2::PROGRAM)?);
        }
        if arguments.subjects.is_empty() && !arguments.compares() {
            let reference = arguments.reference(arguments.reference_program())?;
            arguments.subjects.push(reference);
        }
        Ok(arguments)
    }

    pub fn protocol(&self) -> Protocol {
        match self.kind {
            Kind::Echo => Protocol::Echo {
                line_length: self.length.unwrap_or(LINE_LENGTH),
            },
            Kind::Frames => Protocol::Frames {
                length: self.length.unwrap_or(FRAME_LENGTH),
            },
            Kind::Http => Protocol::Http(self.head.unwrap_or(Head::Small)),
        }
    }

    /// The hand-written server, which the others are held against.
    pub fn reference(&self, name: &str) -> Outcome<Subject> {
        Subject::built(self.reference_program(), name)
    }

    pub fn peers(&self) -> Outcome<Vec<Subject>> {
        if self.kind != Kind::Http {
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
            kind: match command {
                Command::Http => Kind::Http,
                Command::Frames => Kind::Frames,
                _ => Kind::Echo,
            },
            subjects: Vec::new(),
            shapes: Vec::new(),
            rounds: match command {
                Command::Rate => 3,
                _ => 24,
            },
            slice: Duration::from_millis(300),
            length: None,
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
        match (self.command, self.kind) {
            (Command::Echo | Command::Frames, _) => [1, 64, 1024].map(single).into(),
            (Command::Http, _) => vec![single(1), single(64), single(1024), pipelined],
            (Command::Syscalls, Kind::Http) => vec![single(1), single(64), pipelined],
            (Command::Syscalls, _) => [1, 64].map(single).into(),
            (Command::Idle, Kind::Http) => vec![single(10_000)],
            (Command::Idle, _) => vec![single(19_000)],
            (Command::Flood, _) => vec![single(200)],
            (Command::Drain, _) => vec![single(1000)],
            (Command::Kill, _) => vec![single(64)],
            // Its scenarios say how many.
            (Command::Rate, _) => Vec::new(),
        }
    }

    fn check(&self) -> Outcome<()> {
        if self.kind == Kind::Http && self.length.is_some() {
            return Err("--length is not for HTTP".into());
        }
        if self.kind == Kind::Frames && self.length.is_some_and(|length| length > FRAME_LENGTH_MAX)
        {
            return Err("--length: no frame is so long".into());
        }
        if self.kind != Kind::Http && self.head.is_some() {
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
        use Command::{Echo, Frames, Http, Syscalls};
        matches!(self.command, Echo | Frames | Http | Syscalls)
    }

    fn reference_program(&self) -> &'static str {
        match self.kind {
            Kind::Echo => "raw_echo",
            Kind::Frames => "raw_frames",
            Kind::Http => "raw_http",
        }
    }
}

/// What HTTP servers are compared with beside the reference: names, and the programs.
pub const PEERS: [(&str, &str); 2] = [("raw", "raw_http_canned"), ("hyper", "hyper_hello")];

/// What there is to know of a rate limiter.
pub const RATE_PARTS: [&str; 4] = ["exact", "fair", "cost", "many"];

/// What is measured if the command line names no rate-limited server.
const RATE_PEERS: [(&str, &str); 4] = [
    ("by-hand", BY_HAND),
    ("squall", "rate_squall"),
    ("governor", "rate_governor"),
    ("async-speed-limit", "rate_async_speed_limit"),
];

/// What sends at a limited rate without a limiter.
pub const BY_HAND: &str = "raw_rate";

const LINE_LENGTH: usize = 32;

const FRAME_LENGTH: usize = 100;

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
            "frames --head small",
            "frames --length 4096",
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
