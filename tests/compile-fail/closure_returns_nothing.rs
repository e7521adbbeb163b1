//~ cannot handle streams
//~ a handler is an `async fn(IoStream, Connection) -> Result<(), BoxError>`, an async closure

use tcpserver::{BoxError, Connection, IoStream, TcpServer};

fn main() -> Result<(), BoxError> {
    let refuse = async |stream: IoStream, _: Connection| {
        let _ = stream.write(b"we are closed\n").await;
    };
    TcpServer::new(refuse).run("127.0.0.1:8888")
}
