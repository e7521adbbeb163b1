//! What the rate-limited servers on tokio share: sending for ever, all clients together at the rate
//! that the server was started with.

use std::error::Error;
use std::rc::Rc;

use squall_benches::rate::{Arguments, Log};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime;

/// Serves on one thread; `wait` is what comes before so many bytes are written, at most `unit`.
pub fn serve<W>(arguments: &Arguments, wait: W) -> Result<(), Box<dyn Error>>
where
    W: AsyncFn(usize) + Clone + 'static,
{
    let unit = unit(arguments.rate);
    let log = Rc::new(Log::new(arguments.is_logged));
    let runtime = runtime::Builder::new_current_thread().enable_io().build()?;
    let tasks = tokio::task::LocalSet::new();
    tasks.block_on(&runtime, async {
        let listener = TcpListener::bind(arguments.address).await?;
        println!("listening on {}", listener.local_addr()?);
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let (wait, log) = (wait.clone(), log.clone());
            // An error is a client that went away.
            tokio::task::spawn_local(async move { send(stream, unit, wait, &log).await.ok() });
        }
    })
}

async fn send(
    stream: TcpStream,
    unit: usize,
    wait: impl AsyncFn(usize),
    log: &Log,
) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    stream.read_line(&mut line).await?;
    let length = line.trim().parse().map_err(std::io::Error::other)?;
    if length == 0 {
        return stream.get_mut().write_all(log.text().as_bytes()).await;
    }
    let data = vec![7; length];
    loop {
        for piece in data.chunks(unit) {
            wait(piece.len()).await;
            log.note(piece.len());
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
