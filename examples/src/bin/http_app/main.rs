//! A page that is alive: a chat, charts of the server itself, and what else HTTP can do.
//!
//! `cargo run --release --bin http_app`, then open http://127.0.0.1:8888 in a few tabs.

mod app;
mod chat;
mod events;
mod metrics;
mod pages;
mod recent;
mod sampler;
mod sse;
mod stream;
mod upload;
mod websocket;

use std::rc::Rc;

use examples::Flags;
use httpserver::{Error, HttpServer, Method, Request, Response, StatusCode};
use tcpserver::{BoxError, TcpServer};

use crate::app::App;

async fn answer(app: &Rc<App>, mut request: Request) -> Result<Response, Error> {
    let gets = matches!(*request.method(), Method::GET | Method::HEAD);
    let posts = *request.method() == Method::POST;
    match request.path() {
        "/" if gets => app.pages.home(),
        "/events" if gets => events::stream(app, &request),
        "/messages" if posts => chat::post(app, &mut request).await,
        "/metrics" if gets => metrics::page(app, &request),
        "/plaintext" if gets => Ok(Response::text("Hello, World!")),
        "/echo" if posts => Ok(Response::new(request.body().bytes().await?)),
        "/stream" if gets => stream::answer(&request),
        "/upload" if posts => upload::answer(&mut request).await,
        "/ws" if gets => websocket::answer(&request),
        "/" | "/events" | "/metrics" | "/plaintext" | "/stream" | "/ws" => only("GET, HEAD"),
        "/messages" | "/echo" | "/upload" => only("POST"),
        _ => app.pages.not_found(),
    }
}

/// What a path says that is there, but not for this method.
fn only(methods: &str) -> Result<Response, Error> {
    Response::from(StatusCode::METHOD_NOT_ALLOWED).with_header("Allow", methods)
}

fn main() -> Result<(), BoxError> {
    let flags = Flags::parse("http_app", "");
    let app = Rc::new(App::new());
    let shared = app.clone();
    let server = TcpServer::new(HttpServer::new(async move |request: Request| {
        shared.count_request();
        let response = match answer(&shared, request).await {
            Err(error) if error.status().is_client_error() => error.into(),
            answer => answer?,
        };
        // No answer is ever taken for something else than it says it is.
        response.with_header("X-Content-Type-Options", "nosniff")
    }));
    let server = server.max_connections(CONNECTIONS_MAX);
    let addresses = server.listen(flags.address())?;

    let counted = server.clone();
    let _every_second = sampler::start(app, move || counted.connections());
    server.serve_and(|| println!("listening on http://{}", addresses[0]))
}

/// An open tab holds one, a busy one up to six; more wait until somebody leaves.
const CONNECTIONS_MAX: usize = 1000;
