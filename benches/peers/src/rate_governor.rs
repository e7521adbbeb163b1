//! Sends at a limited rate by the crate `governor`: one limiter for all, one cell for each byte.

use std::error::Error;
use std::num::NonZero;
use std::rc::Rc;

use governor::{Quota, RateLimiter};
use squall_bench_peers::{arguments, serve, unit};

fn main() -> Result<(), Box<dyn Error>> {
    let (rate, address) = arguments()?;
    let unit = unit(rate);
    let Some(per_second) = NonZero::new(u32::try_from(rate)?) else {
        return serve(address, unit, async |_: usize| ());
    };
    // The burst is what a turn takes: less and it could not be granted.
    let burst = NonZero::new(unit as u32).ok_or("no unit")?;
    let limiter = RateLimiter::direct(Quota::per_second(per_second).allow_burst(burst));
    let limiter = Rc::new(limiter);
    serve(address, unit, move |bytes: usize| {
        let limiter = limiter.clone();
        async move {
            if let Some(bytes) = NonZero::new(bytes as u32) {
                // It fails only for more than the burst.
                let _ = limiter.until_n_ready(bytes).await;
            }
        }
    })
}
