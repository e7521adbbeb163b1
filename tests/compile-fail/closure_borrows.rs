//~ does not live long enough
//~ `greeting` is borrowed for `'static`

use tcpserver::{BoxError, Connection, IoStream, TcpServer};

fn main() -> Result<(), BoxError> {
    let greeting = String::from("hello\n");
    let greet = async |stream: IoStream, _: Connection| {
        stream.write(greeting.as_bytes()).await?;
        Ok(())
    };
    TcpServer::new(greet).run("127.0.0.1:8888")
}
