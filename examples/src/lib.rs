//! What every example needs: its flags, and log lines on standard error. What those with a page
//! share, and what `tracker` and `peer` do: bencode, and torrent files.

pub mod bencode;
pub mod bencode_write;
mod content_policy;
pub mod info_hash;
pub mod metainfo;

pub use crate::content_policy::content_policy;

use std::ffi::OsString;
use std::io::{IsTerminal, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::exit;
use std::str::FromStr;

use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// The command line of an example: `--NAME VALUE`, in any order, each name known to the example.
#[derive(Debug)]
pub struct Flags {
    /// How it is called, with its command if it has several.
    program: String,
    usage: &'static str,
    given: Vec<(String, String)>,
    words: Vec<OsString>,
}

impl Flags {
    /// Reads the command line and begins to log. `usage` names the flags beside `--address` and
    /// `--port`, which every example has, as in `"--timeout S"`; one without a value is followed by
    /// another or by nothing. If it ends with words that are no flags' values, as in
    /// `"--timeout S FILE"`, there may be [such words](Flags::words). On a flag that is not there,
    /// says so and ends the process.
    pub fn parse(program: &'static str, usage: &'static str) -> Flags {
        begin_logging();
        let mut flags = Flags::new(program.to_owned(), usage);
        flags.read(lexopt::Parser::from_env());
        flags
    }

    /// As [`parse`](Flags::parse), for an example that is several programs in one: the first word
    /// says which of the `commands`, each with its own usage. Returns that word as well.
    pub fn parse_command(
        program: &'static str,
        commands: &[(&'static str, &'static str)],
    ) -> (&'static str, Flags) {
        let mut parser = lexopt::Parser::from_env();
        let first = match parser.next() {
            Ok(Some(lexopt::Arg::Value(word))) => word,
            Ok(Some(lexopt::Arg::Long("help"))) => {
                for (name, usage) in commands {
                    Flags::new(format!("{program} {name}"), usage).print_usage();
                }
                exit(0);
            }
            _ => OsString::new(),
        };
        let command = commands.iter().find(|(name, _)| first == *name);
        let Some((name, usage)) = command else {
            let names: Vec<&str> = commands.iter().map(|(name, _)| *name).collect();
            let names = names.join(" or ");
            Flags::new(program.to_owned(), "").fail(&format!("the first word must be {names}"));
        };
        begin_logging();
        let mut flags = Flags::new(format!("{program} {name}"), usage);
        flags.read(parser);
        (name, flags)
    }

    /// The value of `--NAME`, or `default`.
    pub fn get<T: FromStr>(&self, name: &str, default: T) -> T {
        self.find(name).unwrap_or(default)
    }

    /// The value of `--NAME`, if it is given.
    pub fn find<T: FromStr>(&self, name: &str) -> Option<T> {
        let (_, text) = self.given.iter().rev().find(|(given, _)| given == name)?;
        let value = text.parse().ok();
        Some(value.unwrap_or_else(|| self.fail(&format!("--{name}: what is '{text}'?"))))
    }

    /// The values of `--NAME`, which may be given several times; empty ones of a flag without.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        let given = self.given.iter().filter(move |(given, _)| given == name);
        given.map(|(_, value)| value.as_str())
    }

    /// What is neither a flag nor its value, such as names of files.
    pub fn words(&self) -> &[OsString] {
        &self.words
    }

    /// `--address` and `--port`, by default 127.0.0.1 and 8888.
    pub fn address(&self) -> SocketAddr {
        let address = self.get("address", IpAddr::V4(Ipv4Addr::LOCALHOST));
        SocketAddr::new(address, self.get("port", 8888))
    }

    /// Says what is wrong with the command line, and ends the process.
    pub fn fail(&self, message: &str) -> ! {
        eprintln!("{}: {message} (--help lists the flags)", self.program);
        exit(2);
    }

    fn new(program: String, usage: &'static str) -> Flags {
        Flags {
            program,
            usage,
            given: Vec::new(),
            words: Vec::new(),
        }
    }

    fn read(&mut self, mut parser: lexopt::Parser) {
        loop {
            match parser.next() {
                Ok(None) => return,
                Ok(Some(lexopt::Arg::Long("help"))) => {
                    self.print_usage();
                    exit(0);
                }
                Ok(Some(lexopt::Arg::Value(word))) if self.takes_words() => self.words.push(word),
                Ok(Some(lexopt::Arg::Long(name))) if self.is_switch(name) => {
                    self.given.push((name.to_owned(), String::new()));
                }
                Ok(Some(lexopt::Arg::Long(name))) if self.is_known(name) => {
                    let name = name.to_owned();
                    match parser.value().map(|value| value.into_string()) {
                        Ok(Ok(value)) => self.given.push((name, value)),
                        _ => self.fail(&format!("--{name} needs a value")),
                    }
                }
                Ok(Some(argument)) => self.fail(&argument.unexpected().to_string()),
                Err(error) => self.fail(&error.to_string()),
            }
        }
    }

    fn is_known(&self, name: &str) -> bool {
        let flag = format!("--{name}");
        matches!(name, "address" | "port") || self.usage.split(' ').any(|word| word == flag)
    }

    /// It is known and has no value.
    fn is_switch(&self, name: &str) -> bool {
        let mut words = self.usage.split(' ');
        let is_there = words.any(|word| word.strip_prefix("--") == Some(name));
        is_there && words.next().is_none_or(|next| next.starts_with("--"))
    }

    /// The usage ends with more than the value of a flag.
    fn takes_words(&self) -> bool {
        let mut words = self.usage.rsplit(' ');
        let is_word = |word: Option<&str>| word.is_some_and(|word| !word.starts_with("--"));
        is_word(words.next()) && is_word(words.next())
    }

    fn print_usage(&self) {
        println!(
            "usage: {} --address A --port P {}",
            self.program, self.usage
        );
    }
}

/// Log lines go to standard error with their file and line; RUST_LOG chooses, as in
/// `RUST_LOG=info,tcpserver=debug`. Without it, what a server says of itself is shown.
fn begin_logging() {
    let chosen = std::env::var("RUST_LOG").unwrap_or_default();
    let filter: Targets = chosen.parse().unwrap_or_default();
    let filter = if chosen.is_empty() {
        filter.with_default(Level::INFO)
    } else {
        filter
    };
    let is_drawn_on = std::io::stderr().is_terminal() && std::io::stdout().is_terminal();
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(move || {
            let mut stderr = std::io::stderr();
            if is_drawn_on {
                // What an example draws is behind the cursor, and is drawn again below this line.
                let _ = stderr.write_all(ERASE_BELOW);
            }
            stderr
        })
        .with_ansi(std::io::stderr().is_terminal())
        .with_file(true)
        .with_line_number(true)
        .with_target(false);
    tracing_subscriber::registry()
        .with(lines)
        .with(filter)
        .init();
}

const ERASE_BELOW: &[u8] = b"\x1b[J";
