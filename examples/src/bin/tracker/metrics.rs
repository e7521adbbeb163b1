//! `GET /metrics`, in the text format of Prometheus.

use httpserver::{Error, Request, Response};
use ioloop::IoLoop;

use crate::app::App;

pub(crate) fn page(app: &App, request: &Request) -> Result<Response, Error> {
    let tracker = app.tracker.borrow();
    let (total, counters) = (tracker.total(), &app.counters);
    let metrics = IoLoop::current().metrics();
    let page = format!(
        include_str!("metrics.txt"),
        swarms = tracker.swarm_count(),
        seeds = total.seeds,
        leechers = total.leechers,
        expired = tracker.expired(),
        http_announces = counters.http_announces.get(),
        udp_announces = counters.udp_announces.get(),
        http_scrapes = counters.http_scrapes.get(),
        udp_scrapes = counters.udp_scrapes.get(),
        udp_connects = counters.udp_connects.get(),
        udp_ignored = counters.udp_ignored.get(),
        refused = counters.refused.get(),
        connections = request.connection().server_connections(),
        turns = metrics.turns,
        busy = metrics.busy.as_secs_f64(),
        idle = metrics.idle.as_secs_f64(),
        longest_turn = metrics.longest_turn.as_secs_f64(),
    );
    Response::new(page).with_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
}
