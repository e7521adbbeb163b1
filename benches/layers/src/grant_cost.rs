//! Nanoseconds and allocations for each grant of a `RateLimiter`, beside `governor`'s.
//!
//! What they cost alone, without anything sent: the limits are there and never reached. All ways are
//! measured in turn, and a time is the median of all rounds, of which the first argument says how
//! many.

use std::error::Error;
use std::hint::black_box;
use std::num::NonZero;
use std::time::Instant;

use allocation_counter::measure;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter as Governor};
use ioloop::IoLoop;
use iostream::RateLimiter;
use squall_benches::statistics::median;

fn main() -> Result<(), Box<dyn Error>> {
    let rounds_wanted = match std::env::args().nth(1) {
        Some(text) => text.parse()?,
        None => ROUNDS,
    };
    let ways: [(&str, fn()); 5] = [
        ("permit and charge, no limit", || {
            alone(RateLimiter::unlimited())
        }),
        ("permit and charge", || alone(RateLimiter::new(LIMIT))),
        ("the same, eight in the ring", in_a_ring),
        ("governor, check_n", governor_at_once),
        ("governor, until_n_ready", governor_when_ready),
    ];
    let mut times = ways.map(|_| Vec::new());
    for _ in 0..rounds_wanted.max(1) {
        for ((_, way), times) in ways.iter().zip(&mut times) {
            let start = Instant::now();
            way();
            times.push(start.elapsed().as_nanos() as f64 / f64::from(GRANTS));
        }
    }
    println!("{:28}  {:>8}  {:>11}", "each grant", "ns", "allocations");
    for ((name, way), times) in ways.into_iter().zip(times) {
        let allocated = measure(way).count_total as f64 / f64::from(GRANTS);
        println!("{name:28}  {:8.1}  {allocated:11.3}", median(&times));
    }
    Ok(())
}

/// One member, for whom there is always a turn.
fn alone(limiter: RateLimiter) {
    IoLoop::current().run_until(async move {
        for _ in 0..GRANTS {
            black_box(limiter.permit(1).await).charge(1);
        }
    });
}

/// Each takes a whole turn and then waits for the others': the loop goes round once for each.
fn in_a_ring() {
    let io_loop = IoLoop::current();
    let limiter = RateLimiter::new(LIMIT);
    let sender = |_| {
        let limiter = limiter.clone();
        io_loop.spawn(async move {
            for _ in 0..GRANTS / MEMBERS {
                let grant = black_box(limiter.permit(TURN).await);
                assert_eq!(grant.bytes(), TURN);
                grant.charge(TURN);
            }
        })
    };
    let senders: Vec<_> = (0..MEMBERS).map(sender).collect();
    io_loop.run_until(async move {
        for sender in senders {
            sender.await;
        }
    });
}

fn governor_at_once() {
    let (limiter, one) = governor();
    for _ in 0..GRANTS {
        // It fails only for more than the burst.
        let _ = black_box(limiter.check_n(one));
    }
}

fn governor_when_ready() {
    let (limiter, one) = governor();
    IoLoop::current().run_until(async move {
        for _ in 0..GRANTS {
            let _ = black_box(limiter.until_n_ready(one).await);
        }
    });
}

/// A limiter that is never short of what is asked for, and one byte.
fn governor() -> (DefaultDirectRateLimiter, NonZero<u32>) {
    let quota = Quota::per_second(NonZero::<u32>::MAX);
    (Governor::direct(quota), NonZero::<u32>::MIN)
}

/// Bytes per second: a unit is more than is granted in all.
const LIMIT: u64 = 1_000_000_000_000_000;

/// The most that one grant has.
const TURN: usize = 65_536;

const MEMBERS: u32 = 8;

const GRANTS: u32 = 100_000;

const ROUNDS: usize = 51;
