//! Measures servers of lines, frames and HTTP against ones written by hand: `bench --help` says how.

mod arguments;
mod commands;
mod cores;
mod drain;
mod flags;
mod flood;
mod goal_list;
mod goals;
mod idle;
mod instructions;
mod kill;
mod kind;
mod layers;
mod process;
mod rate;
mod rate_aria2;
mod rate_log;
mod rate_trace;
mod report;
mod server;
mod size;
mod subject;
mod syscalls;
mod throughput;
mod usage;

use std::error::Error;
use std::process::ExitCode;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::arguments::Arguments;

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
    (arguments.command.run)(arguments)
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
