//! Small pieces of work measured in turn with a reference, within one process.

use std::error::Error;

use rustix::time::{ClockId, Timespec, clock_gettime};
use squall_benches::statistics::{median, quantile};
use squall_benches::table::Table;

/// A name, and what does the work once: nanoseconds for each of its operations.
pub type Subject<'run> = (&'static str, &'run mut dyn FnMut() -> Vec<f64>);

/// Prints a table of the `operations`, of which the first subject is the reference. Its null test is
/// itself. In each round the reference is measured, then the others, backwards in every other one;
/// there are as many as the first argument of the program says, or `rounds`.
pub fn compare(
    rounds: usize,
    operations: &[&str],
    subjects: &mut [Subject<'_>],
) -> Result<(), Box<dyn Error>> {
    let rounds = match std::env::args().nth(1) {
        Some(text) => text.parse()?,
        None => rounds,
    };
    let (reference, others) = subjects.split_first_mut().ok_or("nobody to measure")?;
    let mut names = vec![reference.0, "null"];
    names.extend(others.iter().map(|(name, _)| *name));
    let mut results: Vec<Vec<Vec<f64>>> = Vec::new();
    for round in 0..rounds {
        let mut times = vec![Vec::new(); names.len()];
        times[0] = (reference.1)();
        let mut order: Vec<usize> = (1..names.len()).collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for index in order {
            times[index] = match index.checked_sub(2) {
                Some(other) => (others[other].1)(),
                None => (reference.1)(),
            };
        }
        results.push(times);
    }
    println!("{}", table(operations, &names, &results));
    Ok(())
}

/// How long one of `count` took.
pub fn nanoseconds_each(count: usize, work: impl FnOnce()) -> f64 {
    let stopwatch = Stopwatch::start();
    work();
    stopwatch.nanoseconds_each(count)
}

/// Counts the time in which this thread is on a processor: what others do there is not in it.
pub struct Stopwatch(Timespec);

impl Stopwatch {
    pub fn start() -> Stopwatch {
        Stopwatch(clock_gettime(ClockId::ThreadCPUTime))
    }

    pub fn nanoseconds_each(self, count: usize) -> f64 {
        let spent = clock_gettime(ClockId::ThreadCPUTime) - self.0;
        (spent.tv_sec as f64 * 1e9 + spent.tv_nsec as f64) / count as f64
    }
}

fn table(operations: &[&str], names: &[&str], results: &[Vec<Vec<f64>>]) -> Table {
    let mut table = Table::new(&["operation", "subject", "ns", "ratio", "quartiles"]);
    for (operation, operation_name) in operations.iter().enumerate() {
        for (subject, name) in names.iter().enumerate() {
            let rounds = results.iter();
            let times: Vec<f64> = rounds.map(|round| round[subject][operation]).collect();
            let rounds = results.iter();
            let ratios: Vec<f64> = rounds
                .map(|round| round[subject][operation] / round[0][operation])
                .collect();
            table.push([
                operation_name.to_string(),
                name.to_string(),
                format!("{:.1}", median(&times)),
                format!("{:.3}", median(&ratios)),
                format!(
                    "{:.3}..{:.3}",
                    quantile(&ratios, 0.25),
                    quantile(&ratios, 0.75)
                ),
            ]);
        }
    }
    table
}
