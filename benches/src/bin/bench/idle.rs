//! What a connection costs that has been answered and waits: memory, and CPU time.

use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use rustix::process::{Resource, getrlimit};
use squall_benches::client::{self, Client};
use squall_benches::dialogue::Protocol;

use crate::Outcome;
use crate::arguments::Arguments;
use crate::server::Server;
use crate::subject::Subject;
use squall_benches::table::Table;

pub fn run(arguments: &Arguments) -> Outcome<()> {
    let headings = [
        "connections",
        "subject",
        "bytes per connection",
        "before KiB",
        "CPU %",
    ];
    let mut table = Table::new(&headings);
    let others = arguments.reference_and_peers()?;
    for shape in &arguments.shapes {
        check_descriptors(shape.connections)?;
        for subject in others.iter().chain(&arguments.subjects) {
            table.push(measure(subject, shape.connections, arguments)?);
        }
    }
    println!("{table}");
    println!(
        "Anonymous memory of all processes, over that after one connection; none of the kernel's."
    );
    Ok(())
}

fn measure(subject: &Subject, connections: usize, arguments: &Arguments) -> Outcome<[String; 5]> {
    let protocol = arguments.protocol();
    let exchanges = arguments.exchanges;
    let mut streams = Vec::with_capacity(connections);
    // After the connections, so that it is dropped before them: the side that closes first is left
    // with the ports in TIME_WAIT, and the next run needs ours.
    let server = Server::start(subject, &protocol)?;
    // Stays open, so that what is measured is N connections more.
    let _warm_up = open(&server, &protocol, 0, exchanges.max(1))?;
    let before = memory(&server)?;
    for index in 0..connections {
        streams.push(open(&server, &protocol, index, exchanges)?);
    }
    // The queue is first in, first out: once this one is answered all have been accepted.
    drop(open(&server, &protocol, 0, 1)?);
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

/// Without an exchange the server may not have accepted it yet.
fn open(
    server: &Server,
    protocol: &Protocol,
    index: usize,
    exchanges: usize,
) -> Outcome<TcpStream> {
    if exchanges == 0 {
        return Ok(client::connect(server.address, index)?);
    }
    let mut client = Client::open(server.address, protocol, index, 1)?;
    for _ in 1..exchanges {
        client.exchange()?;
    }
    Ok(client.stream)
}

fn memory(server: &Server) -> Outcome<u64> {
    thread::sleep(SETTLE);
    server.memory()
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

/// Time to measure the CPU time of doing nothing.
const IDLE: Duration = Duration::from_secs(5);

/// For a server that gives memory back some moments later.
const SETTLE: Duration = Duration::from_millis(200);

/// What the server and this program need beside the connections.
const DESCRIPTORS_KEPT: u64 = 50;
