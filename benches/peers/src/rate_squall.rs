//! Sends at a limited rate by `iostream::RateLimiter`: a member for each connection.

use std::rc::Rc;

use iostream::{IoStream, RateLimiter};
use squall_bench_peers::arguments;
use tcpserver::{BoxError, Connection, TcpServer};

fn main() -> Result<(), BoxError> {
    let (rate, address) = arguments().map_err(|error| error.to_string())?;
    let limiter = (rate > 0).then(|| RateLimiter::new(rate));
    let limiter = Rc::new(limiter);
    let handle = async move |stream: IoStream, _: Connection| send(stream, &limiter).await;
    let server = TcpServer::new(handle);
    println!("listening on {}", server.listen(address)?[0]);
    server.serve()
}

async fn send(mut stream: IoStream, limiter: &Option<RateLimiter>) -> Result<(), BoxError> {
    let line = stream.read_until(b"\n", 20).await?;
    let length = std::str::from_utf8(&line)?.trim().parse()?;
    let data = vec![7; length];
    // A member of its own, with a share of its own.
    match limiter.clone() {
        Some(limiter) => loop {
            stream.write_limited(&limiter, &data).await?;
        },
        // The same writes without a limit.
        None => loop {
            stream.flush().await?;
            stream.write(&data).await?;
        },
    }
}
