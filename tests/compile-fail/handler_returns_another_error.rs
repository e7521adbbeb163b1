//~ cannot handle streams
//~ a handler is an `async fn(IoStream, Connection) -> Result<(), BoxError>`

use tcpserver::{BoxError, Connection, IoStream, TcpServer};

async fn echo(mut stream: IoStream, _: Connection) -> Result<(), iostream::Error> {
    let line = stream.read_until(b"\n", 4096).await?;
    stream.write(&line).await
}

fn main() -> Result<(), BoxError> {
    TcpServer::new(echo).run("127.0.0.1:8888")
}
