//! Sends at a limited rate by `iostream::RateLimiter`: a member for each connection.

use std::rc::Rc;

use iostream::{IoStream, RateLimiter};
use squall_benches::rate::{Arguments, Log};
use tcpserver::{BoxError, Connection, TcpServer};

fn main() -> Result<(), BoxError> {
    let arguments = Arguments::parse().map_err(|error| error.to_string())?;
    let limiter = (arguments.rate > 0).then(|| RateLimiter::new(arguments.rate));
    let log = arguments.is_logged.then(|| Log::new(true));
    let shared = Rc::new((limiter, log));
    let handle = async move |stream: IoStream, _: Connection| send(stream, &shared).await;
    let server = TcpServer::new(handle);
    println!("listening on {}", server.listen(arguments.address)?[0]);
    server.serve()
}

async fn send(
    mut stream: IoStream,
    (limiter, log): &(Option<RateLimiter>, Option<Log>),
) -> Result<(), BoxError> {
    let line = stream.read_until(b"\n", 20).await?;
    let length = std::str::from_utf8(&line)?.trim().parse()?;
    let data = vec![7; length];
    // A member of its own, with a share of its own.
    match (limiter.clone(), log) {
        (_, Some(log)) if length == 0 => Ok(stream.write(log.text().as_bytes()).await?),
        // What `write_limited` does too, seen from outside.
        (Some(limiter), Some(log)) => loop {
            let mut rest = &data[..];
            while !rest.is_empty() {
                stream.flush().await?;
                let grant = limiter.permit(rest.len()).await;
                let (piece, behind) = rest.split_at(grant.bytes());
                log.note(piece.len());
                stream.write(piece).await?;
                grant.charge(piece.len());
                rest = behind;
            }
        },
        (Some(limiter), None) => loop {
            stream.write_limited(&limiter, &data).await?;
        },
        // The same writes without a limit.
        (None, _) => loop {
            stream.flush().await?;
            stream.write(&data).await?;
        },
    }
}
