//! Throughput as paired ratios: each slice of a subject is held against the slices of the
//! reference just before and after it, so that what drifts on the machine cancels out.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use squall_benches::bulk::{Bulk, Direction};
use squall_benches::histogram::Histogram;
use squall_benches::load::{Limit, Load, Workload};
use squall_benches::newcomers::Newcomers;
use squall_benches::statistics::{median, quantile};
use squall_benches::table::Table;

use crate::Outcome;
use crate::arguments::Arguments;
use crate::server::Server;

/// Over connections that are held.
pub fn run(arguments: &Arguments) -> Outcome<()> {
    let protocol = arguments.protocol();
    compare(
        arguments,
        arguments.shapes.iter().map(|&shape| {
            let open = move |server| boxed(Load::open(server, &protocol, shape));
            (shape.to_string(), Box::new(open) as Open)
        }),
    )
}

/// Over a new connection for each request.
pub fn run_accept(arguments: &Arguments) -> Outcome<()> {
    compare(
        arguments,
        arguments.shapes.iter().map(|&shape| {
            let open = move |server| boxed(Newcomers::open(server, shape.connections));
            (shape.to_string(), Box::new(open) as Open)
        }),
    )
}

/// Over one that is full: a request is a piece of 64 KiB.
pub fn run_bulk(arguments: &Arguments) -> Outcome<()> {
    let directions = [("sent", Direction::Sent), ("received", Direction::Received)];
    compare(
        arguments,
        directions.into_iter().map(|(name, direction)| {
            let open = move |server| boxed(Bulk::open(server, direction));
            (name.to_string(), Box::new(open) as Open)
        }),
    )
}

/// How a server is loaded.
type Open = Box<dyn Fn(SocketAddr) -> io::Result<Box<dyn Workload>>>;

fn boxed(load: io::Result<impl Workload + 'static>) -> io::Result<Box<dyn Workload>> {
    Ok(Box::new(load?))
}

fn compare(arguments: &Arguments, ways: impl Iterator<Item = (String, Open)>) -> Outcome<()> {
    let protocol = arguments.protocol();
    let mut others = arguments.reference_and_peers()?;
    others.insert(1, arguments.kind.reference("null")?);
    let subjects = others.iter().chain(&arguments.subjects);
    let servers: Vec<(&str, Server)> = subjects
        .map(|subject| Ok((subject.name.as_str(), Server::start(subject, &protocol)?)))
        .collect::<Outcome<_>>()?;
    let mut table = Table::new(&HEADINGS);
    let limit = Limit::Time(arguments.slice);
    for (way, open) in ways {
        eprintln!("{way} ...");
        let mut contenders: Vec<Contender> = servers
            .iter()
            .map(|(name, server)| {
                Contender::open(name, server, &open, &limit)
                    .map_err(|error| format!("{name}: {error}").into())
            })
            .collect::<Outcome<_>>()?;
        for round in 0..arguments.rounds() {
            run_round(&mut contenders, round % 2 == 1, &limit)?;
        }
        for contender in &contenders {
            table.push(contender.row(&way));
        }
    }
    println!("{table}");
    println!("ratio: requests per CPU-second of the server, over the reference slices around it.");
    println!("A ratio within the spread of `null`, the reference against itself, says nothing.");
    Ok(())
}

/// Loads reference, subject, reference, next subject, and so on, ending with the reference.
fn run_round(contenders: &mut [Contender], backwards: bool, limit: &Limit) -> Outcome<()> {
    let Some((reference, subjects)) = contenders.split_first_mut() else {
        return Ok(());
    };
    if backwards {
        subjects.reverse();
    }
    let mut before = reference.measure(limit)?;
    for subject in subjects.iter_mut() {
        let rate = subject.measure(limit)?;
        let after = reference.measure(limit)?;
        subject.ratios.push(rate / ((before + after) / 2.0));
        before = after;
    }
    if backwards {
        subjects.reverse();
    }
    Ok(())
}

/// A server with the connections to it, and what was measured over them.
struct Contender<'run> {
    name: &'run str,
    server: &'run Server,
    load: Box<dyn Workload>,
    /// None for the reference.
    ratios: Vec<f64>,
    per_cpu_second: Vec<f64>,
    per_second: Vec<f64>,
    /// The part of the time in which the server was on its core.
    busy: Vec<f64>,
    latencies: Histogram,
}

impl<'run> Contender<'run> {
    fn open(
        name: &'run str,
        server: &'run Server,
        open: &Open,
        limit: &Limit,
    ) -> Outcome<Contender<'run>> {
        let mut load = open(server.address)?;
        // Not counted: the first slice fills caches and grows buffers.
        load.run(limit)?;
        Ok(Contender {
            name,
            server,
            load,
            ratios: Vec::new(),
            per_cpu_second: Vec::new(),
            per_second: Vec::new(),
            busy: Vec::new(),
            latencies: Histogram::new(),
        })
    }

    /// Requests per CPU-second of the server over one slice.
    fn measure(&mut self, limit: &Limit) -> Outcome<f64> {
        self.measure_slice(limit)
            .map_err(|error| format!("{}: {error}", self.name).into())
    }

    fn measure_slice(&mut self, limit: &Limit) -> Outcome<f64> {
        let before = self.server.cpu_time()?;
        let slice = self.load.run(limit)?;
        let cpu_seconds = (self.server.cpu_time()? - before).as_secs_f64();
        let requests = slice.requests as f64;
        self.per_cpu_second.push(requests / cpu_seconds);
        self.per_second.push(requests / slice.seconds);
        self.busy.push(cpu_seconds / slice.seconds);
        self.latencies.merge(&slice.latencies);
        Ok(requests / cpu_seconds)
    }

    fn row(&self, way: &str) -> [String; 11] {
        let (ratio, quartiles) = match self.ratios.as_slice() {
            [] => ("-".to_string(), "-".to_string()),
            ratios => (
                format!("{:.3}", median(ratios)),
                format!(
                    "{:.3}..{:.3}",
                    quantile(ratios, 0.25),
                    quantile(ratios, 0.75)
                ),
            ),
        };
        [
            way.to_string(),
            self.name.to_string(),
            ratio,
            quartiles,
            format!("{:.0}", median(&self.per_cpu_second)),
            format!("{:.0}", median(&self.per_second)),
            format!("{:.0}", median(&self.busy) * 100.0),
            microseconds(self.latencies.quantile(0.5)),
            microseconds(self.latencies.quantile(0.99)),
            microseconds(self.latencies.quantile(0.999)),
            self.load.answer_length().to_string(),
        ]
    }
}

fn microseconds(duration: Duration) -> String {
    format!("{:.0}", duration.as_secs_f64() * 1e6)
}

const HEADINGS: [&str; 11] = [
    "connections",
    "subject",
    "ratio",
    "quartiles",
    "per CPU-second",
    "per second",
    "busy %",
    "p50 us",
    "p99 us",
    "p99.9 us",
    "bytes",
];
