//! What a connection costs that has exchanged a line and waits: memory, and CPU time.

use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use rustix::process::{Resource, getrlimit};
use squall_benches::client;

use crate::arguments::Arguments;
use crate::server::{Server, Subject};
use crate::table::Table;
use crate::{Outcome, usage};

pub fn run(arguments: &Arguments) -> Outcome<()> {
    let headings = [
        "connections",
        "subject",
        "bytes per connection",
        "before KiB",
        "CPU %",
    ];
    let mut table = Table::new(&headings);
    for &connections in &arguments.connections {
        check_descriptors(connections)?;
        for subject in &arguments.subjects {
            table.push(measure(subject, connections, arguments.lines)?);
        }
    }
    println!("{table}");
    println!(
        "Anonymous memory of the process, over that after one connection; none of the kernel's."
    );
    Ok(())
}

fn measure(subject: &Subject, connections: usize, lines: usize) -> Outcome<[String; 5]> {
    let mut streams = Vec::with_capacity(connections);
    // After the connections, so that it is dropped before them: the side that closes first is left
    // with the ports in TIME_WAIT, and the next run needs ours.
    let server = Server::start(subject)?;
    // Stays open, so that what is measured is N connections more.
    let _warm_up = open(&server, 0, lines.max(1))?;
    let before = memory(&server)?;
    for index in 0..connections {
        streams.push(open(&server, index, lines)?);
    }
    // The queue is first in, first out: once this one is answered all have been accepted.
    drop(open(&server, 0, 1)?);
    let after = memory(&server)?;
    let cpu_before = server.cpu_time()?;
    thread::sleep(IDLE);
    let cpu = (server.cpu_time()? - cpu_before).as_secs_f64() / IDLE.as_secs_f64();
    Ok([
        connections.to_string(),
        subject.name.clone(),
        format!(
            "{:.0}",
            after.saturating_sub(before) as f64 / connections as f64
        ),
        format!("{}", before / 1024),
        format!("{:.2}", cpu * 100.0),
    ])
}

fn open(server: &Server, index: usize, lines: usize) -> Outcome<TcpStream> {
    let mut stream = client::connect(server.address, index)?;
    for _ in 0..lines {
        client::exchange(&mut stream, &client::line(LINE_LENGTH, index))?;
    }
    Ok(stream)
}

fn memory(server: &Server) -> Outcome<u64> {
    thread::sleep(SETTLE);
    Ok(usage::anonymous_memory(server.process.pid())?)
}

fn check_descriptors(connections: usize) -> Outcome<()> {
    let limit = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
    if connections as u64 + DESCRIPTORS_KEPT > limit {
        return Err(
            format!("{connections} connections: a process here has {limit} descriptors").into(),
        );
    }
    Ok(())
}

const LINE_LENGTH: usize = 32;

/// Time to measure the CPU time of doing nothing.
const IDLE: Duration = Duration::from_secs(5);

/// For a server that gives memory back some moments later.
const SETTLE: Duration = Duration::from_millis(200);

/// What the server and this program need beside the connections.
const DESCRIPTORS_KEPT: u64 = 50;
