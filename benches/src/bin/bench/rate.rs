//! How exact, fair and cheap rate limiters are: servers that send for ever, at a limit.

use std::thread;
use std::time::Duration;

use crate::Outcome;
use crate::arguments::Arguments;
use crate::commands::BY_HAND;
use crate::rate_trace::{Clients, Trace};
use crate::server::Server;
use crate::subject::Subject;
use squall_benches::statistics::median;
use squall_benches::table::Table;

pub fn run(arguments: &Arguments) -> Outcome<()> {
    let (subjects, span) = (&arguments.subjects, arguments.observed);
    let has = |part| arguments.parts.contains(&part);
    if has("exact") {
        println!("{}", exactness(subjects, span)?);
        println!("total, worst seconds: in parts of the limit. beyond: the most that any span of");
        println!(
            "time had over the limit, in units: 10 ms of it, and at least 1,380 bytes. It is at"
        );
        println!("least the first figure, and the second if the reader is never late.\n");
    }
    if has("fair") {
        println!("{}", fairness(subjects, span)?);
        println!("spread: the largest share over the smallest, of those that read.\n");
    }
    if has("cost") {
        println!("{}", cost(subjects, span)?);
        println!(
            "CPU time per GiB at the limit; of the same writes at the same times by hand; and of"
        );
        println!("the same server without a limit, which never sleeps and fills the sockets.\n");
    }
    println!("left out: aria2 --max-overall-upload-limit, which needs a torrent to be shared.");
    Ok(())
}

/// One stream, from its first byte on, after the server was idle.
fn exactness(subjects: &[Subject], span: Duration) -> Outcome<Table> {
    let mut table = Table::new(&[
        "limit",
        "subject",
        "total",
        "worst seconds",
        "beyond (units)",
    ]);
    for rate in [20_000, 1_000_000, 100_000_000] {
        for subject in subjects {
            let server = Server::start_with_rate(subject, rate)?;
            thread::sleep(IDLE);
            let mut clients = Clients::open(server.address, &[65_536], 0)?;
            let trace = clients.observe(rate, span)?;
            let (least, most) = trace.seconds();
            let unit = (rate as f64 / 100.0).max(1380.0);
            table.push([
                format!("{rate} B/s"),
                subject.name.clone(),
                format!("{:.4}", of_limit(&trace, rate, span)),
                format!(
                    "{:.3} {:.3}",
                    least as f64 / rate as f64,
                    most as f64 / rate as f64
                ),
                format!(
                    "{:.2} {:.2}",
                    trace.excess_least / unit,
                    trace.excess_most / unit
                ),
            ]);
        }
    }
    Ok(table)
}

/// Eight streams: alike, with pieces of different lengths, and with one that never reads.
fn fairness(subjects: &[Subject], span: Duration) -> Outcome<Table> {
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
            let server = Server::start_with_rate(subject, rate)?;
            let mut clients = Clients::open(server.address, &pieces, deaf)?;
            // Until the kernel's buffers of the one that never reads are full.
            clients.observe(rate, SETTLES)?;
            let trace = clients.observe(rate, span)?;
            table.push([
                name.to_string(),
                subject.name.clone(),
                format!("{:.4}", of_limit(&trace, rate, span)),
                format!("{:.4}", trace.spread()),
            ]);
        }
    }
    Ok(table)
}

/// CPU time at 100 MB/s, beside that of the same writes at the same times by hand, and beside that
/// of the same server without a limit, in turns.
fn cost(subjects: &[Subject], span: Duration) -> Outcome<Table> {
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
    for (streams, piece) in [
        (1, 65_536),
        (8, 65_536),
        (8, 9_000),
        (8, 1_000),
        (10_000, 9_000),
    ] {
        let pieces = vec![piece; streams];
        for subject in subjects {
            let mut costs = [Vec::new(), Vec::new(), Vec::new()];
            for _ in 0..ROUNDS {
                let ways = [(subject, LIMIT), (&by_hand, LIMIT), (subject, 0)];
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
    let server = Server::start_with_rate(subject, rate)?;
    let mut clients = Clients::open(server.address, pieces, 0)?;
    clients.observe(LIMIT, SETTLES / 3)?;
    let before = server.cpu_time_now()?;
    let trace = clients.observe(LIMIT, span)?;
    let cpu = server.cpu_time_now()? - before;
    Ok(cpu.as_secs_f64() / (trace.total() as f64 / GIB))
}

fn of_limit(trace: &Trace, rate: u64, span: Duration) -> f64 {
    trace.total() as f64 / (rate as f64 * span.as_secs_f64())
}

/// Time for a limiter to save up, if it does.
const IDLE: Duration = Duration::from_secs(2);

const SETTLES: Duration = Duration::from_secs(3);

/// How often the server is measured with and without its limit.
const ROUNDS: usize = 3;

const LIMIT: u64 = 100_000_000;

const GIB: f64 = (1_u64 << 30) as f64;
