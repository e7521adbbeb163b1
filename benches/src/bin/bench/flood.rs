//! More clients than the server has descriptors: those that it has must not notice, and once the
//! flood is over it must accept again at once.

use std::io;
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use squall_benches::client::{self, Client};
use squall_benches::dialogue::Protocol;

use crate::Outcome;
use crate::arguments::Arguments;
use crate::server::Server;
use crate::subject::Subject;

pub fn run(arguments: &Arguments) -> Outcome<()> {
    for subject in &arguments.subjects {
        measure(subject, &arguments.protocol())?;
    }
    Ok(())
}

fn measure(subject: &Subject, protocol: &Protocol) -> Outcome<()> {
    let server = Server::start_with_descriptors(subject, protocol, DESCRIPTORS)?;
    let open = |index| Client::open(server.address, protocol, index, 1);
    let established = (0..ESTABLISHED).map(open);
    let mut established: Vec<Client> = established.collect::<io::Result<_>>()?;
    println!(
        "{}: {DESCRIPTORS} descriptors, {ESTABLISHED} established connections",
        subject.name
    );
    report(
        "before the flood",
        &observe(&server, &mut established, BEFORE)?,
    );
    let flood: Vec<TcpStream> = (ESTABLISHED..CLIENTS)
        .map(|index| client::start_connecting(server.address, index))
        .collect::<io::Result<_>>()?;
    report("in the flood", &observe(&server, &mut established, FLOOD)?);
    drop(flood);
    let started = Instant::now();
    match open(0) {
        Ok(_) => println!(
            "  new client answered after {:.1} ms",
            milliseconds(started.elapsed())
        ),
        Err(error) => println!("  new client not answered: {error}"),
    }
    server.print_output();
    Ok(())
}

/// What the established clients saw, and what it cost the server.
struct Observation {
    requests: usize,
    /// Clients whose request was not answered; they send no other.
    lost: usize,
    slowest: Duration,
    cpu: f64,
}

/// Makes a request at a time over the established connections in turn.
fn observe(
    server: &Server,
    established: &mut Vec<Client>,
    duration: Duration,
) -> Outcome<Observation> {
    let mut observation = Observation {
        requests: 0,
        lost: 0,
        slowest: Duration::ZERO,
        cpu: 0.0,
    };
    let cpu_before = server.cpu_time()?;
    let started = Instant::now();
    while started.elapsed() < duration && !established.is_empty() {
        let turn = observation.requests % established.len();
        match established[turn].exchange() {
            Ok(waited) => observation.slowest = observation.slowest.max(waited),
            Err(_) => {
                established.swap_remove(turn);
                observation.lost += 1;
            }
        }
        observation.requests += 1;
        thread::sleep(PACE);
    }
    let seconds = started.elapsed().as_secs_f64();
    observation.cpu = (server.cpu_time()? - cpu_before).as_secs_f64() / seconds;
    Ok(observation)
}

fn report(when: &str, observation: &Observation) {
    let Observation {
        requests,
        lost,
        slowest,
        cpu,
    } = observation;
    let (cpu, slowest) = (cpu * 100.0, milliseconds(*slowest));
    println!(
        "  {when}: CPU {cpu:.1} %, {requests} requests, {lost} not answered, slowest {slowest:.2} ms"
    );
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

const DESCRIPTORS: usize = 64;

const ESTABLISHED: usize = 20;

/// With the established ones.
const CLIENTS: usize = 200;

const BEFORE: Duration = Duration::from_secs(1);
const FLOOD: Duration = Duration::from_secs(5);

/// Slow enough that the requests themselves cost the server nearly nothing: a loop that spins over
/// clients it cannot accept then stands out.
const PACE: Duration = Duration::from_millis(10);
