//! How the server is, second by second: what the charts draw.

use std::rc::Rc;
use std::time::Duration;

use ioloop::{IoLoop, PeriodicCallback};
use serde_json::json;

use crate::app::App;

/// Takes a sample a second, for as long as what it returns is kept.
pub(crate) fn start(app: Rc<App>, connections: impl Fn() -> usize + 'static) -> PeriodicCallback {
    let mut requests_before = 0;
    let mut busy_before = Duration::ZERO;
    let mut taken = IoLoop::current().now();
    let sampler = PeriodicCallback::new(Duration::from_secs(1), move || {
        let now = IoLoop::current().now();
        // A slot may be late, or skipped by a machine that slept.
        let seconds = (now - taken).as_secs_f64();
        let metrics = IoLoop::current().metrics();
        let sample = json!({
            "requests": (app.requests() - requests_before) as f64 / seconds,
            "connections": connections(),
            "followers": app.followers.get(),
            "busy": (metrics.busy - busy_before).as_secs_f64() / seconds * 100.0,
            "longest_turn": IoLoop::current().take_longest_turn().as_secs_f64() * 1000.0,
        });
        taken = now;
        requests_before = app.requests();
        busy_before = metrics.busy;
        app.samples.borrow_mut().push(sample.to_string());
        app.news.notify(usize::MAX);
    });
    sampler.start();
    sampler
}

/// The width of a chart in seconds.
pub(crate) const SAMPLES_MAX: usize = 60;
