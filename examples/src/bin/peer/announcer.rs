//! Telling the trackers of a torrent where we are, and hearing of others.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use event_listener::Event as Notice;
use futures_lite::future::or;
use ioloop::{IoLoop, sleep, timeout};

use crate::announce::{Announce, Event, Reply};
use crate::backoff::Backoff;
use crate::swarm::Swarm;
use crate::tracker_http;

/// Announces one torrent: when it begins, ends, is complete, and as often as the tracker wishes.
pub(crate) struct Announcer {
    swarm: Rc<Swarm>,
    /// The first is asked first; one that has answered becomes the first.
    trackers: RefCell<Vec<String>>,
    key: u32,
    tracker_id: RefCell<Vec<u8>>,
    /// A tracker may know of us: we have begun to ask.
    has_asked: Cell<bool>,
    /// A tracker knows of us: one has answered.
    is_known: Cell<bool>,
    /// The download has ended, and no tracker knows that yet.
    has_completed: Cell<bool>,
    /// There is something to be told at once.
    has_news: Notice,
}

impl Announcer {
    pub(crate) fn new(swarm: Rc<Swarm>, trackers: Vec<String>) -> Announcer {
        let (http, others): (Vec<String>, Vec<String>) = trackers
            .into_iter()
            .partition(|url| url.starts_with("http://"));
        for url in others {
            tracing::info!("{url} is left out: trackers are asked over HTTP only");
        }
        Announcer {
            swarm,
            trackers: RefCell::new(http),
            key: IoLoop::current().random() as u32,
            tracker_id: RefCell::default(),
            has_asked: Cell::new(false),
            is_known: Cell::new(false),
            has_completed: Cell::new(false),
            has_news: Notice::new(),
        }
    }

    /// Announces for ever.
    pub(crate) async fn run(&self) {
        let mut backoff = Backoff::new(FAILED_FIRST, FAILED_LONGEST);
        loop {
            // From before the question, so that what happens meanwhile is not missed.
            let has_news = self.has_news.listen();
            let pause = match self.tell(self.news()).await {
                Ok(reply) => {
                    backoff.succeeded();
                    self.take(&reply)
                }
                Err(error) => {
                    let pause = backoff.failed(IoLoop::current().random());
                    let seconds = pause.as_secs();
                    tracing::warn!("cannot announce: {error}; again in {seconds} s");
                    pause
                }
            };
            or(sleep(pause), has_news).await;
        }
    }

    /// Tells the trackers at once that everything is here.
    pub(crate) fn completed(&self) {
        self.has_completed.set(true);
        self.has_news.notify(usize::MAX);
    }

    /// Tells a tracker that may know of us that we leave. It does not take long, whatever happens.
    pub(crate) async fn leave(&self) {
        let farewell = async {
            if self.news() == Some(Event::Completed) {
                self.tell(Some(Event::Completed)).await?;
            }
            self.tell(Some(Event::Stopped)).await
        };
        if self.has_asked.get() {
            // Nobody is left to hear of a failure.
            let _ = timeout(LEAVE_TIMEOUT, farewell).await;
        }
    }

    /// What is to be told first. Who has not told of its beginning has nothing else to tell.
    fn news(&self) -> Option<Event> {
        if !self.is_known.get() {
            Some(Event::Started)
        } else if self.has_completed.get() {
            Some(Event::Completed)
        } else {
            None
        }
    }

    async fn tell(&self, event: Option<Event>) -> Result<Reply, String> {
        self.has_asked.set(true);
        let reply = self.ask_any(event).await?;
        self.is_known.set(true);
        if event == Some(Event::Completed) {
            self.has_completed.set(false);
        }
        Ok(reply)
    }

    fn take(&self, reply: &Reply) -> Duration {
        if let Some(warning) = &reply.warning {
            tracing::warn!("the tracker says: {warning}");
        }
        if !reply.tracker_id.is_empty() {
            self.tracker_id.replace(reply.tracker_id.clone());
        }
        self.swarm
            .add_candidates(reply.peers.iter().copied(), false);
        let peers = self.swarm.state.borrow().peers.len();
        reply.pause(!self.swarm.is_complete() && peers < PEERS_FEW)
    }

    /// Asks one tracker after the other until one answers.
    async fn ask_any(&self, event: Option<Event>) -> Result<Reply, String> {
        let mut result = Err("there is no tracker to ask".to_owned());
        let trackers = self.trackers.borrow().clone();
        for (place, tracker) in trackers.iter().enumerate() {
            result = self.ask(tracker, event).await;
            if result.is_ok() {
                self.trackers.borrow_mut()[..=place].rotate_right(1);
                break;
            }
        }
        result
    }

    async fn ask(&self, tracker: &str, event: Option<Event>) -> Result<Reply, String> {
        let url = self.announce(event).url(tracker);
        let source = self.swarm.session.source();
        let get = move || tracker_http::get(&url, source);
        let body = IoLoop::current().run_blocking(get).await;
        let body = body.map_err(|error| format!("{tracker}: {error}"))?;
        Reply::parse(&body)
    }

    fn announce(&self, event: Option<Event>) -> Announce {
        let left = self.swarm.left();
        let state = self.swarm.state.borrow();
        let has_enough = event == Some(Event::Stopped) || state.peers.len() >= PEERS_ENOUGH;
        Announce {
            info_hash: self.swarm.info_hash,
            peer_id: self.swarm.session.peer_id,
            port: self.swarm.session.address.get().port(),
            uploaded: state.up.total(),
            downloaded: state.down.total(),
            left,
            event,
            numwant: if has_enough { 0 } else { NUMWANT },
            key: self.key,
            tracker_id: self.tracker_id.borrow().clone(),
        }
    }
}

const FAILED_FIRST: Duration = Duration::from_secs(50);
const FAILED_LONGEST: Duration = Duration::from_secs(1_800);

/// Whoever ends a program does not want to wait for a tracker.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(3);

/// With fewer, the tracker is asked for more soon; with so many, for none.
const PEERS_FEW: usize = 20;
const PEERS_ENOUGH: usize = 40;

const NUMWANT: usize = 50;
