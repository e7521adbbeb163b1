//! What every example needs: its flags, and log lines on standard error.

use std::io::IsTerminal;
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
    program: &'static str,
    usage: &'static str,
    given: Vec<(String, String)>,
}

impl Flags {
    /// Reads the command line and begins to log. `usage` names the flags beside `--address` and
    /// `--port`, which every example has, as in `"--timeout S"`. On a flag that is not there, says
    /// so and ends the process.
    pub fn parse(program: &'static str, usage: &'static str) -> Flags {
        begin_logging();
        let mut flags = Flags {
            program,
            usage,
            given: Vec::new(),
        };
        let mut parser = lexopt::Parser::from_env();
        loop {
            match parser.next() {
                Ok(None) => return flags,
                Ok(Some(lexopt::Arg::Long("help"))) => flags.help(),
                Ok(Some(lexopt::Arg::Long(name))) if flags.is_known(name) => {
                    let name = name.to_owned();
                    match parser.value().map(|value| value.into_string()) {
                        Ok(Ok(value)) => flags.given.push((name, value)),
                        _ => flags.fail(&format!("--{name} needs a value")),
                    }
                }
                Ok(Some(argument)) => flags.fail(&argument.unexpected().to_string()),
                Err(error) => flags.fail(&error.to_string()),
            }
        }
    }

    /// The value of `--NAME`, or `default`.
    pub fn get<T: FromStr>(&self, name: &str, default: T) -> T {
        let given = self.given.iter().rev().find(|(given, _)| given == name);
        given.map_or(default, |(_, text)| {
            text.parse()
                .unwrap_or_else(|_| self.fail(&format!("--{name}: what is '{text}'?")))
        })
    }

    /// `--address` and `--port`, by default 127.0.0.1 and 8888.
    pub fn address(&self) -> SocketAddr {
        let address = self.get("address", IpAddr::V4(Ipv4Addr::LOCALHOST));
        SocketAddr::new(address, self.get("port", 8888))
    }

    fn is_known(&self, name: &str) -> bool {
        let flag = format!("--{name}");
        matches!(name, "address" | "port") || self.usage.split(' ').any(|word| word == flag)
    }

    fn help(&self) -> ! {
        println!(
            "usage: {} --address A --port P {}",
            self.program, self.usage
        );
        exit(0);
    }

    fn fail(&self, message: &str) -> ! {
        eprintln!("{}: {message} (--help lists the flags)", self.program);
        exit(2);
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
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_file(true)
        .with_line_number(true)
        .with_target(false);
    tracing_subscriber::registry()
        .with(lines)
        .with(filter)
        .init();
}
