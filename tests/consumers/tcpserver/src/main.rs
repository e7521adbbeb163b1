//! The server alone: it greets a client of the standard library, which then stops it.

use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, id};
use std::thread;

use tcpserver::{BoxError, Connection, IoStream, TcpServer};

async fn greet(stream: IoStream, _: Connection) -> Result<(), BoxError> {
    stream.write(b"hello").await?;
    Ok(())
}

fn visit(address: SocketAddr) -> std::io::Result<()> {
    let mut greeting = String::new();
    TcpStream::connect(address)?.read_to_string(&mut greeting)?;
    println!("tcpserver alone says {greeting}");
    // The handler is in place: it was installed before the server accepted us.
    let kill = format!("kill -TERM {}", id());
    Command::new("sh").args(["-c", &kill]).status()?;
    Ok(())
}

fn main() -> Result<(), BoxError> {
    let server = TcpServer::new(greet);
    let address = server.listen("127.0.0.1:0")?[0].ip().ok_or("not TCP")?;
    let visiting = thread::spawn(move || visit(address));
    server.serve()?;
    visiting.join().map_err(|_| "the visitor panicked")??;
    Ok(())
}
