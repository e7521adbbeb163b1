//! What a process has used, read from `/proc`.

use std::fs;
use std::io;
use std::time::Duration;

use rustix::process::Pid;

/// The process, its children, and theirs.
pub fn family(process: Pid) -> io::Result<Vec<Pid>> {
    let mut parents = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(id) = name.to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // Those that have ended meanwhile are not ours, or no longer of interest.
        if let (Some(process), Some(parent)) = (Pid::from_raw(id), parent(id)) {
            parents.push((process, parent));
        }
    }
    let mut family = vec![process];
    let mut next = 0;
    while let Some(member) = family.get(next) {
        let member = member.as_raw_nonzero().get();
        let children = parents.iter().filter(|(_, parent)| *parent == member);
        family.extend(children.map(|(child, _)| *child));
        next += 1;
    }
    Ok(family)
}

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

/// Bytes of anonymous memory, which is heap and stacks; what processes share is divided among
/// them. `RssAnon` in `status` would be cheaper and is counted for each processor apart, off by up
/// to some hundred kilobytes.
pub fn anonymous_memory(process: Pid) -> io::Result<u64> {
    let rollup = fs::read_to_string(format!("/proc/{}/smaps_rollup", process.as_raw_nonzero()))?;
    let figure = rollup
        .lines()
        .find_map(|line| line.strip_prefix("Pss_Anon:"));
    Ok(number(figure.and_then(|figure| figure.split_whitespace().next()))? * 1024)
}

/// Bytes of memory that it has at the moment, also of what others have as well.
pub fn resident_memory(process: Pid) -> io::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{}/status", process.as_raw_nonzero()))?;
    let figure = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
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

fn parent(process: i32) -> Option<i32> {
    parent_in(&fs::read_to_string(format!("/proc/{process}/stat")).ok()?)
}

/// The second word after the program's name, which is in parentheses and may contain some.
fn parent_in(stat: &str) -> Option<i32> {
    let (_, behind_name) = stat.rsplit_once(')')?;
    behind_name.split_whitespace().nth(1)?.parse().ok()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parenthesis_in_a_name_does_not_hide_the_parent() {
        assert_eq!(parent_in("12 (a) b) S 7 12 12 0"), Some(7));
    }

    #[test]
    fn child_belongs_to_the_family() {
        let mut child = std::process::Command::new("sleep")
            .arg("10")
            .spawn()
            .unwrap();
        let own = family(rustix::process::getpid()).unwrap();
        let found = own.contains(&Pid::from_child(&child));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(found);
    }
}
