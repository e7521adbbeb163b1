//! Nanoseconds for a round trip between two threads on one core, each of which wakes the other and
//! sleeps: the loop and tokio beside a bare eventfd.

use std::error::Error;
use std::future::poll_fn;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::task::{Poll, Waker};
use std::thread;
use std::time::Instant;

use ioloop::IoLoop;
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::event::{EventfdFlags, eventfd};
use rustix::thread::{CpuSet, sched_setaffinity};
use squall_bench_layers::compare;
use tokio::runtime::Builder;

fn main() -> Result<(), Box<dyn Error>> {
    let mut one_core = CpuSet::new();
    one_core.set(0);
    sched_setaffinity(None, &one_core)?;
    compare(
        ROUNDS,
        &["round trip"],
        &mut [
            ("eventfd", &mut || between_threads(Bell::bounce)),
            ("ioloop", &mut || {
                between_threads(|own: &Side, other, is_first| {
                    let io_loop = IoLoop::current();
                    io_loop.run_until(bounce(own, other, is_first));
                    io_loop.close();
                })
            }),
            ("tokio", &mut || {
                between_threads(|own: &Side, other, is_first| {
                    let runtime = Builder::new_current_thread().enable_io().build();
                    let bounce = bounce(own, other, is_first);
                    runtime.expect("a runtime").block_on(bounce);
                })
            }),
        ],
    )
}

/// Runs both sides to the end. Starting them is in the time as well, and nothing beside the trips.
fn between_threads<S: Default + Sync>(run: fn(&S, &S, bool)) -> Vec<f64> {
    let (one, other) = (S::default(), S::default());
    let started = Instant::now();
    thread::scope(|scope| {
        scope.spawn(|| run(&other, &one, false));
        run(&one, &other, true);
    });
    vec![started.elapsed().as_nanos() as f64 / TRIPS as f64]
}

/// Whom a future on another thread can wake.
#[derive(Default)]
struct Side {
    rings: AtomicUsize,
    waker: Mutex<Option<Waker>>,
}

impl Side {
    fn ring(&self) {
        self.rings.fetch_add(1, Ordering::Release);
        let waker = self
            .waker
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn rung(&self, times: usize) -> impl Future<Output = ()> {
        poll_fn(move |context| {
            // Before the look at the count, or a ring between the two would wake nobody.
            let mut waker = self.waker.lock().unwrap_or_else(PoisonError::into_inner);
            *waker = Some(context.waker().clone());
            if self.rings.load(Ordering::Acquire) < times {
                return Poll::Pending;
            }
            Poll::Ready(())
        })
    }
}

async fn bounce(own: &Side, other: &Side, is_first: bool) {
    for trip in 1..=TRIPS {
        if is_first {
            other.ring();
        }
        own.rung(trip).await;
        if !is_first {
            other.ring();
        }
    }
}

/// The same without futures: an eventfd that is never read, in an epoll set of its own.
struct Bell {
    eventfd: OwnedFd,
    epoll: OwnedFd,
}

impl Bell {
    fn new() -> io::Result<Bell> {
        let eventfd = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let flags = EventFlags::IN | EventFlags::ET;
        epoll::add(&epoll, &eventfd, EventData::new_u64(0), flags)?;
        Ok(Bell { eventfd, epoll })
    }

    fn ring(&self) {
        rustix::io::write(&self.eventfd, &1_u64.to_ne_bytes()).expect("an eventfd takes it");
    }

    fn bounce(&self, other: &Bell, is_first: bool) {
        let mut events = Vec::with_capacity(1);
        for _ in 0..TRIPS {
            if is_first {
                other.ring();
            }
            events.clear();
            epoll::wait(&self.epoll, spare_capacity(&mut events), None).expect("a wait");
            if !is_first {
                other.ring();
            }
        }
    }
}

impl Default for Bell {
    fn default() -> Bell {
        Bell::new().expect("two descriptors")
    }
}

const TRIPS: usize = 20_000;

const ROUNDS: usize = 50;
