//! Nanoseconds to spawn and run a local task, and to wake and poll one: the loop beside tokio's
//! `LocalRuntime` and `LocalSet`.

use std::cell::{Cell, RefCell};
use std::error::Error;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use ioloop::IoLoop;
use squall_bench_layers::{Stopwatch, compare};
use tokio::runtime::Builder;
use tokio::task::LocalSet;

fn main() -> Result<(), Box<dyn Error>> {
    let io_loop = IoLoop::current();
    let local_runtime = Builder::new_current_thread().build_local(Default::default())?;
    let runtime = Builder::new_current_thread().build()?;
    let local_set = LocalSet::new();
    compare(
        ROUNDS,
        &["spawn, run", "wake, poll"],
        &mut [
            ("LocalRuntime", &mut || {
                local_runtime.block_on(measure(|parked| drop(tokio::task::spawn_local(parked))))
            }),
            ("LocalSet", &mut || {
                local_set.block_on(
                    &runtime,
                    measure(|parked| drop(tokio::task::spawn_local(parked))),
                )
            }),
            ("ioloop", &mut || {
                io_loop.run_until(measure(|parked| io_loop.spawn(parked).detach()))
            }),
        ],
    )
}

async fn measure(spawn: impl Fn(Parked)) -> Vec<f64> {
    let ends_at_once = Rc::new(Park::default());
    ends_at_once.has_ended.set(true);
    let stopwatch = Stopwatch::start();
    for round in 1..=REPEATS {
        (0..TASKS).for_each(|_| spawn(Parked::new(&ends_at_once)));
        ends_at_once.until_polled(round * TASKS).await;
    }
    let spawn_and_run = stopwatch.nanoseconds_each(REPEATS * TASKS);

    let park = Rc::new(Park::default());
    (0..TASKS).for_each(|_| spawn(Parked::new(&park)));
    park.until_polled(TASKS).await;
    let stopwatch = Stopwatch::start();
    for round in 1..=REPEATS {
        park.wake_all();
        park.until_polled((1 + round) * TASKS).await;
    }
    let wake_and_poll = stopwatch.nanoseconds_each(REPEATS * TASKS);
    park.has_ended.set(true);
    park.wake_all();
    park.until_polled((2 + REPEATS) * TASKS).await;
    vec![spawn_and_run, wake_and_poll]
}

/// Where tasks wait, are woken all at once, and wait again.
#[derive(Default)]
struct Park {
    wakers: RefCell<Vec<Waker>>,
    /// Of all tasks together.
    polls: Cell<usize>,
    has_ended: Cell<bool>,
}

impl Park {
    fn wake_all(&self) {
        // A task that runs does not touch the wakers again, and none runs before this one waits.
        self.wakers.borrow().iter().for_each(Waker::wake_by_ref);
    }

    /// Gives way until the tasks have run so often.
    fn until_polled(&self, polls: usize) -> impl Future<Output = ()> {
        poll_fn(move |context| {
            if self.polls.get() >= polls {
                return Poll::Ready(());
            }
            context.waker().wake_by_ref();
            Poll::Pending
        })
    }
}

struct Parked {
    park: Rc<Park>,
    is_registered: bool,
}

impl Parked {
    fn new(park: &Rc<Park>) -> Parked {
        Parked {
            park: park.clone(),
            is_registered: false,
        }
    }
}

impl Future for Parked {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.park.polls.set(self.park.polls.get() + 1);
        if self.park.has_ended.get() {
            return Poll::Ready(());
        }
        if !self.is_registered {
            // A task's waker stays the same.
            self.is_registered = true;
            self.park.wakers.borrow_mut().push(context.waker().clone());
        }
        Poll::Pending
    }
}

/// Fewer than the loop runs in a turn.
const TASKS: usize = 1000;

const REPEATS: usize = 100;

const ROUNDS: usize = 50;
