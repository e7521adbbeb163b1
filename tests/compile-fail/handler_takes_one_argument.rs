//~ expected function that takes 2 arguments
//~ to implement `StreamHandler`

use tcpserver::{BoxError, IoStream, TcpServer};

async fn echo(mut stream: IoStream) -> Result<(), BoxError> {
    let line = stream.read_until(b"\n", 4096).await?;
    stream.write(&line).await?;
    Ok(())
}

fn main() -> Result<(), BoxError> {
    TcpServer::new(echo).run("127.0.0.1:8888")
}
