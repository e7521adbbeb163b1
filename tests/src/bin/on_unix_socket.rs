//! An HTTP server on a Unix socket: it says how much it was sent.

use examples::Flags;
use httpserver::{Error, HttpServer, Request, Response};
use tcpserver::{BoxError, TcpServer, bind_unix_socket};

async fn count(mut request: Request) -> Result<Response, Error> {
    let length = request.body().bytes().await?.len();
    Ok(Response::text(format!("{length}\n")))
}

fn main() -> Result<(), BoxError> {
    let flags = Flags::parse("on_unix_socket", "--path PATH");
    let path: String = flags.get("path", String::new());
    let server = TcpServer::new(HttpServer::new(count));
    server.add_sockets(vec![bind_unix_socket(&path, 0o600)?])?;
    server.serve_and(|| println!("listening on unix:{path}"))
}
