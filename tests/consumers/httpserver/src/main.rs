//! The HTTP server alone: it greets a client of the standard library, which then stops it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, id};
use std::thread;

use httpserver::{Error, HttpServer, Request, Response};
use tcpserver::{BoxError, TcpServer};

async fn greet(request: Request) -> Result<Response, Error> {
    Ok(Response::text(format!("hello, {}", request.path())))
}

fn visit(address: SocketAddr) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(b"GET /anna HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let greeting = answer.rsplit("\r\n").next().unwrap_or_default();
    println!("httpserver alone says {greeting}");
    // The handler is in place: it was installed before the server accepted us.
    let kill = format!("kill -TERM {}", id());
    Command::new("sh").args(["-c", &kill]).status()?;
    Ok(())
}

fn main() -> Result<(), BoxError> {
    let server = TcpServer::new(HttpServer::new(greet));
    let address = server.listen("127.0.0.1:0")?[0].ip().ok_or("not TCP")?;
    let visiting = thread::spawn(move || visit(address));
    server.serve()?;
    visiting.join().map_err(|_| "the visitor panicked")??;
    Ok(())
}
