//! A server that greets, and whose handlers then never come to an end by themselves.

use std::future::pending;
use std::time::Duration;

use examples::Flags;
use tcpserver::{BoxError, Connection, IoStream, TcpServer};

async fn greet_for_ever(stream: IoStream, _: Connection) -> Result<(), BoxError> {
    stream.write(b"hello\n").await?;
    pending().await
}

fn main() -> Result<(), BoxError> {
    let flags = Flags::parse("deaf", "--grace MILLISECONDS");
    let grace = Duration::from_millis(flags.get("grace", 60_000));
    let server = TcpServer::new(greet_for_ever).shutdown_grace(grace);
    println!("listening on {}", server.listen(flags.address())?[0]);
    server.serve()
}
