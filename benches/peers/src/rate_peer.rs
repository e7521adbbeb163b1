//! What the rate-limited servers on tokio share: the command line, and sending for ever.
//!
//! A client says in a line how many bytes are to be written at a time, and gets them for ever, all
//! clients together at the rate that the server was started with.

use std::error::Error;
use std::net::SocketAddr;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime;

/// From `--rate BYTES --address A --port P`; a rate of 0 is no limit.
pub fn arguments() -> Result<(u64, SocketAddr), Box<dyn Error>> {
    let (mut rate, mut address, mut port) = (0, "127.0.0.1".to_string(), 0_u16);
    let words: Vec<String> = std::env::args().skip(1).collect();
    for pair in words.chunks(2) {
        match pair {
            [flag, value] if flag == "--rate" => rate = value.parse()?,
            [flag, value] if flag == "--address" => address = value.clone(),
            [flag, value] if flag == "--port" => port = value.parse()?,
            _ => return Err("usage: [--rate BYTES] [--address A] [--port P]".into()),
        }
    }
    Ok((rate, SocketAddr::new(address.parse()?, port)))
}

/// Serves on one thread; `wait` is what comes before so many bytes are written, at most `unit`.
pub fn serve<W>(address: SocketAddr, unit: usize, wait: W) -> Result<(), Box<dyn Error>>
where
    W: AsyncFn(usize) + Clone + 'static,
{
    let runtime = runtime::Builder::new_current_thread().enable_io().build()?;
    let tasks = tokio::task::LocalSet::new();
    tasks.block_on(&runtime, async {
        let listener = TcpListener::bind(address).await?;
        println!("listening on {}", listener.local_addr()?);
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let wait = wait.clone();
            // An error is a client that went away.
            tokio::task::spawn_local(async move { send(stream, unit, wait).await.ok() });
        }
    })
}

async fn send(stream: TcpStream, unit: usize, wait: impl AsyncFn(usize)) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    stream.read_line(&mut line).await?;
    let data = vec![7; line.trim().parse().map_err(std::io::Error::other)?];
    loop {
        for piece in data.chunks(unit) {
            wait(piece.len()).await;
            stream.get_mut().write_all(piece).await?;
        }
    }
}

/// What one turn is with Squall's limiter: the same pieces for all.
pub fn unit(rate: u64) -> usize {
    match rate {
        0 => 65_536,
        _ => (rate as usize / 100).clamp(1380, 65_536),
    }
}
