//! How exact, fair and cheap rate limiters are: servers that send for ever, at a limit.

use std::io::{Read, Write};
use std::thread;
use std::time::Duration;

use squall_benches::client;
use squall_benches::rate::{Log, Sent};
use squall_benches::statistics::median;
use squall_benches::table::Table;

use crate::arguments::Arguments;
use crate::commands::BY_HAND;
use crate::rate_aria2::{self, Aria2};
use crate::rate_trace::{Clients, Trace};
use crate::server::Server;
use crate::subject::Subject;
use crate::{Outcome, rate_log};

pub fn run(arguments: &Arguments) -> Outcome<()> {
    let subjects = installed(&arguments.subjects);
    // How to make aria2 send to several clients, and what it sends at a time, is its own affair.
    let served: Vec<&Subject> = subjects
        .iter()
        .copied()
        .filter(|subject| !is_aria2(subject))
        .collect();
    let span = arguments.observed;
    let has = |part| arguments.parts.contains(&part);
    if has("exact") {
        println!("{}", exactness(&subjects, span)?);
        println!("{EXACTNESS_NOTES}");
    }
    if has("fair") {
        println!("{}", fairness(&served, span)?);
        println!("spread: the largest share over the smallest, of those that read.\n");
    }
    let shapes = [("cost", &SHAPES[..]), ("many", &[MANY])];
    for (_, shapes) in shapes.into_iter().filter(|(part, _)| has(part)) {
        println!(
            "{}",
            cost(&served, span, arguments.rounds.unwrap_or(ROUNDS), shapes)?
        );
        println!("{COST_NOTES}");
    }
    Ok(())
}

/// Names those that are left out.
fn installed(subjects: &[Subject]) -> Vec<&Subject> {
    let is_missing = |subject: &&Subject| is_aria2(subject) && !Aria2::is_installed(subject);
    for subject in subjects.iter().filter(is_missing) {
        println!("left out: {}, which is not installed", subject.name);
    }
    subjects
        .iter()
        .filter(|subject| !is_missing(subject))
        .collect()
}

fn is_aria2(subject: &Subject) -> bool {
    subject.program().rsplit('/').next() == Some(rate_aria2::PROGRAM)
}

/// One stream, from its first byte on, after the server was idle.
fn exactness(subjects: &[&Subject], span: Duration) -> Outcome<Table> {
    let mut table = Table::new(&[
        "limit",
        "subject",
        "total",
        "worst seconds",
        "beyond",
        "sent: worst seconds",
        "beyond",
        "pause",
    ]);
    for rate in [20_000, 1_000_000, 100_000_000] {
        for subject in subjects {
            let (trace, sent) = if is_aria2(subject) {
                let aria2 = Aria2::start(subject, rate)?;
                let stream = aria2.connect()?;
                thread::sleep(span / 5);
                let trace = Clients::of_aria2(stream)?.observe(rate, span)?;
                (trace, Vec::new())
            } else {
                let server = Server::start_with_rate(subject, rate, true)?;
                thread::sleep(span / 5);
                let mut clients = Clients::open(server.address, &[65_536], 0)?;
                let trace = clients.observe(rate, span)?;
                drop(clients);
                (trace, log_of(&server)?)
            };
            let unit = (rate as f64 / 100.0).max(1380.0);
            let of_limit = |seconds: Option<(u64, u64)>| match seconds {
                Some((least, most)) => {
                    let [least, most] = [least, most].map(|bytes| bytes as f64 / rate as f64);
                    format!("{least:.3} {most:.3}")
                }
                None => "-".into(),
            };
            let [beyond, pause] = if sent.is_empty() {
                ["-".into(), "-".into()]
            } else {
                let pause = rate_log::longest_pause(&sent).as_secs_f64() * rate as f64;
                [rate_log::excess(&sent, rate), pause].map(|bytes| format!("{:.2}", bytes / unit))
            };
            table.push([
                format!("{rate} B/s"),
                subject.name.clone(),
                format!("{:.4}", part_of_limit(&trace, rate, span)),
                of_limit(trace.seconds()),
                format!(
                    "{:.2} {:.2}",
                    trace.excess_least / unit,
                    trace.excess_most / unit
                ),
                of_limit(rate_log::seconds(&sent)),
                beyond,
                pause,
            ]);
        }
    }
    Ok(table)
}

/// What the server has sent since it was started, by its own clock.
fn log_of(server: &Server) -> Outcome<Vec<Sent>> {
    let mut stream = client::connect(server.address, 0)?;
    stream.write_all(b"0\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Log::parse(&text)
}

/// Eight streams: alike, with pieces of different lengths, and with one that never reads.
fn fairness(subjects: &[&Subject], span: Duration) -> Outcome<Table> {
    let mut table = Table::new(&["eight streams", "subject", "total", "spread"]);
    for (name, rate, pieces, deaf) in [
        ("alike", 1_000_000, [9_000; 8].to_vec(), 0),
        ("1 kB and 9 kB", 1_000_000, [1_000, 9_000].repeat(4), 0),
        (
            "1 kB and 9 kB, fast",
            50_000_000,
            [1_000, 9_000].repeat(4),
            0,
        ),
        ("one never reads", 20_000_000, [9_000; 7].to_vec(), 1),
    ] {
        for subject in subjects {
            let server = Server::start_with_rate(subject, rate, false)?;
            let mut clients = Clients::open(server.address, &pieces, deaf)?;
            // Until the kernel's buffers of the one that never reads are full.
            clients.observe(rate, span * 3 / 10)?;
            let trace = clients.observe(rate, span)?;
            table.push([
                name.to_string(),
                subject.name.clone(),
                format!("{:.4}", part_of_limit(&trace, rate, span)),
                format!("{:.4}", trace.spread()),
            ]);
        }
    }
    Ok(table)
}

/// CPU time at 100 MB/s, beside that of the same writes at the same times by hand, and beside that
/// of the same server without a limit, in turns.
fn cost(
    subjects: &[&Subject],
    span: Duration,
    rounds: usize,
    shapes: &[(usize, usize)],
) -> Outcome<Table> {
    let mut table = Table::new(&[
        "streams x piece",
        "subject",
        "CPU s/GiB",
        "by hand",
        "no limit",
        "to by hand",
        "to no limit",
        "per piece µs",
    ]);
    let by_hand = Subject::built(BY_HAND, "by hand")?;
    for &(streams, piece) in shapes {
        let pieces = vec![piece; streams];
        for subject in subjects {
            let mut costs = [Vec::new(), Vec::new(), Vec::new()];
            for _ in 0..rounds {
                let ways = [(*subject, LIMIT), (&by_hand, LIMIT), (*subject, 0)];
                for (costs, (subject, rate)) in costs.iter_mut().zip(ways) {
                    costs.push(cpu_per_gib(subject, rate, &pieces, span / 5)?);
                }
            }
            let [limited, by_hand, full] = costs.map(|costs| median(&costs));
            table.push([
                format!("{streams} x {piece}"),
                subject.name.clone(),
                format!("{limited:.3}"),
                format!("{by_hand:.3}"),
                format!("{full:.3}"),
                format!("{:.2}", limited / by_hand),
                format!("{:.2}", limited / full),
                format!("{:.2}", limited * 1e6 * piece as f64 / GIB),
            ]);
        }
    }
    Ok(table)
}

fn cpu_per_gib(subject: &Subject, rate: u64, pieces: &[usize], span: Duration) -> Outcome<f64> {
    // Before the clients, so that it is dropped after them, and keeps no port of theirs.
    let server = Server::start_with_rate(subject, rate, false)?;
    let mut clients = Clients::open(server.address, pieces, 0)?;
    clients.observe(LIMIT, span / 10)?;
    let before = server.cpu_time_now()?;
    let trace = clients.observe(LIMIT, span)?;
    let cpu = server.cpu_time_now()? - before;
    Ok(cpu.as_secs_f64() / (trace.total() as f64 / GIB))
}

fn part_of_limit(trace: &Trace, rate: u64, span: Duration) -> f64 {
    trace.total() as f64 / (rate as f64 * span.as_secs_f64())
}

/// With a limit and without.
const ROUNDS: usize = 3;

/// Streams, and bytes written to each at a time.
const SHAPES: [(usize, usize); 4] = [(1, 65_536), (8, 65_536), (8, 9_000), (8, 1_000)];

const MANY: (usize, usize) = (10_000, 9_000);

const EXACTNESS_NOTES: &str = "\
total, worst seconds: in parts of the limit, of what arrives, and of what the sender has sent.
beyond: the most that any span of time had over the limit, in units: 10 ms of it, and at least 1,380
bytes. Of what arrives it is at least the first figure, and the second if the reader is never late.
pause: the longest between two writes, in units of the limit that pass in it. A limiter that makes up
for what came late sends as much at once.
";

const COST_NOTES: &str = "\
CPU time per GiB at the limit; of the same writes at the same times by hand; and of the same server
without a limit, which never sleeps and fills the sockets.
";

const LIMIT: u64 = 100_000_000;

const GIB: f64 = (1_u64 << 30) as f64;
