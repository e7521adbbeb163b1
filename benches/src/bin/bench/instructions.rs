//! User-space instructions for each request, counted by callgrind: the same from run to run, whatever
//! else the machine does, so that they can decide whether a change is let in.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use rustix::process::{Signal, getpid};
use squall_benches::dialogue::Protocol;
use squall_benches::load::{Limit, Load, Shape, Workload};
use squall_benches::table::Table;

use crate::Outcome;
use crate::arguments::Arguments;
use crate::server::Server;
use crate::subject::Subject;

pub fn run(arguments: &Arguments) -> Outcome<()> {
    let headings = [
        "connections",
        "subject",
        "instructions per request",
        "ratio",
    ];
    let mut table = Table::new(&headings);
    let others = arguments.reference_and_peers()?;
    let mut excess = Vec::new();
    for &shape in &arguments.shapes {
        let mut reference = None;
        for subject in others.iter().chain(&arguments.subjects) {
            if subject.address.is_some() {
                // Interpreters, and processes that callgrind would have to follow.
                continue;
            }
            let count = per_request(subject, &arguments.protocol(), shape, arguments.requests)?;
            let ratio = count / *reference.get_or_insert(count);
            table.push([
                shape.to_string(),
                subject.name.clone(),
                format!("{count:.0}"),
                format!("{ratio:.3}"),
            ]);
            let is_subject = arguments
                .subjects
                .iter()
                .any(|own| own.name == subject.name);
            if is_subject && arguments.ratio_max.is_some_and(|most| ratio > most) {
                excess.push(format!("{} at {shape}: {ratio:.3}", subject.name));
            }
        }
    }
    println!("{table}");
    println!(
        "Of the server's own code and libraries, without the kernel; foreign servers left out."
    );
    if excess.is_empty() {
        Ok(())
    } else {
        Err(format!("more instructions than --at-most: {}", excess.join(", ")).into())
    }
}

/// What starting, connecting and ending cost is in both counts, and so not in their difference.
fn per_request(
    subject: &Subject,
    protocol: &Protocol,
    shape: Shape,
    requests: u64,
) -> Outcome<f64> {
    let few = requests / 10;
    let (first, served) = count(subject, protocol, shape, few)?;
    let (second, served_more) = count(subject, protocol, shape, few + requests)?;
    Ok(second.saturating_sub(first) as f64 / (served_more - served) as f64)
}

/// Instructions from start to end, and how many requests were made.
fn count(
    subject: &Subject,
    protocol: &Protocol,
    shape: Shape,
    requests: u64,
) -> Outcome<(u64, u64)> {
    let output = Output::new();
    let mut server = Server::start_under_callgrind(subject, protocol, &output.path)?;
    let mut load = Load::open(server.address, protocol, shape)?;
    let served = load.run(&Limit::Requests(requests))?.requests;
    drop(load);
    server.process.signal(Signal::TERM)?;
    server.process.wait(ENDS)?;
    Ok((total_in(&fs::read_to_string(&output.path)?)?, served))
}

fn total_in(profile: &str) -> Outcome<u64> {
    let mut lines = profile.lines();
    let total = lines.find_map(|line| line.strip_prefix("summary: "));
    Ok(total
        .ok_or("callgrind has counted nothing")?
        .trim()
        .parse()?)
}

/// Where callgrind writes, gone when dropped.
struct Output {
    path: PathBuf,
}

impl Output {
    fn new() -> Output {
        let name = format!("squall-bench-{}.callgrind", getpid().as_raw_nonzero());
        Output {
            path: std::env::temp_dir().join(name),
        }
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        // Not there if callgrind has not come so far.
        let _ = fs::remove_file(&self.path);
    }
}

/// A server that drains, fifty times slower than usual.
const ENDS: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn total_is_that_of_the_whole_run() {
        let profile = "events: Ir\nsummary: 1234\nfn=(1) main\n1 +3 17\n\ntotals: 1234\n";
        assert_eq!(total_in(profile).expect("a total"), 1234);
        assert!(total_in("events: Ir\n").is_err());
    }
}
