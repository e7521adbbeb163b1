//! The news as Server-Sent Events: what is said, and how the server is.
//!
//! A tab has no queue here. It has a position in what all of them share, and is told what comes
//! behind that when it has taken what it was told before: a tab that does not read costs nothing,
//! and one that falls so far behind that messages are forgotten is told how many (`gap`).

use std::pin::Pin;
use std::rc::Rc;

use futures_lite::future::or;
use httpserver::{Body, Error, Request, Response};
use ioloop::IoLoop;

use crate::app::App;
use crate::sse::write_event;

/// `GET /events`. A tab that comes back names the last event that it has seen: in the field that
/// browsers send by themselves, or in the query (`after=ID`) if it had to start over.
pub(crate) fn stream(app: &Rc<App>, request: &Request) -> Result<Response, Error> {
    let mut follower = Follower::new(app.clone(), request);
    let events = async move || Some(Ok(follower.next().await?.into()));
    Response::new(Body::from_fn(events))
        .with_header("Content-Type", "text/event-stream")?
        .with_header("Cache-Control", "no-store")
}

/// A tab that follows the news.
struct Follower {
    app: Rc<App>,
    /// Positions in the messages and in the samples: what is behind them is news.
    messages: u64,
    samples: u64,
    was_greeted: bool,
    /// The tab was closed, or the server drains. Nobody is to wait for an open tab.
    end: Pin<Box<dyn Future<Output = ()>>>,
}

impl Follower {
    fn new(app: Rc<App>, request: &Request) -> Follower {
        let after = request
            .query()
            .and_then(|query| query.strip_prefix("after="));
        let last_seen = request
            .header("last-event-id")
            .or(after)
            .unwrap_or_default();
        let closed = request.peer_closed();
        let connection = request.connection().clone();
        app.followers.set(app.followers.get() + 1);
        let messages = position(last_seen, app.run, app.messages.borrow().end());
        Follower {
            messages,
            samples: 0,
            was_greeted: false,
            end: Box::pin(async move {
                let closed = async { _ = closed.await };
                or(closed, connection.draining()).await;
            }),
            app,
        }
    }

    /// Waits for news; none when it is over.
    async fn next(&mut self) -> Option<String> {
        loop {
            let news = self.news();
            if !news.is_empty() {
                return Some(news);
            }
            let changed = self.app.news.listen();
            let more = async {
                changed.await;
                true
            };
            let over = async {
                self.end.as_mut().await;
                false
            };
            if !or(more, over).await {
                return None;
            }
        }
    }

    /// What there is to tell, not too much at once.
    fn news(&mut self) -> String {
        let app = self.app.clone();
        let (messages, samples) = (app.messages.borrow(), app.samples.borrow());
        let mut news = String::new();
        if !self.was_greeted {
            self.was_greeted = true;
            news += RETRY;
            write_event(&mut news, "hello", &self.id(), "{}");
        }
        let missed = messages.missed(self.messages);
        if missed > 0 {
            self.messages += missed;
            write_event(&mut news, "gap", &self.id(), &missed.to_string());
        }
        let now = IoLoop::current().now();
        for message in messages.since(self.messages).take(BATCH) {
            self.messages += 1;
            write_event(&mut news, "message", &self.id(), &message.to_json(now));
        }
        for sample in samples.since(self.samples) {
            write_event(&mut news, "sample", &self.id(), sample);
        }
        self.samples = samples.end();
        news
    }

    /// An event's id says which run of the server it is of, and how many messages a tab knows that
    /// has seen it.
    fn id(&self) -> String {
        format!("{:016x}-{}", self.app.run, self.messages)
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.app.followers.set(self.app.followers.get() - 1);
    }
}

/// Where a tab goes on that has seen the event `last_seen`, while there have been `end` messages.
/// Who is new begins with the last few. What another run has said is no matter of ours: whoever
/// was there then knows nothing of this one.
fn position(last_seen: &str, run: u64, end: u64) -> u64 {
    let Some((of_run, seen)) = last_seen.split_once('-') else {
        return end.saturating_sub(NEWCOMERS_SEE);
    };
    let is_of_this_run = u64::from_str_radix(of_run, 16) == Ok(run);
    let seen = seen.parse().ok().filter(|seen| *seen <= end);
    seen.filter(|_| is_of_this_run).unwrap_or(0)
}

/// How many milliseconds a browser waits before it connects again. A server that was restarted is
/// back by then.
const RETRY: &str = "retry: 1000\n";

/// Messages that somebody sees who comes for the first time.
const NEWCOMERS_SEE: u64 = 50;

/// Messages in one piece of the stream: some 40 KB of long ones.
const BATCH: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_comes_back_hears_nothing_twice() {
        assert_eq!(position("2a-7", 0x2a, 9), 7);
        assert_eq!(position("2a-9", 0x2a, 9), 9);
        assert_eq!(position("2a-0", 0x2a, 100), 0);
    }

    #[test]
    fn who_knew_the_server_before_its_restart_misses_nothing_said_since() {
        assert_eq!(position("2b-7", 0x2a, 100), 0);
        assert_eq!(position("2a-101", 0x2a, 100), 0);
        assert_eq!(position("-", 0x2a, 100), 0);
    }

    #[test]
    fn who_is_new_is_not_told_everything() {
        assert_eq!(position("", 0x2a, 9), 0);
        assert_eq!(position("", 0x2a, 1000), 1000 - NEWCOMERS_SEE);
    }
}
