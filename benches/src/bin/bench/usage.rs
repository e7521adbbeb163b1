//! What a process has used, read from `/proc`.

use std::fs;
use std::io;
use std::time::Duration;

use rustix::process::Pid;

/// Time on a processor since the start, of all threads that live. Exact only for those that sleep:
/// the kernel adds to it when a thread leaves the processor and at clock ticks.
pub fn cpu_time(process: Pid) -> io::Result<Duration> {
    let mut nanoseconds = 0;
    for thread in threads(process)? {
        let (process, thread) = (process.as_raw_nonzero(), thread.as_raw_nonzero());
        let figures = fs::read_to_string(format!("/proc/{process}/task/{thread}/schedstat"))?;
        nanoseconds += number(figures.split_whitespace().next())?;
    }
    Ok(Duration::from_nanos(nanoseconds))
}

/// Bytes of anonymous memory, which is heap and stacks. `RssAnon` in `status` would be cheaper and
/// is counted for each processor apart, off by up to some hundred kilobytes.
pub fn anonymous_memory(process: Pid) -> io::Result<u64> {
    let rollup = fs::read_to_string(format!("/proc/{}/smaps_rollup", process.as_raw_nonzero()))?;
    let figure = rollup
        .lines()
        .find_map(|line| line.strip_prefix("Pss_Anon:"));
    Ok(number(figure.and_then(|figure| figure.split_whitespace().next()))? * 1024)
}

pub fn threads(process: Pid) -> io::Result<Vec<Pid>> {
    fs::read_dir(format!("/proc/{}/task", process.as_raw_nonzero()))?
        .map(|entry| {
            let id = number(entry?.file_name().to_str())?;
            Pid::from_raw(id as i32).ok_or_else(unreadable)
        })
        .collect()
}

fn number(text: Option<&str>) -> io::Result<u64> {
    text.and_then(|text| text.parse().ok())
        .ok_or_else(unreadable)
}

fn unreadable() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        "/proc has another form than expected",
    )
}
