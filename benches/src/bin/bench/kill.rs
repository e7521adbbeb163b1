//! A worker killed under load: which requests are lost, and how soon another is in its place.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use squall_benches::client::Client;
use squall_benches::dialogue::Protocol;

use crate::Outcome;
use crate::arguments::Arguments;
use crate::server::Server;
use crate::subject::Subject;

pub fn run(arguments: &Arguments) -> Outcome<()> {
    for shape in &arguments.shapes {
        for subject in &arguments.subjects {
            measure(subject, &arguments.protocol(), shape.connections)?;
        }
    }
    Ok(())
}

fn measure(subject: &Subject, protocol: &Protocol, connections: usize) -> Outcome<()> {
    let server = Server::start(subject, protocol)?;
    println!("{}: {connections} connections", subject.name);
    let clients = (0..connections).map(|index| Client::open(server.address, protocol, index, 1));
    let clients: Vec<Client> = clients.collect::<io::Result<_>>()?;
    let is_over = AtomicBool::new(false);
    let (kill, clients) = thread::scope(|scope| {
        let is_over = &is_over;
        let load = |(index, client)| {
            let again = move || Client::open(server.address, protocol, index, 1);
            scope.spawn(move || keep_busy(client, again, is_over))
        };
        let load: Vec<_> = clients.into_iter().enumerate().map(load).collect();
        let kill = kill_a_worker(&server);
        is_over.store(true, Ordering::Relaxed);
        let ended = load.into_iter().map(|client| client.join());
        (kill, ended.collect::<Vec<_>>())
    });
    let kill = kill?;
    let mut sum = Seen::default();
    for client in clients {
        let client = client.map_err(|_| "a client has panicked")??;
        sum.answered += client.answered;
        sum.lost += client.lost;
        sum.back_after = sum.back_after.max(client.back_after);
    }
    println!("  {} requests answered", sum.answered);
    println!(
        "  {} lost, with {} connections of the worker",
        sum.lost, kill.connections
    );
    println!(
        "  another in its place after {:.1} ms",
        milliseconds(kill.replaced_after)
    );
    println!(
        "  whoever lost one was answered after {:.1} ms at most",
        milliseconds(sum.back_after)
    );
    server.print_output();
    if sum.lost > kill.connections {
        return Err("requests were lost on connections of others".into());
    }
    Ok(())
}

struct Kill {
    /// That the worker had.
    connections: usize,
    /// Until its parent had another child.
    replaced_after: Duration,
}

/// In the middle of the load, with time before and after.
fn kill_a_worker(server: &Server) -> Outcome<Kill> {
    thread::sleep(BEFORE);
    let family = server.family()?;
    let &[_, worker, ..] = &family[..] else {
        return Err("the server has one process: give it --processes 2".into());
    };
    let connections = connections_of(worker)?;
    let killed_at = Instant::now();
    kill_process(worker, Signal::KILL)?;
    let replaced_after = loop {
        if killed_at.elapsed() > PATIENCE {
            return Err("no worker came in its place".into());
        }
        let now = server.family()?;
        if now.len() == family.len() && !now.contains(&worker) {
            break killed_at.elapsed();
        }
        thread::sleep(LOOKS_AGAIN);
    };
    thread::sleep(AFTER);
    Ok(Kill {
        connections,
        replaced_after,
    })
}

/// What a client saw.
#[derive(Default)]
struct Seen {
    answered: usize,
    lost: usize,
    /// From the loss of a request to the first answer over another connection.
    back_after: Duration,
}

/// A closed loop over one connection, and over another when that one breaks.
fn keep_busy(
    mut client: Client,
    again: impl Fn() -> io::Result<Client>,
    is_over: &AtomicBool,
) -> io::Result<Seen> {
    let mut seen = Seen::default();
    while !is_over.load(Ordering::Relaxed) {
        if client.exchange().is_ok() {
            seen.answered += 1;
            continue;
        }
        seen.lost += 1;
        let lost_at = Instant::now();
        client = again()?;
        seen.answered += 1;
        seen.back_after = seen.back_after.max(lost_at.elapsed());
    }
    Ok(seen)
}

/// How many established TCP connections over IPv4 a process has.
fn connections_of(process: Pid) -> Outcome<usize> {
    let table = fs::read_to_string("/proc/net/tcp")?;
    let sockets: HashSet<&str> = table.lines().filter_map(established).collect();
    let folder = format!("/proc/{}/fd", process.as_raw_nonzero());
    let mut count = 0;
    for entry in fs::read_dir(Path::new(&folder))? {
        // It is busy: a descriptor may be gone since.
        let Ok(target) = fs::read_link(entry?.path()) else {
            continue;
        };
        let target = target.to_string_lossy();
        let inode = target.strip_prefix("socket:[");
        let inode = inode.and_then(|inode| inode.strip_suffix(']'));
        count += usize::from(inode.is_some_and(|inode| sockets.contains(inode)));
    }
    Ok(count)
}

/// The inode in a line of the kernel's table, if the connection is established.
fn established(line: &str) -> Option<&str> {
    let mut fields = line.split_whitespace();
    let is_established = fields.nth(3)? == "01";
    fields.nth(5).filter(|_| is_established)
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

const BEFORE: Duration = Duration::from_secs(1);
const AFTER: Duration = Duration::from_secs(1);

/// Longer than the longest pause before a restart.
const PATIENCE: Duration = Duration::from_secs(10);

const LOOKS_AGAIN: Duration = Duration::from_micros(200);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_is_not_taken_for_a_connection() {
        let line = |state| {
            format!(
                "   0: 0100007F:1F90 0200007F:9C40 {state} 00000000:00000000 00:00000000 \
                 00000000     0        0 123456 1 0000000000000000 20 4 30 10 -1"
            )
        };
        assert_eq!(established(&line("01")), Some("123456"));
        assert_eq!(established(&line("0A")), None);
    }
}
