//! The smallest HTTP server: `cargo run --release --bin hello`, then open http://127.0.0.1:8888.

use examples::Flags;
use httpserver::{Error, HttpServer, Method, Request, Response, StatusCode};
use tcpserver::{BoxError, TcpServer};

async fn hello(mut request: Request) -> Result<Response, Error> {
    match *request.method() {
        Method::POST if request.path() == "/echo" => {
            Ok(Response::new(request.body().bytes().await?))
        }
        Method::GET | Method::HEAD | Method::POST => Ok(Response::text("Hello, World!")),
        _ => Response::from(StatusCode::METHOD_NOT_ALLOWED).with_header("Allow", "GET, HEAD, POST"),
    }
}

fn main() -> Result<(), BoxError> {
    let flags = Flags::parse("hello", "--processes N");
    let server = TcpServer::new(HttpServer::new(hello));
    let addresses = server.bind(flags.address())?;
    server.serve_processes(flags.get("processes", 1), || {
        println!("listening on http://{}", addresses[0]);
    })
}
