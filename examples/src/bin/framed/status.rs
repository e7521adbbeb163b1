//! What every connection is about just now: what `SIGUSR1` prints.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::process;
use std::rc::Rc;
use std::time::Instant;

use iostream::Address;

use crate::protocol::{DIGITS, Progress};

/// The connections of this process, oldest first.
#[derive(Default)]
pub(crate) struct Status {
    lines: RefCell<BTreeMap<u64, Rc<Line>>>,
    entered: Cell<u64>,
}

struct Line {
    peer: Address,
    since: Instant,
    state: Cell<State>,
}

/// What a connection waits for.
#[derive(Clone, Copy)]
pub(crate) enum State {
    /// A request, of which this much is here.
    Reading(Progress),
    /// The business function.
    Working,
    /// A client that takes its reply: it has so many bytes of how many.
    Writing(usize, usize),
}

impl Status {
    pub(crate) fn enter(self: &Rc<Self>, peer: &Address, now: Instant) -> Entry {
        let number = self.entered.get();
        self.entered.set(number + 1);
        let line = Rc::new(Line {
            peer: peer.clone(),
            since: now,
            state: Cell::new(State::Reading(Progress::Header(0))),
        });
        self.lines.borrow_mut().insert(number, Rc::clone(&line));
        Entry {
            status: Rc::clone(self),
            number,
            line,
        }
    }

    /// A line with this process and how many connections it has, then one for each of them.
    pub(crate) fn report(&self, now: Instant) -> String {
        let lines = self.lines.borrow();
        let mut report = format!("process {}: {} connections\n", process::id(), lines.len());
        for Line { peer, since, state } in lines.values().map(|line| &**line) {
            let (state, wanted, had) = state.get().in_words();
            let age = (now - *since).as_secs_f64();
            // Writing to a string cannot fail.
            let _ = writeln!(
                report,
                "{peer} state={state} wanted={wanted} had={had} age={age:.1}s"
            );
        }
        report
    }
}

impl State {
    /// Its name, how many bytes it is about, and how many of them there are.
    fn in_words(self) -> (&'static str, u64, usize) {
        match self {
            State::Reading(Progress::Header(0)) => ("idle", DIGITS as u64, 0),
            State::Reading(Progress::Header(had)) => ("header", DIGITS as u64, had),
            State::Reading(Progress::Body(had, wanted)) => ("body", wanted, had),
            State::Working => ("working", 0, 0),
            State::Writing(had, wanted) => ("writing", wanted as u64, had),
        }
    }
}

/// One connection's line, which goes when this is dropped: however the connection ended.
pub(crate) struct Entry {
    status: Rc<Status>,
    number: u64,
    line: Rc<Line>,
}

impl Entry {
    pub(crate) fn set(&self, state: State) {
        self.line.state.set(state);
    }

    /// Nothing of a request is here, and no reply is due.
    pub(crate) fn is_idle(&self) -> bool {
        matches!(self.line.state.get(), State::Reading(Progress::Header(0)))
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.status.lines.borrow_mut().remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_connection_is_not_reported_after_its_end() {
        let now = ioloop::IoLoop::current().now();
        let status = Rc::new(Status::default());
        let first = status.enter(&Address::Memory, now);
        let second = status.enter(&Address::Memory, now + Duration::from_secs(2));
        first.set(State::Reading(Progress::Body(5, 12)));
        second.set(State::Writing(0, 7));
        let report = status.report(now + Duration::from_millis(3500));
        let lines: Vec<&str> = report.lines().skip(1).collect();
        assert_eq!(
            lines,
            [
                "memory state=body wanted=12 had=5 age=3.5s",
                "memory state=writing wanted=7 had=0 age=1.5s",
            ]
        );
        drop(first);
        assert_eq!(status.report(now).matches("memory").count(), 1);
        drop(second);
        assert!(status.report(now).ends_with(": 0 connections\n"));
    }
}
