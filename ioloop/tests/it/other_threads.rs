//! What other threads may do to a loop: callbacks, tasks, wake-ups, stopping.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use ioloop::{Closed, IoLoop, Remote};

use crate::support::{
    Notes, OnDrop, both_ways, drive_until, flag, own_waker, patient, suspended, turn,
};

#[test]
fn a_callback_from_another_thread_does_not_wait_for_the_next_event() {
    both_ways(|io_loop| {
        let remote = io_loop.remote();
        // Without a wake-up this waits for ever.
        let sender = thread::spawn(move || remote.add_callback(|| IoLoop::current().stop()));
        io_loop.start();
        assert_eq!(sender.join().unwrap(), Ok(()));
    });
}

#[test]
fn callbacks_of_one_thread_do_not_overtake_one_another() {
    both_ways(|io_loop| {
        const COUNT: usize = 10_000;
        let received = Arc::new(AtomicUsize::new(0));
        let (remote, counter) = (io_loop.remote(), received.clone());
        let sender = thread::spawn(move || {
            for number in 0..COUNT {
                let counter = counter.clone();
                let callback = move || {
                    assert_eq!(counter.fetch_add(1, Ordering::Relaxed), number);
                };
                remote.add_callback(callback).unwrap();
            }
        });
        drive_until(io_loop, || received.load(Ordering::Relaxed) == COUNT);
        sender.join().unwrap();
    });
}

#[test]
fn no_wake_up_of_many_threads_is_lost() {
    both_ways(|io_loop| {
        const THREADS: usize = 4;
        const EACH: usize = 2_000;
        let received = Arc::new(AtomicUsize::new(0));
        let mut senders = Vec::new();
        for _ in 0..THREADS {
            let (remote, received) = (io_loop.remote(), received.clone());
            senders.push(thread::spawn(move || {
                // One at a time, so that the loop falls asleep in between: a lost one is for ever.
                for _ in 0..EACH {
                    let (answer, answered) = mpsc::channel();
                    let received = received.clone();
                    let callback = move || {
                        received.fetch_add(1, Ordering::Relaxed);
                        answer.send(()).unwrap();
                    };
                    remote.add_callback(callback).unwrap();
                    answered.recv().unwrap();
                }
            }));
        }
        let remote = io_loop.remote();
        let end = thread::spawn(move || {
            senders
                .into_iter()
                .for_each(|sender| sender.join().unwrap());
            remote.stop().unwrap();
        });
        io_loop.start();
        end.join().unwrap();
        assert_eq!(received.load(Ordering::Relaxed), THREADS * EACH);
    });
}

#[test]
fn a_task_woken_by_another_thread_is_not_polled_there() {
    both_ways(|io_loop| {
        let ours = thread::current().id();
        let task = io_loop.spawn(async move {
            for _ in 0..100 {
                let waker = own_waker().await;
                // It may come before we are suspended, or after: both must arrive.
                thread::spawn(move || waker.wake());
                suspended().await;
                assert_eq!(thread::current().id(), ours);
            }
        });
        io_loop.run_until(task);
    });
}

#[test]
fn a_wake_up_of_the_future_of_run_until_is_not_lost() {
    both_ways(|io_loop| {
        for _ in 0..500 {
            let (sender, receiver) = async_cell();
            let thread = thread::spawn(move || sender.send(7));
            assert_eq!(io_loop.run_until(receiver), 7);
            thread.join().unwrap();
        }
    });
}

/// A channel for one value, across threads.
fn async_cell() -> (Sender, impl Future<Output = u32>) {
    let shared = Arc::new(std::sync::Mutex::new((None, None)));
    let receiver = shared.clone();
    let future = std::future::poll_fn(move |context| {
        let mut shared = receiver.lock().unwrap();
        shared.1 = Some(context.waker().clone());
        shared
            .0
            .take()
            .map_or(std::task::Poll::Pending, std::task::Poll::Ready)
    });
    (Sender(shared), future)
}

type Shared = Arc<std::sync::Mutex<(Option<u32>, Option<std::task::Waker>)>>;

struct Sender(Shared);

impl Sender {
    fn send(self, value: u32) {
        let waker = {
            let mut shared = self.0.lock().unwrap();
            shared.0 = Some(value);
            shared.1.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

#[test]
fn a_spawned_future_does_not_have_to_be_send() {
    both_ways(|io_loop| {
        let remote = io_loop.remote();
        let (done, reached) = mpsc::channel();
        let make = move || {
            let not_send = Rc::new(5);
            async move {
                futures_lite::future::yield_now().await;
                done.send(*not_send).unwrap();
                IoLoop::current().stop();
            }
        };
        thread::spawn(move || remote.spawn(make))
            .join()
            .unwrap()
            .unwrap();
        io_loop.start();
        assert_eq!(reached.recv(), Ok(5));
    });
}

#[test]
fn a_callback_from_the_loops_own_thread_does_not_run_inline() {
    both_ways(|io_loop| {
        let ran = Arc::new(AtomicUsize::new(0));
        let counter = ran.clone();
        let callback = move || counter.store(1, Ordering::Relaxed);
        io_loop.remote().add_callback(callback).unwrap();
        assert_eq!(ran.load(Ordering::Relaxed), 0);
        drive_until(io_loop, || ran.load(Ordering::Relaxed) == 1);
    });
}

#[test]
fn a_closed_loop_does_not_accept_and_forget() {
    both_ways(|io_loop| {
        let remote = io_loop.remote();
        io_loop.close();
        let dropped = Arc::new(AtomicUsize::new(0));
        let counter = dropped.clone();
        let guard = OnDrop(move || counter.store(1, Ordering::Relaxed));
        assert_eq!(remote.add_callback(move || drop(guard)), Err(Closed));
        assert_eq!(
            dropped.load(Ordering::Relaxed),
            1,
            "the callback is dropped at once"
        );
        assert_eq!(remote.spawn(|| async {}), Err(Closed));
        assert_eq!(remote.stop(), Err(Closed));
    });
}

#[test]
fn a_remote_of_a_closed_loop_does_not_reach_its_successor() {
    both_ways(|io_loop| {
        let remote = io_loop.remote();
        io_loop.close();
        let successor = patient().make().unwrap();
        assert_eq!(remote.add_callback(|| unreachable!()), Err(Closed));
        turn(&successor);
        successor.close();
    });
}

#[test]
fn a_loop_per_thread_does_not_mix_up_wake_ups() {
    both_ways(|io_loop| {
        let notes = Notes::new();
        let (waker, place) = {
            let place = Rc::new(Cell::new(None));
            (place.clone(), place)
        };
        let (done, set) = flag();
        let noted = notes.clone();
        let task = async move {
            place.set(Some(own_waker().await));
            suspended().await;
            noted.add(thread::current().id());
            set.set(true);
        };
        io_loop.spawn(task).detach();
        turn(io_loop);
        let waker = waker.take().unwrap();
        // The other thread has a loop, too: the task must not end up in that one's queue.
        let other = thread::spawn(move || {
            let io_loop = IoLoop::current();
            io_loop.run_until(async { waker.wake() });
            io_loop.turn(Some(Duration::ZERO));
            io_loop.close();
        });
        drive_until(io_loop, || done.get());
        other.join().unwrap();
        assert_eq!(notes.all(), [thread::current().id()]);
    });
}

#[test]
fn handles_for_other_threads_are_not_bound_to_one() {
    fn shared<T: Clone + Send + Sync + 'static>() {}
    shared::<Remote>();
}
