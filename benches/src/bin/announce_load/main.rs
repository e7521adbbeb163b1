//! Trackers under the same announces: how many for a CPU-second, and what a peer takes of memory.
//!
//! `benches/run --install --help`, which builds and installs both, then
//! `benches/target/release/announce_load`.

mod load;
mod peers;
mod subject;

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use rustix::thread::{CpuSet, sched_setaffinity};

use crate::load::{Load, Over};
use crate::peers::Peers;
use crate::subject::Program;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("announce_load: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Outcome<()> {
    let Some(arguments) = Arguments::parse() else {
        println!("{USAGE}");
        return Ok(());
    };
    if arguments.programs().next().is_none() {
        return Err("there is no tracker beside this program, and none is named".into());
    }
    pin(LOAD_CORE)?;
    memory(&arguments)?;
    for over in [Over::Connections, Over::KeptConnections, Over::Udp] {
        announces(&arguments, over)?;
    }
    Ok(())
}

/// A million peers in ten thousand swarms, unless said otherwise.
fn memory(arguments: &Arguments) -> Outcome<()> {
    let peers = Peers {
        swarms: arguments.swarms,
        per_swarm: 100,
    };
    println!("{} peers in {} swarms:", peers.count(), peers.swarms);
    for program in arguments.programs() {
        let subject = program.start(&peers)?;
        let before = subject.memory()?;
        Load::open(&subject, Over::Udp, peers)?.fill()?;
        let bytes = subject.memory()? - before;
        let each = bytes as f64 / peers.count() as f64;
        println!("  {:<12} {each:6.1} bytes for each", subject.name);
    }
    Ok(())
}

/// Slices of load by turns; the median of the ratios of neighbours, so that what drifts cancels out.
fn announces(arguments: &Arguments, over: Over) -> Outcome<()> {
    let peers = Peers {
        swarms: 1000,
        per_swarm: 100,
    };
    let mut subjects = Vec::new();
    for program in arguments.programs() {
        let subject = program.start(&peers)?;
        Load::open(&subject, Over::Udp, peers)?.fill()?;
        subjects.push(subject);
    }
    let mut rates = vec![Vec::new(); subjects.len()];
    let mut ratios = Vec::new();
    let mut loads = Vec::new();
    for subject in &subjects {
        loads.push(Load::open(subject, subject.at_best(over), peers)?);
    }
    for _ in 0..arguments.rounds {
        let mut round = Vec::new();
        for (subject, load) in subjects.iter().zip(&mut loads) {
            let before = subject.cpu_time()?;
            let count = load.run(SLICE)?;
            let used = subject.cpu_time()? - before;
            round.push(count as f64 / used.as_secs_f64());
        }
        if let [ours, theirs] = round[..] {
            ratios.push(ours / theirs);
        }
        rates
            .iter_mut()
            .zip(round)
            .for_each(|(rates, rate)| rates.push(rate));
    }
    println!("announces over {over}, for a CPU-second:");
    for (subject, rates) in subjects.iter().zip(rates) {
        let remark = if subject.at_best(over) == over {
            ""
        } else {
            ", a connection each"
        };
        println!("  {:<12} {:8.0}{remark}", subject.name, quartiles(rates)[1]);
    }
    if !ratios.is_empty() {
        let [low, median, high] = quartiles(ratios);
        println!("  ratio {median:.2} (quartiles {low:.2} to {high:.2})");
    }
    Ok(())
}

fn quartiles(mut values: Vec<f64>) -> [f64; 3] {
    values.sort_by(f64::total_cmp);
    [1, 2, 3].map(|quarter| values[(values.len() - 1) * quarter / 4])
}

struct Arguments {
    tracker: Option<PathBuf>,
    opentracker: Option<PathBuf>,
    rounds: usize,
    swarms: usize,
}

impl Arguments {
    /// `None` if they are not understood, or ask for help.
    fn parse() -> Option<Arguments> {
        let words: Vec<String> = std::env::args().skip(1).collect();
        let pairs = words.chunks_exact(2);
        let is_whole = pairs.remainder().is_empty();
        let mut arguments = Arguments {
            tracker: beside_this("tracker"),
            opentracker: beside_this("../opentracker/usr/bin/opentracker"),
            rounds: 20,
            swarms: 10_000,
        };
        for pair in pairs {
            let (name, value) = (&pair[0], &pair[1]);
            match name.as_str() {
                "--tracker" => arguments.tracker = Some(value.into()),
                "--opentracker" => arguments.opentracker = Some(value.into()),
                "--rounds" => arguments.rounds = value.parse().ok().filter(|rounds| *rounds > 0)?,
                "--swarms" => arguments.swarms = value.parse().ok().filter(|swarms| *swarms > 0)?,
                _ => return None,
            }
        }
        is_whole.then_some(arguments)
    }

    fn programs(&self) -> impl Iterator<Item = Program<'_>> {
        let tracker = self.tracker.as_deref().map(Program::Tracker);
        let opentracker = self.opentracker.as_deref().map(Program::OpenTracker);
        tracker.into_iter().chain(opentracker)
    }
}

/// A program that was built or unpacked below the folder of this one, if it was.
fn beside_this(path: &str) -> Option<PathBuf> {
    let this = std::env::current_exe().ok()?;
    Some(this.with_file_name(path)).filter(|path| path.exists())
}

/// What is pinned starts others that are.
fn pin(core: usize) -> Outcome<()> {
    let mut set = CpuSet::new();
    set.set(core);
    Ok(sched_setaffinity(None, &set)?)
}

const USAGE: &str = "\
usage: announce_load [--tracker PATH] [--opentracker PATH] [--rounds N] [--swarms N]

Without paths it takes what `benches/run --install` has built and unpacked, as far as it is there.

Prints bytes of memory for each of 100 peers in each of --swarms swarms (10,000), and announces for
each CPU-second of the server: a connection for each, over 32 that are kept, and over UDP, where
1,000 swarms of 100 peers want 50 others each; the median of --rounds slices (20).";

const SLICE: Duration = Duration::from_millis(300);

const SERVER_CORE: usize = 0;
const LOAD_CORE: usize = 1;

type Outcome<T> = Result<T, Box<dyn Error>>;
