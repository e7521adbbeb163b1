//! Small steps of a test on its loop, and what closures share.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use futures_lite::future::yield_now;
use ioloop::{IoLoop, Task};

/// Lets everything else have `count` turns.
pub async fn turns(count: usize) {
    for _ in 0..count {
        yield_now().await;
    }
}

/// Gives everything else turns until `condition` holds; without it the test is stopped.
pub async fn until(condition: impl Fn() -> bool) {
    while !condition() {
        yield_now().await;
    }
}

/// Spawns on this thread's loop.
#[track_caller]
pub fn spawn<T: 'static>(future: impl Future<Output = T> + 'static) -> Task<T> {
    IoLoop::current().spawn(future)
}

/// Polls `future` once and drops it, as a combinator does whose other future was ready.
pub async fn attempt<F: Future>(future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    poll_fn(|context| {
        Poll::Ready(match future.as_mut().poll(context) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        })
    })
    .await
}

/// How long `future` takes by the loop's clock, and what it says.
pub async fn timed<F: Future>(future: F) -> (Duration, F::Output) {
    let began = IoLoop::current().now();
    let output = future.await;
    (IoLoop::current().now() - began, output)
}

/// Bytes in which every part differs from its neighbours, so that a lost one shows.
pub fn pattern(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    fastrand::Rng::with_seed(length as u64).fill(&mut bytes);
    bytes
}

/// A flag that closures share.
pub fn flag() -> (Rc<Cell<bool>>, Rc<Cell<bool>>) {
    let flag = Rc::new(Cell::new(false));
    (flag.clone(), flag)
}

/// A number that closures share.
pub fn counter() -> (Rc<Cell<usize>>, Rc<Cell<usize>>) {
    let counter = Rc::new(Cell::new(0));
    (counter.clone(), counter)
}

/// Adds one.
pub fn increment(counter: &Cell<usize>) {
    counter.set(counter.get() + 1);
}
