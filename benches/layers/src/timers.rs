//! Nanoseconds to insert, cancel and fire a timer while a million others are pending: the loop's pure
//! structure, the loop itself, and tokio.

#[allow(dead_code, reason = "what else the loop needs of it")]
#[path = "../../../ioloop/src/moment.rs"]
mod moment;
#[allow(dead_code, reason = "what else the loop needs of it")]
#[path = "../../../ioloop/src/places.rs"]
mod places;
/// The file itself: it is private to the crate, and knows of no loop.
#[allow(dead_code, reason = "what else the loop needs of it")]
#[path = "../../../ioloop/src/timers.rs"]
mod timers;

use std::cell::Cell;
use std::error::Error;
use std::future::poll_fn;
use std::panic::Location;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use ioloop::IoLoop;
use squall_bench_layers::{Stopwatch, compare, nanoseconds_each};

fn main() -> Result<(), Box<dyn Error>> {
    compare(
        ROUNDS,
        &["insert", "cancel", "fire"],
        &mut [
            ("tokio", &mut tokio_timers),
            ("structure", &mut structure),
            ("ioloop", &mut whole_loop),
        ],
    )
}

/// When timers are due: at random, so that no structure finds them in order.
struct Deadlines {
    start: Instant,
    spread: Duration,
    random: fastrand::Rng,
}

impl Deadlines {
    fn new(start: Instant, spread: Duration) -> Deadlines {
        let random = fastrand::Rng::with_seed(1);
        Deadlines {
            start,
            spread,
            random,
        }
    }

    fn take(&mut self) -> Vec<Instant> {
        let spread = self.spread.as_nanos() as u64;
        let mut next = || self.start + Duration::from_nanos(self.random.u64(..spread));
        (0..PENDING).map(|_| next()).collect()
    }
}

/// Inserts a million, then a million more, which are counted; cancels half of all, fires the rest.
fn structure() -> Vec<f64> {
    let now = Instant::now();
    let mut deadlines = Deadlines::new(now, SPREAD);
    let epoch = moment::Epoch(now);
    let place = places::Places::default().number(Location::caller());
    let mut timers = timers::Timers::new();
    for deadline in deadlines.take() {
        timers.insert(epoch.moment(deadline), place, 0_usize);
    }
    let others = deadlines.take();
    let mut ids = Vec::with_capacity(PENDING);
    let insert = nanoseconds_each(PENDING, || {
        ids.extend(
            others
                .iter()
                .map(|deadline| timers.insert(epoch.moment(*deadline), place, 0)),
        );
    });
    deadlines.random.shuffle(&mut ids);
    let cancel = nanoseconds_each(PENDING, || {
        for id in ids {
            timers.cancel(id);
        }
    });
    let now = epoch.moment(now + SPREAD);
    let limit = timers.next_sequence();
    let fire = nanoseconds_each(PENDING, || while timers.pop_due(now, limit).is_some() {});
    assert_eq!(timers.len(), 0);
    vec![insert, cancel, fire]
}

/// The same through the methods of the loop, with a callback each. Nothing fires before its turn,
/// so the deadlines may have passed already and need not be waited for.
fn whole_loop() -> Vec<f64> {
    let io_loop = IoLoop::current();
    let mut deadlines = Deadlines::new(Instant::now(), SPREAD_PASSED);
    thread::sleep(SPREAD_PASSED);
    let fired = Rc::new(Cell::new(0));
    let add = |deadline| {
        let fired = fired.clone();
        io_loop.call_at(deadline, move || fired.set(fired.get() + 1))
    };
    for deadline in deadlines.take() {
        add(deadline);
    }
    let others = deadlines.take();
    let mut ids = Vec::with_capacity(PENDING);
    let insert = nanoseconds_each(PENDING, || ids.extend(others.into_iter().map(add)));
    deadlines.random.shuffle(&mut ids);
    let cancel = nanoseconds_each(PENDING, || {
        for id in ids {
            io_loop.remove_timeout(id);
        }
    });
    let fire = nanoseconds_each(PENDING, || {
        while fired.get() < PENDING {
            io_loop.turn(Some(Duration::ZERO));
        }
    });
    io_loop.close();
    vec![insert, cancel, fire]
}

/// A `Sleep` each, which its first poll registers, on a clock that stands until it is told to go on.
fn tokio_timers() -> Vec<f64> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_time().start_paused(true).build();
    runtime.expect("a runtime").block_on(async {
        let now = tokio::time::Instant::now().into_std();
        let mut deadlines = Deadlines::new(now + TICK, SPREAD);
        let sleep = |deadline: Instant| {
            let mut sleep = Box::pin(tokio::time::sleep_until(deadline.into()));
            let mut context = Context::from_waker(Waker::noop());
            assert!(Pin::new(&mut sleep).poll(&mut context).is_pending());
            sleep
        };
        let pending: Vec<_> = deadlines.take().into_iter().map(sleep).collect();
        let others = deadlines.take();
        let mut cancelled = Vec::with_capacity(PENDING);
        let insert = nanoseconds_each(PENDING, || {
            cancelled.extend(others.into_iter().map(sleep));
        });
        deadlines.random.shuffle(&mut cancelled);
        let cancel = nanoseconds_each(PENDING, || drop(cancelled));
        let stopwatch = Stopwatch::start();
        tokio::time::advance(SPREAD + TICK * 2).await;
        // The timers fire when the runtime looks at them, which is between two polls.
        let mut is_over = false;
        poll_fn(|context| {
            let was_over = std::mem::replace(&mut is_over, true);
            context.waker().wake_by_ref();
            if was_over {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
        let fire = stopwatch.nanoseconds_each(PENDING);
        assert!(pending.iter().all(|sleep| sleep.is_elapsed()));
        vec![insert, cancel, fire]
    })
}

const PENDING: usize = 1_000_000;

/// Deadlines of connections are minutes ahead at most.
const SPREAD: Duration = Duration::from_secs(60);

/// In nanoseconds, still a hundred times as many points in time as timers.
const SPREAD_PASSED: Duration = Duration::from_millis(100);

/// tokio's resolution.
const TICK: Duration = Duration::from_millis(1);

const ROUNDS: usize = 9;
