//! `GET /metrics`, in the text format of Prometheus.

use httpserver::{Error, Request, Response};
use ioloop::IoLoop;

use crate::app::App;

pub(crate) fn page(app: &App, request: &Request) -> Result<Response, Error> {
    let metrics = IoLoop::current().metrics();
    let page = format!(
        include_str!("metrics.txt"),
        requests = app.requests(),
        messages = app.messages.borrow().end(),
        connections = request.connection().server_connections(),
        followers = app.followers.get(),
        turns = metrics.turns,
        events = metrics.events,
        polls = metrics.polls,
        timers_fired = metrics.timers_fired,
        busy = metrics.busy.as_secs_f64(),
        idle = metrics.idle.as_secs_f64(),
        longest_turn = metrics.longest_turn.as_secs_f64(),
        tasks = metrics.live_tasks,
        timers = metrics.live_timers,
    );
    Response::new(page).with_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
}
