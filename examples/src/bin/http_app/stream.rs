//! `GET /stream?chunks=N&bytes=M&delay_ms=D`: a body that is made while it is sent.

use std::time::Duration;

use httpserver::{Body, Bytes, Error, Request, Response, StatusCode};
use ioloop::sleep;

pub(crate) fn answer(request: &Request) -> Result<Response, Error> {
    let plan = Plan::parse(request.query().unwrap_or_default())
        .map_err(|why| Error::new(StatusCode::BAD_REQUEST).with_message(why))?;
    let connection = request.connection().clone();
    // One for all: a clone shares the bytes.
    let chunk = Bytes::from(vec![b'.'; plan.bytes as usize]);
    let mut sent = 0;
    Ok(Response::text(Body::from_fn(async move || {
        if sent == plan.chunks {
            return None;
        }
        if sent > 0 {
            // While the server drains nobody is kept waiting: the rest comes at once.
            let delay = sleep(Duration::from_millis(plan.delay_ms));
            connection.unless_draining(delay).await;
        }
        sent += 1;
        Some(Ok(chunk.clone()))
    })))
}

/// How many chunks, how long each is, and how much time lies between two.
#[derive(Debug, PartialEq)]
struct Plan {
    chunks: u64,
    bytes: u64,
    delay_ms: u64,
}

impl Plan {
    fn parse(query: &str) -> Result<Plan, String> {
        let mut plan = Plan {
            chunks: 10,
            bytes: 100,
            delay_ms: 100,
        };
        for field in query.split('&').filter(|field| !field.is_empty()) {
            let (name, value) = field.split_once('=').unwrap_or((field, ""));
            let (number, max) = match name {
                "chunks" => (&mut plan.chunks, CHUNKS_MAX),
                "bytes" => (&mut plan.bytes, BYTES_MAX),
                "delay_ms" => (&mut plan.delay_ms, DELAY_MS_MAX),
                _ => return Err("known are chunks, bytes and delay_ms".to_owned()),
            };
            let is_digits = value.bytes().all(|byte| byte.is_ascii_digit());
            *number = value
                .parse()
                .ok()
                .filter(|number| is_digits && *number <= max)
                .ok_or_else(|| format!("{name} is a number of at most {max}"))?;
        }
        Ok(plan)
    }
}

const CHUNKS_MAX: u64 = 10_000;

/// Of one chunk, which is in memory once per request.
const BYTES_MAX: u64 = 1024 * 1024;

const DELAY_MS_MAX: u64 = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_named_has_a_default() {
        let plan = Plan::parse("").unwrap();
        assert_eq!((plan.chunks, plan.bytes, plan.delay_ms), (10, 100, 100));
        let plan = Plan::parse("delay_ms=0&chunks=3").unwrap();
        assert_eq!((plan.chunks, plan.bytes, plan.delay_ms), (3, 100, 0));
    }

    #[test]
    fn what_is_no_number_within_its_limit_is_refused() {
        assert!(Plan::parse("chunks=10000&bytes=1048576&delay_ms=10000").is_ok());
        for query in [
            "chunks=10001",
            "bytes=1048577",
            "delay_ms=10001",
            "chunks=99999999999999999999",
            "chunks=-1",
            "chunks=+1",
            "chunks=1e3",
            "chunks=",
            "chunks",
            "chunks=1=2",
            "chunk=1",
            "=",
        ] {
            assert!(Plan::parse(query).is_err(), "{query}");
        }
    }
}
