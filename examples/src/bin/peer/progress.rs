//! What the user sees: a line for each torrent, drawn again and again in a terminal.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write as _};
use std::rc::Rc;
use std::time::{Duration, Instant};

use ioloop::{IoLoop, sleep};
use rustix::termios::tcgetwinsize;

use crate::torrent::{Phase, Torrent};

/// Where a torrent stands.
#[derive(Clone, Debug)]
struct Status {
    name: String,
    done: u32,
    pieces: u32,
    state: State,
}

#[derive(Clone, Debug)]
enum State {
    Checking,
    Sharing {
        peers: usize,
        /// In bytes per second.
        down: f64,
        up: f64,
        /// In bytes.
        left: u64,
    },
    Failed(String),
}

/// Shows the torrents until it is dropped.
pub(crate) async fn show(torrents: &[Rc<Torrent>]) -> Infallible {
    if io::stdout().is_terminal() {
        draw(torrents).await
    } else {
        tell(torrents).await
    }
}

/// The last word, once everything has ended.
pub(crate) fn finish(torrents: &[Rc<Torrent>]) {
    let now = IoLoop::current().now();
    if io::stdout().is_terminal() {
        say(ERASE_BELOW);
    }
    for torrent in torrents {
        let line = match torrent.phase() {
            Phase::Running(swarm) => {
                let state = swarm.state.borrow();
                let (have, pieces) = (state.requests.have().count(), torrent.layout.pieces());
                let (down, up, wasted) = (state.down.total(), state.up.total(), state.wasted);
                let name = &torrent.name;
                format!(
                    "{name}  {have}/{pieces} pieces  {down} bytes down  {up} up  {wasted} wasted"
                )
            }
            _ => status(torrent, now).line(),
        };
        say(&format!("{line}\n"));
    }
}

async fn draw(torrents: &[Rc<Torrent>]) -> Infallible {
    loop {
        let now = IoLoop::current().now();
        let (columns, rows) = size();
        // What scrolls away at the top would not be drawn over.
        let shown = torrents.len().min(rows.saturating_sub(2).max(1));
        let statuses = torrents.iter().take(shown);
        let statuses: Vec<Status> = statuses.map(|torrent| status(torrent, now)).collect();
        let mut lines = bars(&statuses, columns);
        if shown < torrents.len() {
            lines.push(format!("and {} more", torrents.len() - shown));
        }
        // A name may be wider than we think: its line is cut by the terminal, not wrapped.
        let mut text = NO_WRAP.to_owned();
        for line in &lines {
            let _ = writeln!(text, "{ERASE_LINE}{line}");
        }
        // Back up to the first, so that log lines come before what is drawn next.
        let _ = write!(text, "\x1b[{}A{WRAP}", lines.len());
        say(&text);
        sleep(REDRAW).await;
    }
}

/// Lines for a file: when something has changed that matters, and now and then.
async fn tell(torrents: &[Rc<Torrent>]) -> Infallible {
    let mut told: Vec<Option<(Told, Instant)>> = vec![None; torrents.len()];
    loop {
        let now = IoLoop::current().now();
        for (torrent, told) in torrents.iter().zip(&mut told) {
            let status = status(torrent, now);
            let is_old = |(what, when): &(Told, Instant)| {
                *what != status.told() || status.told() == Told::Underway && now - *when >= RETELL
            };
            if told.as_ref().is_none_or(is_old) {
                *told = Some((status.told(), now));
                say(&format!("{}\n", status.line()));
            }
        }
        sleep(REDRAW).await;
    }
}

/// What is worth a line when it changes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Told {
    Checking,
    Underway,
    Complete,
    Failed,
}

fn say(text: &str) {
    // Who has closed our output does not want to know.
    let mut output = io::stdout().lock();
    let _ = output
        .write_all(text.as_bytes())
        .and_then(|()| output.flush());
}

fn status(torrent: &Torrent, now: Instant) -> Status {
    let (done, state) = match torrent.phase() {
        Phase::Checking(done) => (done, State::Checking),
        Phase::Failed(why) => (0, State::Failed(why)),
        Phase::Running(swarm) => {
            let left = swarm.left();
            let swarm = swarm.state.borrow();
            let sharing = State::Sharing {
                peers: swarm.peers.len(),
                down: swarm.down.rate(now),
                up: swarm.up.rate(now),
                left,
            };
            (swarm.requests.have().count(), sharing)
        }
    };
    Status {
        name: torrent.name.clone(),
        done,
        pieces: torrent.layout.pieces(),
        state,
    }
}

impl Status {
    fn told(&self) -> Told {
        match &self.state {
            State::Checking => Told::Checking,
            State::Sharing { left: 0, .. } => Told::Complete,
            State::Sharing { .. } => Told::Underway,
            State::Failed(_) => Told::Failed,
        }
    }

    /// What is on a line behind the name and the bar. There is little room for what numbers count.
    fn facts(&self, pieces: &str) -> String {
        let percent = (self.share() * 100.0).floor();
        let counts = format!("{}/{}{pieces}", self.done, self.pieces);
        match &self.state {
            State::Checking => format!("{percent:3} %  {counts} checked"),
            State::Failed(why) => format!("failed: {why}"),
            State::Sharing {
                peers, up, left: 0, ..
            } => format!(
                "100 %  {counts}  complete  ↑{}  {}",
                rate(*up),
                counted(*peers)
            ),
            State::Sharing {
                peers,
                down,
                up,
                left,
            } => {
                let (down, up, time) = (rate(*down), rate(*up), time_left(*left, *down));
                let peers = counted(*peers);
                format!("{percent:3} %  {counts}  ↓{down}  ↑{up}  {peers}{time}")
            }
        }
    }

    /// As a line by itself.
    fn line(&self) -> String {
        format!("{}  {}", self.name, self.facts(" pieces").trim_start())
    }

    /// How much is here.
    fn share(&self) -> f64 {
        f64::from(self.done) / f64::from(self.pieces.max(1))
    }
}

/// Lines of at most `width` columns with bars, which all begin and end alike.
fn bars(statuses: &[Status], width: usize) -> Vec<String> {
    let facts: Vec<String> = statuses.iter().map(|status| status.facts("")).collect();
    let underway = statuses.iter().zip(&facts);
    let underway = underway.filter(|(status, _)| !matches!(status.state, State::Failed(_)));
    let behind = underway.map(|(_, facts)| facts.chars().count()).max();
    // For names and bars.
    let room = width.saturating_sub(behind.unwrap_or(0) + 4);
    let longest = statuses
        .iter()
        .map(|status| status.name.chars().count())
        .max();
    let name_max = room.saturating_sub(BAR_MIN).clamp(NAME_MIN, NAME_MAX);
    let name = longest.unwrap_or(0).min(name_max);
    let columns = room.saturating_sub(name).min(BAR_MAX);
    let lines = statuses.iter().zip(facts).map(|(status, facts)| {
        let line = match status.state {
            State::Failed(_) => format!("{}  {facts}", fitted(&status.name, name)),
            _ => format!(
                "{}  {}  {facts}",
                fitted(&status.name, name),
                bar(status.share(), columns)
            ),
        };
        line.chars().take(width).collect()
    });
    lines.collect()
}

/// In exactly so many columns.
fn fitted(name: &str, columns: usize) -> String {
    if name.chars().count() <= columns {
        return format!("{name:<columns$}");
    }
    let begin = name.chars().take(columns.saturating_sub(1));
    begin.chain(['…']).collect()
}

/// So many columns, with halves.
fn bar(share: f64, columns: usize) -> String {
    let halves = (share * 2.0 * columns as f64) as usize;
    let (full, half) = (halves / 2, halves % 2);
    let rest = columns - full - half;
    ["━".repeat(full), "╸".repeat(half), "─".repeat(rest)].concat()
}

fn counted(peers: usize) -> String {
    match peers {
        1 => "1 peer".to_owned(),
        _ => format!("{peers} peers"),
    }
}

fn rate(bytes: f64) -> String {
    match bytes {
        0.0..1e3 => format!("{bytes:.0} B/s"),
        1e3..1e6 => format!("{:.1} kB/s", bytes / 1e3),
        _ => format!("{:.1} MB/s", bytes / 1e6),
    }
}

/// With spaces before it; nothing if nobody can say.
fn time_left(bytes: u64, rate: f64) -> String {
    let seconds = bytes as f64 / rate;
    if !(0.0..100.0 * 3600.0).contains(&seconds) {
        return String::new();
    }
    let seconds = seconds.ceil() as u64;
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 {
        format!("  {hours}:{minutes:02}:{seconds:02} left")
    } else {
        format!("  {minutes}:{seconds:02} left")
    }
}

/// Columns and rows of the terminal.
fn size() -> (usize, usize) {
    tcgetwinsize(io::stdout()).map_or(SIZE_UNKNOWN, |size| {
        (usize::from(size.ws_col).max(20), size.ws_row.into())
    })
}

/// Often enough to look alive.
const REDRAW: Duration = Duration::from_millis(250);

/// In a file, a line so often is enough to see what happened when.
const RETELL: Duration = Duration::from_secs(10);

const SIZE_UNKNOWN: (usize, usize) = (80, 24);
const NAME_MIN: usize = 8;
const NAME_MAX: usize = 24;
const BAR_MIN: usize = 8;
const BAR_MAX: usize = 40;

/// To the left, and nothing there any more; also below.
const ERASE_LINE: &str = "\r\x1b[K";
const ERASE_BELOW: &str = "\r\x1b[J";
const NO_WRAP: &str = "\x1b[?7l";
const WRAP: &str = "\x1b[?7h";

#[cfg(test)]
mod tests {
    use super::*;

    fn status(done: u32, down: f64, left: u64) -> Status {
        Status {
            name: "film.mkv".to_owned(),
            done,
            pieces: 200,
            state: State::Sharing {
                peers: 3,
                down,
                up: 512.0,
                left,
            },
        }
    }

    #[test]
    fn a_line_is_not_wider_than_the_terminal() {
        let (half, failed) = (status(101, 12_345_678.0, 1_000_000_000), failed());
        for width in 0..200 {
            for line in bars(&[half.clone(), failed.clone()], width) {
                assert!(line.chars().count() <= width);
            }
        }
        assert_eq!(
            bars(&[half], 80),
            ["film.mkv  ━━━━━━──────   50 %  101/200  ↓12.3 MB/s  ↑512 B/s  3 peers  1:22 left"]
        );
    }

    #[test]
    fn bars_do_not_begin_at_different_places() {
        let long = Status {
            name: "a name that is longer than others.iso".to_owned(),
            ..status(200, 0.0, 0)
        };
        assert_eq!(
            bars(&[status(20, 1e6, 100_000_000), long], 94),
            [
                "film.mkv                  ━───────────   10 %  20/200  ↓1.0 MB/s  ↑512 B/s  3 peers  1:40 left",
                "a name that is longer t…  ━━━━━━━━━━━━  100 %  200/200  complete  ↑512 B/s  3 peers",
            ]
        );
    }

    #[test]
    fn a_bar_is_not_full_before_the_end_nor_of_another_length() {
        for step in 0..=100 {
            let bar = bar(f64::from(step) / 100.0, 10);
            assert_eq!(bar.chars().count(), 10);
            assert_eq!(bar == "━".repeat(10), step == 100);
        }
    }

    #[test]
    fn without_a_rate_no_time_is_promised() {
        assert_eq!(time_left(5, 0.0), "");
        assert_eq!(time_left(0, 0.0), "");
        assert_eq!(time_left(u64::MAX, 1.0), "");
        assert_eq!(time_left(90, 1.0), "  1:30 left");
        assert_eq!(time_left(3_601, 1.0), "  1:00:01 left");
    }

    #[test]
    fn what_has_ended_is_not_called_underway() {
        let complete = status(200, 0.0, 0);
        assert_eq!(complete.told(), Told::Complete);
        assert_eq!(
            complete.line(),
            "film.mkv  100 %  200/200 pieces  complete  ↑512 B/s  3 peers"
        );
        assert_eq!(failed().line(), "film.mkv  failed: no space left");
    }

    fn failed() -> Status {
        Status {
            state: State::Failed("no space left".to_owned()),
            ..status(0, 0.0, 1)
        }
    }
}
