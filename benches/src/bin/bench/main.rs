//! Measures servers of lines, frames and HTTP against ones written by hand: `bench --help` says how.

mod arguments;
mod cores;
mod drain;
mod flags;
mod flood;
mod idle;
mod kill;
mod process;
mod rate;
mod rate_aria2;
mod rate_log;
mod rate_trace;
mod server;
mod statistics;
mod subject;
mod syscalls;
mod table;
mod throughput;
mod usage;

use std::error::Error;
use std::process::ExitCode;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::arguments::{Arguments, Command};

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if words.iter().any(|word| word == "--help") {
        print!("{}", flags::help());
        return ExitCode::SUCCESS;
    }
    match Arguments::parse(&words).and_then(|arguments| run(&arguments)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Outcome<()> {
    raise_descriptor_limit()?;
    cores::pin_load()?;
    match arguments.command {
        Command::Echo | Command::Frames | Command::Http => throughput::run(arguments),
        Command::Syscalls => syscalls::run(arguments),
        Command::Idle => idle::run(arguments),
        Command::Flood => flood::run(arguments),
        Command::Drain => drain::run(arguments),
        Command::Kill => kill::run(arguments),
        Command::Rate => rate::run(arguments),
    }
}

/// The servers inherit the limit.
fn raise_descriptor_limit() -> Outcome<()> {
    let maximum = getrlimit(Resource::Nofile).maximum;
    Ok(setrlimit(
        Resource::Nofile,
        Rlimit {
            current: maximum,
            maximum,
        },
    )?)
}

type Outcome<T> = Result<T, Box<dyn Error>>;
