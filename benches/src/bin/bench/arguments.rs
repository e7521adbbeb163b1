//! The command line: one command, then flags with a value each.

use std::time::Duration;

use squall_benches::dialogue::{FRAME_LENGTH_MAX, Protocol};
use squall_benches::http::Head;
use squall_benches::load::Shape;

use crate::Outcome;
use crate::commands::Command;
use crate::flags;
use crate::kind::{Kind, PEERS};
use crate::report::SECTIONS;
use crate::subject::Subject;

pub struct Arguments {
    pub command: &'static Command,
    pub kind: Kind,
    /// Beside the reference and the peers.
    pub subjects: Vec<Subject>,
    /// The measurement is repeated for each.
    pub shapes: Vec<Shape>,
    /// None for what the command is used to.
    pub rounds: Option<usize>,
    pub slice: Duration,
    /// Bytes of a line, with its delimiter, or of a frame, without its digits.
    pub length: Option<usize>,
    pub head: Option<Head>,
    /// How many each idle connection has made.
    pub exchanges: usize,
    /// How many are made while strace or callgrind counts.
    pub requests: u64,
    /// How many times the instructions of the reference a subject may need.
    pub ratio_max: Option<f64>,
    /// How long each rate is observed.
    pub observed: Duration,
    /// Of what `rate` measures, by their names in `RATE_PARTS`.
    pub parts: Vec<&'static str>,
    /// Of the report, those to measure anew, by their names in `SECTIONS`.
    pub sections: Vec<&'static str>,
    /// By their names in `PEERS`. Those that are not installed are left out.
    pub peers: Vec<&'static str>,
}

impl Arguments {
    pub fn parse(words: &[String]) -> Outcome<Arguments> {
        let Some((command, flags)) = words.split_first() else {
            return Err(flags::help().into());
        };
        let command = Command::named(command)?;
        let mut arguments = Arguments::defaults(command)?;
        for pair in flags.chunks(2) {
            let [flag, value] = pair else {
                return Err(format!("{} needs a value", pair[0]).into());
            };
            flags::set(&mut arguments, flag, value)
                .map_err(|error| format!("{flag} {value}: {error}"))?;
        }
        arguments.check()?;
        if arguments.subjects.is_empty() {
            arguments.subjects = (command.subjects)(arguments.kind)?;
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
            Kind::HttpOnce => Protocol::Http(Head::Closing),
            // Its servers say where they listen; nobody asks them in lines.
            Kind::Bulk => Protocol::Echo {
                line_length: LINE_LENGTH,
            },
        }
    }

    /// Whom the subjects are compared with: the hand-written server, then the peers.
    pub fn reference_and_peers(&self) -> Outcome<Vec<Subject>> {
        let mut peers = self.kind.peers(&self.peers)?;
        peers.insert(0, self.kind.reference("reference")?);
        Ok(peers)
    }

    /// How often something that wants its turn often is measured.
    pub fn rounds(&self) -> usize {
        self.rounds.unwrap_or(24)
    }

    fn defaults(command: &'static Command) -> Outcome<Arguments> {
        let shapes = command.shapes.split(',').map(str::parse);
        Ok(Arguments {
            command,
            kind: command.kind,
            subjects: Vec::new(),
            shapes: shapes.collect::<Result<_, _>>()?,
            rounds: None,
            slice: Duration::from_millis(300),
            length: None,
            head: None,
            exchanges: 1,
            requests: 20_000,
            ratio_max: None,
            parts: RATE_PARTS.into(),
            observed: Duration::from_secs(10),
            sections: SECTIONS.map(|(name, _)| name).into(),
            peers: PEERS.iter().map(|peer| peer.name).collect(),
        })
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
        let mut shapes = self.shapes.iter();
        let is_load = |shape: &Shape| shape.depth > 1 || shape.per_second.is_some();
        if shapes.any(is_load) && !self.command.is_loading {
            return Err("--connections: this command only asks how many".into());
        }
        Ok(())
    }
}

/// What there is to know of a rate limiter.
pub const RATE_PARTS: [&str; 4] = ["exact", "fair", "cost", "many"];

const LINE_LENGTH: usize = 32;

const FRAME_LENGTH: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::COMMANDS;

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
            "syscalls --protocol echo --head browser",
            "syscalls --length 100",
            "idle --subject ./server --connections 10x2",
            "idle --subject ./server --connections 10@2",
            "flood --peers raw",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }

    #[test]
    fn order_of_flags_does_not_matter() {
        let line = "syscalls --head browser --protocol http --subject ./server";
        let arguments = parse(line).expect("arguments");
        assert_eq!(arguments.protocol(), Protocol::Http(Head::Browser));
    }

    #[test]
    fn every_command_has_shapes_and_flags_that_there_are() {
        for command in &COMMANDS {
            let defaults = Arguments::defaults(command).expect("shapes");
            assert!(!defaults.shapes.is_empty());
            let help = flags::help();
            for flag in command.flags.split_whitespace() {
                assert!(help.contains(&format!("  {flag} ")), "{flag}");
            }
        }
    }
}
