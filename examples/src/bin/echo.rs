//! A line echo: `cargo run --release --bin echo -- --port 8888`, then `nc 127.0.0.1 8888`.

use examples::Flags;
use tcpserver::{BoxError, Connection, IoStream, TcpServer};

async fn echo(mut stream: IoStream, connection: Connection) -> Result<(), BoxError> {
    loop {
        let next_line = stream.read_until(b"\n", LINE_MAX);
        let Some(line) = connection.unless_draining(next_line).await.transpose()? else {
            return Ok(());
        };
        stream.write(&line).await?;
    }
}

fn main() -> Result<(), BoxError> {
    let flags = Flags::parse("echo", "--processes N");
    let server = TcpServer::new(echo);
    let addresses = server.bind(flags.address())?;
    server.serve_processes(flags.get("processes", 1), || {
        println!("listening on {}", addresses[0]);
    })
}

/// A longer line ends the connection: a peer cannot make us remember without end.
const LINE_MAX: usize = 4096;
