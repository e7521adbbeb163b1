//! Streams alone: an exchange over the in-memory pair, on the loop that a stream brings along.

use iostream::{Error, IoStream, frame};

fn main() -> Result<(), Error> {
    let (mut client, mut server) = IoStream::pair();
    let io_loop = client.io_loop().clone();
    io_loop
        .spawn(async move {
            let length = frame::Prefix::U16Big;
            let message = server
                .read_with(frame::length_prefixed(length, 1024))
                .await?;
            server.write(&message).await?;
            server.shutdown().await
        })
        .detach();
    io_loop.run_until(async {
        client.write(b"\x00\x05hello").await?;
        let answer = client.read_until_close(1024).await?;
        println!("iostream alone says {}", String::from_utf8_lossy(&answer));
        Ok(())
    })
}
