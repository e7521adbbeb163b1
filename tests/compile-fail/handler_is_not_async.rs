//~ cannot handle streams
//~ a handler is an `async fn(IoStream, Connection) -> Result<(), BoxError>`

use tcpserver::{BoxError, Connection, IoStream, TcpServer};

fn refuse(stream: IoStream, _: Connection) -> Result<(), BoxError> {
    stream.queue(b"we are closed\n")?;
    Ok(())
}

fn main() -> Result<(), BoxError> {
    TcpServer::new(refuse).run("127.0.0.1:8888")
}
