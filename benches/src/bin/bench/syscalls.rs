//! System calls for each request, counted by strace. It slows the server down, which does not matter
//! where calls are counted and not timed.

use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use squall_benches::load::{Limit, Load, Workload};

use crate::arguments::Arguments;
use crate::process::Process;
use crate::server::Server;
use crate::{Outcome, cores};
use squall_benches::table::Table;

pub fn run(arguments: &Arguments) -> Outcome<()> {
    let protocol = arguments.protocol();
    let others = arguments.reference_and_peers()?;
    let mut table = Table::new(&["connections", "subject", "calls per request", "each"]);
    for &shape in &arguments.shapes {
        for subject in others.iter().chain(&arguments.subjects) {
            let server = Server::start(subject, &protocol)?;
            let mut load = Load::open(server.address, &protocol, shape)?;
            let calls = count(&server, || {
                Ok(load.run(&Limit::Requests(arguments.requests))?.requests)
            })?;
            let total: f64 = calls.iter().map(|(_, per_request)| per_request).sum();
            let each = calls
                .iter()
                .map(|(name, per_request)| format!("{name} {per_request:.3}"));
            table.push([
                shape.to_string(),
                subject.name.clone(),
                format!("{total:.3}"),
                each.collect::<Vec<_>>().join(", "),
            ]);
        }
    }
    println!("{table}");
    println!(
        "With several connections a wait finds more events the slower the server is, and under"
    );
    println!("strace it is slow: the share of the wait is then lower than without.");
    Ok(())
}

/// Calls by name for each of the requests that `work` makes, the most frequent first.
fn count(server: &Server, work: impl FnOnce() -> Outcome<u64>) -> Outcome<Vec<(String, f64)>> {
    let mut command = Command::new("strace");
    command.args(["-c", "-f"]);
    let processes = server.family()?;
    for process in &processes {
        command.args(["-p", &process.as_raw_nonzero().to_string()]);
    }
    let mut strace = Process::start(&mut command)
        .map_err(|error| format!("strace does not start, is it installed? {error}"))?;
    // The server is stopped while strace looks at it, and the load generator never sleeps.
    cores::pin_server(strace.pid())?;
    let deadline = Instant::now() + STRACE_TIMEOUT;
    for _ in &processes {
        let attached = strace.next_line(deadline).ok_or("strace says nothing")?;
        if !attached.contains("attached") {
            return Err(attached.into());
        }
    }
    let requests = work()?;
    strace.signal(Signal::INT)?;
    strace.wait(STRACE_TIMEOUT)?;
    let mut calls: Vec<(String, f64)> = strace
        .printed()
        .iter()
        .filter_map(|line| calls_in(line))
        .map(|(name, calls)| (name, calls as f64 / requests as f64))
        .collect();
    calls.sort_by(|one, other| other.1.total_cmp(&one.1));
    Ok(calls)
}

/// From a row `% time, seconds, usecs/call, calls, [errors,] syscall` of the summary.
fn calls_in(line: &str) -> Option<(String, u64)> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let (name, calls) = (words.last()?, words.get(3)?);
    words[0].parse::<f64>().ok()?;
    (*name != "total").then_some((name.to_string(), calls.parse().ok()?))
}

const STRACE_TIMEOUT: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_with_and_without_errors_are_counted_and_the_total_is_not() {
        let row = " 50.00    0.000150           7        20         3 accept4";
        assert_eq!(calls_in(row), Some(("accept4".to_string(), 20)));
        let row = " 50.00    0.000150           7        20           recvfrom";
        assert_eq!(calls_in(row), Some(("recvfrom".to_string(), 20)));
        assert_eq!(
            calls_in("100.00    0.000150           7        40         3 total"),
            None
        );
        assert_eq!(
            calls_in("------ ----------- ----------- --------- --------- ------"),
            None
        );
        assert_eq!(calls_in("strace: Process 12 detached"), None);
    }
}
