//! Closing: everything is dropped, in order, whatever destructors and other threads do meanwhile.

use std::cell::{Cell, RefCell};
use std::future::pending;
use std::io::ErrorKind;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Waker;
use std::thread;
use std::time::Duration;

use ioloop::{Builder, Event, Interest, IoLoop, Notice, Notify, Waiting};

use crate::support::{Notes, OnDrop, both_ways, own_waker, reports, turn};

struct Idle<F: FnMut()>(#[allow(dead_code, reason = "kept for its destructor")] OnDrop<F>);

impl<F: FnMut() + 'static> Notify for Idle<F> {
    fn notify(self: Rc<Self>, _: Notice) {}
}

#[test]
fn close_does_not_drop_out_of_order() {
    both_ways(|io_loop| {
        let notes = Notes::new();
        let note = |what: &'static str| {
            let notes = notes.clone();
            OnDrop(move || notes.add(what))
        };
        let guard = note("handler");
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let handler = move |_: &UnixStream, _: Event| {
            let _ = &guard;
        };
        io_loop
            .add_handler(Rc::new(ours), Interest::READ, handler)
            .unwrap();
        let guard = note("timer");
        io_loop.call_later(Duration::from_secs(1), move || drop(guard));
        let guard = note("callback");
        io_loop.add_callback(move || drop(guard));
        io_loop.notify_at_end_of_turn(Rc::new(Idle(note("end of turn"))));
        let guard = note("task");
        let task = async move {
            let _guard = guard;
            pending::<()>().await;
        };
        io_loop.spawn(task).detach();
        io_loop.close();
        assert_eq!(
            notes.all(),
            ["task", "callback", "timer", "end of turn", "handler"]
        );
        let metrics = io_loop.metrics();
        assert_eq!(
            (
                metrics.live_tasks,
                metrics.live_timers,
                metrics.live_handlers
            ),
            (0, 0, 0)
        );
    });
}

#[test]
fn what_destructors_add_while_closing_is_not_kept() {
    both_ways(|io_loop| {
        let dropped = Rc::new(Cell::new(0));
        // The first thing to be dropped, and the last.
        let guard = adds_everything(io_loop, &dropped);
        let task = async move {
            let _guard = guard;
            pending::<()>().await;
        };
        io_loop.spawn(task).detach();
        let guard = adds_everything(io_loop, &dropped);
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let handler = move |_: &UnixStream, _: Event| {
            let _ = &guard;
        };
        io_loop
            .add_handler(Rc::new(ours), Interest::READ, handler)
            .unwrap();
        io_loop.close();
        assert_eq!(dropped.get(), 8, "four by each of the two guards");
    });
}

/// A guard that, when it is dropped, adds one of each kind to the loop. `dropped` counts those
/// that were dropped in turn; none of them may run.
fn adds_everything(io_loop: &IoLoop, dropped: &Rc<Cell<u32>>) -> OnDrop<impl FnMut() + 'static> {
    let (owner, dropped) = (io_loop.clone(), dropped.clone());
    OnDrop(move || {
        let counted = || {
            let dropped = dropped.clone();
            OnDrop(move || dropped.set(dropped.get() + 1))
        };
        let (one, two, three, four) = (counted(), counted(), counted(), counted());
        owner.add_callback(move || must_not_run(one));
        owner.call_later(Duration::ZERO, move || must_not_run(two));
        owner.spawn(async move { must_not_run(three) }).detach();
        owner.notify_at_end_of_turn(Rc::new(Idle(four)));
        let (ours, _) = UnixStream::pair().unwrap();
        let refused = owner.add_handler(Rc::new(ours), Interest::READ, |_, _| {});
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::NotConnected);
        owner.close();
    })
}

fn must_not_run<T>(_: T) {
    panic!("it ran");
}

#[test]
fn tasks_that_hold_streams_and_one_another_do_not_outlive_the_loop() {
    both_ways(|io_loop| {
        let live = Rc::new(());
        let holders = Rc::new(RefCell::new(Vec::new()));
        for _ in 0..1_000 {
            let (live, holders) = (live.clone(), holders.clone());
            let (ours, theirs) = UnixStream::pair().unwrap();
            ours.set_nonblocking(true).unwrap();
            let watched = ioloop::Watched::new(ours);
            let task = io_loop.spawn(async move {
                let _kept = (live, theirs);
                watched.readable().await.unwrap();
            });
            // A cycle: every task holds the handles of all.
            holders.borrow_mut().push(task);
            let guard = holders.clone();
            io_loop
                .spawn(async move {
                    let _guard = guard;
                    pending::<()>().await;
                })
                .detach();
            if holders.borrow().len() % 100 == 0 {
                turn(io_loop);
                holders.borrow_mut().clear();
            }
        }
        turn(io_loop);
        drop(holders);
        io_loop.close();
        assert_eq!(Rc::strong_count(&live), 1);
    });
}

#[test]
fn a_panicking_destructor_does_not_keep_the_rest() {
    both_ways(|io_loop| {
        let notes = Notes::new();
        let guard = |number: u32| {
            let notes = notes.clone();
            OnDrop(move || {
                notes.add(number);
                panic!("destructor {number}");
            })
        };
        for number in 0..2 {
            let kept = guard(number);
            let task = async move {
                let _kept = kept;
                pending::<()>().await;
            };
            io_loop.spawn(task).detach();
            let kept = guard(10 + number);
            io_loop.add_callback(move || drop(kept));
            let kept = guard(20 + number);
            io_loop.call_later(Duration::ZERO, move || drop(kept));
            let kept = guard(30 + number);
            let (ours, _) = UnixStream::pair().unwrap();
            let handler = move |_: &UnixStream, _: Event| {
                let _ = &kept;
            };
            io_loop
                .add_handler(Rc::new(ours), Interest::READ, handler)
                .unwrap();
        }
        io_loop.close();
        assert_eq!(notes.all(), [0, 1, 10, 11, 20, 21, 30, 31]);
        assert_eq!(reports().len(), 8);
    });
}

#[test]
fn closing_inside_a_callback_is_refused() {
    both_ways(|io_loop| {
        io_loop.add_callback(|| IoLoop::current().close());
        turn(io_loop);
        let reports = reports();
        assert_eq!(reports.len(), 1);
        assert!(reports[0].contains("call stop, and close when start has returned"));
        assert!(!io_loop.is_closed());
    });
}

#[test]
fn a_closed_loop_does_not_run() {
    both_ways(|io_loop| {
        io_loop.close();
        io_loop.close();
        assert!(IoLoop::try_current().is_none());
        let run = || io_loop.turn(None);
        let payload = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).unwrap_err();
        let message = payload.downcast_ref::<String>().unwrap();
        assert_eq!(message, "IoLoop::turn was called on a closed loop");
    });
}

#[test]
#[should_panic(expected = "event loop is closed")]
fn awaiting_a_task_of_a_closed_loop_does_not_wait_for_ever() {
    let io_loop = IoLoop::current();
    let task = io_loop.spawn(pending::<()>());
    io_loop.close();
    futures_lite::future::block_on(task);
}

#[test]
fn what_other_threads_could_send_while_closing_is_not_accepted_and_forgotten() {
    both_ways(|io_loop| {
        let answers = Notes::new();
        let (remote, noted) = (io_loop.remote(), answers.clone());
        let guard = OnDrop(move || noted.add(remote.add_callback(|| {})));
        let task = async move {
            let _guard = guard;
            pending::<()>().await;
        };
        io_loop.spawn(task).detach();
        io_loop.close();
        assert_eq!(answers.all(), [Err(ioloop::Closed)]);
    });
}

/// The chief risk: a thread that has just won the right to push a task holds it for a moment, and
/// must neither lose nor drop it. Few tasks and many rounds make that moment likely.
#[test]
fn closing_while_other_threads_wake_tasks_does_not_drop_them_there() {
    for round in 0..ROUNDS {
        let waiting = [Waiting::Direct, Waiting::Portable][round % 2];
        let io_loop = Builder::new().waiting(waiting).make().unwrap();
        let dropped = Rc::new(Cell::new(0));
        let wakers = Rc::new(RefCell::new(Vec::new()));
        let mut handles = Vec::new();
        for _ in 0..TASKS {
            let (wakers, dropped) = (wakers.clone(), dropped.clone());
            let guard = OnDrop(move || dropped.set(dropped.get() + 1));
            handles.push(io_loop.spawn(async move {
                let _guard = guard;
                let waker = own_waker().await;
                wakers.borrow_mut().push(waker);
                pending::<()>().await;
            }));
        }
        turn(&io_loop);
        let over = Arc::new(AtomicBool::new(false));
        let mut threads = Vec::new();
        for _ in 0..THREADS {
            let (wakers, over): (Vec<Waker>, _) = (wakers.borrow().clone(), over.clone());
            threads.push(thread::spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    wakers.iter().for_each(Waker::wake_by_ref);
                }
            }));
        }
        // Contention for the lock of the inbox makes the moment longer.
        let (remote, until) = (io_loop.remote(), over.clone());
        threads.push(thread::spawn(move || {
            while !until.load(Ordering::Relaxed) {
                let _ = remote.add_callback(|| {});
            }
        }));
        // Handles are dropped by yet another thread, which cancels the tasks.
        threads.push(thread::spawn(move || handles.truncate(TASKS / 2)));
        wakers.borrow_mut().clear();
        // Each turn polls them all, so that each can be woken again.
        for _ in 0..round % 8 {
            turn(&io_loop);
        }
        io_loop.close();
        assert_eq!(dropped.get(), TASKS);
        assert_eq!(io_loop.metrics().live_tasks, 0);
        over.store(true, Ordering::Relaxed);
        threads
            .into_iter()
            .for_each(|thread| thread.join().unwrap());
    }
}

const ROUNDS: usize = 500;
const TASKS: usize = 4;
const THREADS: usize = 2;
