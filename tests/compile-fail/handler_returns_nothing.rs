//~ cannot handle streams
//~ a handler is an `async fn(IoStream, Connection) -> Result<(), BoxError>`

use tcpserver::{BoxError, Connection, IoStream, TcpServer};

async fn refuse(stream: IoStream, _: Connection) {
    let _ = stream.write(b"we are closed\n").await;
}

fn main() -> Result<(), BoxError> {
    TcpServer::new(refuse).run("127.0.0.1:8888")
}
