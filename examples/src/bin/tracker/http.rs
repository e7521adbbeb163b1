//! What the tracker answers over HTTP.

use std::rc::Rc;

use httpserver::{Error, Method, Request, Response, StatusCode};
use ioloop::IoLoop;

use crate::app::{App, count};
use crate::catalogue;
use crate::query::{items, twenty};
use crate::{http_announce, metrics, scrape};
use examples::info_hash::InfoHash;

pub(crate) async fn answer(app: &Rc<App>, request: Request) -> Result<Response, Error> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let refusal = Response::from(StatusCode::METHOD_NOT_ALLOWED);
        return refusal.with_header("Allow", "GET, HEAD");
    }
    let query = request.query().unwrap_or_default();
    match request.path() {
        "/announce" => Ok(bencode(announce(app, &request, query), app)),
        "/scrape" => Ok(bencode(scrape(app, query), app)),
        "/" | "/index.html" => app.page.home(app),
        "/metrics" => metrics::page(app, &request),
        "/file" => file(app, query).await,
        _ => Ok(StatusCode::NOT_FOUND.into()),
    }
}

fn announce(app: &App, request: &Request, query: &str) -> Result<Vec<u8>, &'static str> {
    let source = request.connection().peer_address().ip();
    let source = source.ok_or("only peers with an IP address can be announced")?;
    let (announce, format) = http_announce::parse(query, source.ip())?;
    let mut tracker = app.tracker.borrow_mut();
    let interval = tracker.settings.interval;
    let told = tracker.announce(&announce, app.now(), &mut app.random.borrow_mut());
    let told = told.map_err(|refusal| refusal.text())?;
    count(&app.counters.http_announces);
    Ok(http_announce::answer(told, format, interval))
}

fn scrape(app: &App, query: &str) -> Result<Vec<u8>, &'static str> {
    let hashes = scrape::parse(query)?;
    count(&app.counters.http_scrapes);
    Ok(scrape::answer(&hashes, &app.tracker.borrow()))
}

/// Always with status 200: several clients do not look at the bodies of others.
fn bencode(answer: Result<Vec<u8>, &'static str>, app: &App) -> Response {
    let body = answer.unwrap_or_else(|reason| {
        count(&app.counters.refused);
        http_announce::failure(reason)
    });
    Response::text(body)
}

/// `/file?info_hash=`: a torrent of the folder.
async fn file(app: &App, query: &str) -> Result<Response, Error> {
    let hash = items(query).find(|(name, _)| *name == "info_hash");
    let Some(hash) = hash.and_then(|(_, value)| twenty(value)).map(InfoHash) else {
        return Ok(StatusCode::BAD_REQUEST.into());
    };
    let listed = app
        .tracker
        .borrow()
        .catalogue
        .get(&hash)
        .and_then(|listed| listed.file.clone());
    let Some(path) = listed else {
        return Ok(StatusCode::NOT_FOUND.into());
    };
    let read = move || catalogue::torrent(&path, &hash);
    match IoLoop::current().run_blocking(read).await {
        Some(torrent) => Response::new(torrent)
            .with_header("Content-Type", "application/x-bittorrent")?
            .with_header(
                "Content-Disposition",
                format!("attachment; filename=\"{hash}.torrent\""),
            ),
        None => Ok(StatusCode::NOT_FOUND.into()),
    }
}
