//~ `Echo` cannot handle streams
//~ this is not a stream handler
//~ or a type that implements `StreamHandler`

use tcpserver::{BoxError, TcpServer};

struct Echo;

fn main() -> Result<(), BoxError> {
    TcpServer::new(Echo).run("127.0.0.1:8888")
}
