//! A BitTorrent tracker: peers announce themselves, over HTTP or UDP, and are told of others.
//!
//! `cargo run --release --bin tracker`, then open http://127.0.0.1:8888, and make a torrent that
//! announces to http://127.0.0.1:8888/announce.

mod announce;
mod app;
mod catalogue;
mod choice;
mod connection_id;
mod endpoint;
mod http;
mod http_announce;
mod metrics;
mod page;
mod peers;
mod query;
mod save;
mod scrape;
mod state;
mod swarm;
mod tracker;
mod udp;
mod udp_packets;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use event_listener::Event;
use examples::Flags;
use httpserver::{HttpServer, Request};
use ioloop::{IoLoop, PeriodicCallback, signals};
use iostream::IoStream;
use tcpserver::{BoxError, Connection, StreamHandler, TcpServer};

use crate::app::App;
use crate::catalogue::{Catalogue, Sources};
use crate::connection_id::ConnectionIds;
use crate::tracker::{SETTINGS, Settings, Tracker};

fn main() -> Result<(), BoxError> {
    let flags = Flags::parse(
        "tracker",
        "--interval S --state FILE --save-every S --allow-file FILE --torrents FOLDER \
         --udp-port P --max-swarms N --max-peers N",
    );
    let sources = Sources {
        allow_file: flags.find("allow-file"),
        folder: flags.find("torrents"),
    };
    let mut tracker = Tracker::new(settings(&flags), Catalogue::load(&sources)?);
    let state: Option<PathBuf> = flags.find("state");
    if let Some(path) = &state {
        save::load(path, &mut tracker)?;
    }
    let app = Rc::new(App::new(tracker));
    let io_loop = IoLoop::current();
    let server = serve_http(&app);
    let address = flags.address();
    let addresses = server.listen(address)?;

    let udp = flags
        .find("udp-port")
        .map(|port| udp::bind(SocketAddr::new(address.ip(), port)));
    let udp = udp.transpose()?;
    let udp_address = udp.as_ref().map(|socket| socket.local_addr()).transpose()?;
    let ids = ConnectionIds::new()?;
    let _answering = udp.map(|socket| io_loop.spawn(udp::serve(socket, ids, app.clone())));
    let swept = app.clone();
    let every_second = PeriodicCallback::new(Duration::from_secs(1), move || {
        swept.tracker.borrow_mut().sweep(swept.now());
    });
    every_second.start();
    let _reloading = io_loop.spawn(reload(
        app.clone(),
        sources,
        signals::Listener::new(signals::SIGHUP)?,
    ));
    let ending = Rc::new(Event::new());
    let saving = state.map(|path| {
        let pause = Duration::from_secs(flags.get("save-every", SAVED_EVERY).max(1));
        io_loop.spawn(save::keep(app.clone(), path, pause, ending.clone()))
    });

    server.serve_and(|| {
        println!("listening on http://{}", addresses[0]);
        if let Some(address) = udp_address {
            println!("listening on udp://{address}");
        }
    })?;
    if let Some(saving) = saving {
        ending.notify(1);
        io_loop.run_until(saving);
    }
    Ok(())
}

fn serve_http(app: &Rc<App>) -> TcpServer<impl StreamHandler> {
    let app = app.clone();
    let server = HttpServer::new(async move |request: Request| {
        let response = http::answer(&app, request).await?;
        response.with_header("X-Content-Type-Options", "nosniff")
    });
    let server = server.max_head_size(HEAD_MAX).max_body_size(0);
    let server = server.head_timeout(HEAD_TIMEOUT).idle_timeout(IDLE_TIMEOUT);
    TcpServer::new(async move |stream: IoStream, connection: Connection| {
        // Clients send one request without a body, and most want the connection closed after it:
        // there is nothing more to come that would have to be thrown away first.
        stream.set_linger_timeout(Duration::ZERO);
        server.handle_stream(stream, connection).await
    })
}

/// Reads the lists again at each signal; those that cannot be read leave everything as it was.
async fn reload(app: Rc<App>, sources: Sources, signal: signals::Listener) {
    while signal.recv().await.is_ok() {
        let sources = sources.clone();
        let loaded = IoLoop::current().run_blocking(move || Catalogue::load(&sources));
        match loaded.await {
            Ok(catalogue) => {
                tracing::info!(
                    torrents = catalogue.len(),
                    "read the lists of torrents again"
                );
                app.tracker.borrow_mut().catalogue = catalogue;
            }
            Err(error) => tracing::error!(%error, "cannot read the lists of torrents again"),
        }
    }
}

fn settings(flags: &Flags) -> Settings {
    Settings {
        interval: flags.get("interval", SETTINGS.interval).max(1),
        swarms_max: flags.get("max-swarms", SETTINGS.swarms_max),
        peers_max: flags.get("max-peers", SETTINGS.peers_max),
    }
}

/// Seconds. What is lost by a crash comes back with the next announces.
const SAVED_EVERY: u64 = 300;
/// The longest announces have 500 bytes, a scrape of 74 torrents has 6,000.
const HEAD_MAX: usize = 8 << 10;
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Clients that keep a connection at all ask again after half an hour only.
const IDLE_TIMEOUT: Duration = Duration::from_secs(15);
