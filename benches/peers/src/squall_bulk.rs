//! Sends and receives as fast as it can through an `IoStream`, with what anybody would write.

use squall_benches::address::address_from_arguments;
use squall_benches::bulk::{ACKNOWLEDGEMENT, Direction, PIECE, REQUEST_LENGTH};
use tcpserver::{BoxError, Connection, IoStream, TcpServer};

fn main() -> Result<(), BoxError> {
    let address = address_from_arguments().map_err(|error| error.to_string())?;
    let server = TcpServer::new(exchange);
    println!("listening on {}", server.listen(address)?[0]);
    server.serve()
}

async fn exchange(mut stream: IoStream, _: Connection) -> Result<(), BoxError> {
    let mut buffer = vec![7; PIECE];
    loop {
        let request: [u8; REQUEST_LENGTH] = stream
            .read_bytes(REQUEST_LENGTH)
            .await?
            .try_into()
            .map_err(|_| "another length than asked for")?;
        let (direction, mut left) = Direction::parse(&request).ok_or("no such request")?;
        while left > 0 {
            let piece = &mut buffer[..left.min(PIECE)];
            left -= match direction {
                Direction::Sent => {
                    stream.write(piece).await?;
                    piece.len()
                }
                Direction::Received => stream.read_into(piece).await?,
            };
        }
        if direction == Direction::Received {
            stream.write(ACKNOWLEDGEMENT).await?;
        }
    }
}
