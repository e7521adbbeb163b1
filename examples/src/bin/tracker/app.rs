//! What all requests share.

use std::cell::{Cell, RefCell};
use std::time::Instant;

use fastrand::Rng;
use ioloop::IoLoop;

use crate::page::Page;
use crate::tracker::Tracker;
use crate::udp_packets::Asked;

pub(crate) struct App {
    pub(crate) tracker: RefCell<Tracker>,
    pub(crate) random: RefCell<Rng>,
    pub(crate) counters: Counters,
    pub(crate) page: Page,
    started: Instant,
}

/// What was asked for since the start.
#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) http_announces: Cell<u64>,
    pub(crate) http_scrapes: Cell<u64>,
    /// Over HTTP and UDP, with a reason.
    pub(crate) refused: Cell<u64>,
    pub(crate) udp_connects: Cell<u64>,
    pub(crate) udp_announces: Cell<u64>,
    pub(crate) udp_scrapes: Cell<u64>,
    pub(crate) udp_ignored: Cell<u64>,
}

impl App {
    pub(crate) fn new(tracker: Tracker) -> App {
        let io_loop = IoLoop::current();
        App {
            tracker: RefCell::new(tracker),
            random: RefCell::new(Rng::with_seed(io_loop.random())),
            counters: Counters::default(),
            page: Page::new(),
            started: io_loop.now(),
        }
    }

    /// Seconds since the start: enough for 136 years.
    pub(crate) fn now(&self) -> u32 {
        let seconds = (IoLoop::current().now() - self.started).as_secs();
        u32::try_from(seconds).unwrap_or(u32::MAX)
    }
}

impl Counters {
    pub(crate) fn count_udp(&self, asked: Option<Asked>) {
        count(match asked {
            Some(Asked::Connect) => &self.udp_connects,
            Some(Asked::Announce) => &self.udp_announces,
            Some(Asked::Scrape) => &self.udp_scrapes,
            Some(Asked::Refused) => &self.refused,
            None => &self.udp_ignored,
        });
    }

    pub(crate) fn announces(&self) -> u64 {
        self.http_announces.get() + self.udp_announces.get()
    }
}

pub(crate) fn count(counter: &Cell<u64>) {
    counter.set(counter.get() + 1);
}
