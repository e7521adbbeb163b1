//! Sends at a limited rate by the crate `governor`: one limiter for all, one cell for each byte.

use std::error::Error;
use std::num::NonZero;
use std::rc::Rc;

use governor::{Quota, RateLimiter};
use squall_bench_peers::{serve, unit};
use squall_benches::rate::Arguments;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse()?;
    let Some(per_second) = NonZero::new(u32::try_from(arguments.rate)?) else {
        return serve(&arguments, async |_: usize| ());
    };
    // The burst is what a turn takes: less and it could not be granted.
    let burst = NonZero::new(unit(arguments.rate) as u32).ok_or("no unit")?;
    let limiter = RateLimiter::direct(Quota::per_second(per_second).allow_burst(burst));
    let limiter = Rc::new(limiter);
    serve(&arguments, move |bytes: usize| {
        let limiter = limiter.clone();
        async move {
            if let Some(bytes) = NonZero::new(bytes as u32) {
                // It fails only for more than the burst.
                let _ = limiter.until_n_ready(bytes).await;
            }
        }
    })
}
