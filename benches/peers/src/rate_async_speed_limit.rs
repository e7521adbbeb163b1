//! Sends at a limited rate by the crate `async-speed-limit`: one limiter for all.

use std::error::Error;

use async_speed_limit::Limiter;
use async_speed_limit::clock::StandardClock;
use squall_bench_peers::{arguments, serve, unit};

fn main() -> Result<(), Box<dyn Error>> {
    let (rate, address) = arguments()?;
    let limit = if rate == 0 {
        f64::INFINITY
    } else {
        rate as f64
    };
    let limiter = <Limiter<StandardClock>>::new(limit);
    serve(address, unit(rate), move |bytes: usize| {
        let limiter = limiter.clone();
        async move { limiter.consume(bytes).await }
    })
}
