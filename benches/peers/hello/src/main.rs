//! The same response from the toolkit, without the flags and the log of the example `hello`.

#[path = "../../../src/address.rs"]
mod address;

use httpserver::{Error, HttpServer, Request, Response};
use tcpserver::{BoxError, TcpServer};

fn main() -> Result<(), BoxError> {
    let address = address::address_from_arguments().map_err(|error| error.to_string())?;
    let server = TcpServer::new(HttpServer::new(hello));
    println!("listening on {}", server.listen(address)?[0]);
    server.serve()
}

async fn hello(_request: Request) -> Result<Response, Error> {
    Ok(Response::text("Hello, World!"))
}
