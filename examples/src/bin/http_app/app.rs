//! What all requests share.

use std::cell::{Cell, RefCell};

use event_listener::Event;
use ioloop::IoLoop;

use crate::chat::{KEPT_MAX, Message};
use crate::pages::Pages;
use crate::recent::Recent;
use crate::sampler::SAMPLES_MAX;

pub(crate) struct App {
    pub(crate) pages: Pages,
    /// What was said.
    pub(crate) messages: RefCell<Recent<Message>>,
    /// How the server has been, second by second; in JSON.
    pub(crate) samples: RefCell<Recent<String>>,
    /// Told of every addition to the two.
    pub(crate) news: Event,
    /// Tabs that follow the news.
    pub(crate) followers: Cell<usize>,
    /// Tells this run of the server from those before: messages are numbered from nought in each.
    pub(crate) run: u64,
    requests: Cell<u64>,
}

impl App {
    pub(crate) fn new() -> App {
        App {
            pages: Pages::new(),
            messages: RefCell::new(Recent::new(KEPT_MAX)),
            samples: RefCell::new(Recent::new(SAMPLES_MAX)),
            news: Event::new(),
            followers: Cell::new(0),
            run: IoLoop::current().random(),
            requests: Cell::new(0),
        }
    }

    pub(crate) fn count_request(&self) {
        self.requests.set(self.requests.get() + 1);
    }

    pub(crate) fn requests(&self) -> u64 {
        self.requests.get()
    }
}
