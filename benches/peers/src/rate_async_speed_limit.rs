//! Sends at a limited rate by the crate `async-speed-limit`: one limiter for all.

use std::error::Error;

use async_speed_limit::Limiter;
use async_speed_limit::clock::StandardClock;
use squall_bench_peers::serve;
use squall_benches::rate::Arguments;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse()?;
    let limit = match arguments.rate {
        0 => f64::INFINITY,
        rate => rate as f64,
    };
    let limiter = <Limiter<StandardClock>>::new(limit);
    serve(&arguments, move |bytes: usize| {
        let limiter = limiter.clone();
        async move { limiter.consume(bytes).await }
    })
}
