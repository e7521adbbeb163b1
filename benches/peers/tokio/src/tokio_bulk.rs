//! Sends and receives as fast as it can on tokio, with what anybody would write.

use std::error::Error;
use std::io;

use squall_bench_tokio::serve;
use squall_benches::bulk::{ACKNOWLEDGEMENT, Direction, PIECE, REQUEST_LENGTH};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

fn main() -> Result<(), Box<dyn Error>> {
    serve(exchange)
}

async fn exchange(mut stream: TcpStream) -> io::Result<()> {
    let mut buffer = vec![7; PIECE];
    loop {
        let mut request = [0; REQUEST_LENGTH];
        stream.read_exact(&mut request).await?;
        let request = Direction::parse(&request).ok_or(io::ErrorKind::InvalidData)?;
        let (direction, mut left) = request;
        while left > 0 {
            let piece = &mut buffer[..left.min(PIECE)];
            left -= match direction {
                Direction::Sent => {
                    stream.write_all(piece).await?;
                    piece.len()
                }
                Direction::Received => match stream.read(piece).await? {
                    0 => return Ok(()),
                    count => count,
                },
            };
        }
        if direction == Direction::Received {
            stream.write_all(ACKNOWLEDGEMENT).await?;
        }
    }
}
