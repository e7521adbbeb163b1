//! What is always ready does not keep out the rest.

use std::cell::Cell;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::Duration;

use futures_lite::future::yield_now;
use ioloop::{Builder, Event, Interest, IoLoop};

use crate::support::{
    Notes, both_ways, both_ways_with, drive_until, flag, hold_the_thread, own_waker, suspended,
    turn,
};

#[test]
fn a_task_that_gives_way_for_ever_does_not_starve_timers_and_handlers() {
    both_ways(|io_loop| {
        let _forever = io_loop.spawn(async {
            loop {
                yield_now().await;
            }
        });
        let notes = Notes::new();
        let noted = notes.clone();
        io_loop.call_later(Duration::from_millis(1), move || noted.add("timer"));
        let (_peer, handled) = readable_handler(io_loop);
        drive_until(io_loop, || notes.len() == 1 && handled.get() > 0);
    });
}

#[test]
fn a_task_that_gives_way_is_not_polled_twice_in_a_turn() {
    both_ways(|io_loop| {
        let polls = Rc::new(Cell::new(0));
        let counter = polls.clone();
        let _forever = io_loop.spawn(async move {
            loop {
                counter.set(counter.get() + 1);
                yield_now().await;
            }
        });
        (0..5).for_each(|_| turn(io_loop));
        assert_eq!(polls.get(), 5);
    });
}

/// Tasks that wake each other are always ready, though none of them gives way to itself.
#[test]
fn tasks_that_wake_each_other_do_not_starve_timers_and_handlers() {
    both_ways(|io_loop| {
        let baton = async_baton();
        for player in 0..2 {
            let baton = baton.clone();
            io_loop
                .spawn(async move { baton.play(player).await })
                .detach();
        }
        let notes = Notes::new();
        let noted = notes.clone();
        io_loop.call_later(Duration::from_millis(1), move || noted.add("timer"));
        let (_peer, handled) = readable_handler(io_loop);
        drive_until(io_loop, || notes.len() == 1 && handled.get() > 0);
        let before = io_loop.metrics().polls;
        turn(io_loop);
        let polls = io_loop.metrics().polls - before;
        assert_eq!(
            polls, 1_024,
            "the budget of a turn, as the documentation has it"
        );
    });
}

/// Two tasks, each of which wakes the other and waits for it.
#[derive(Clone)]
struct Baton(Rc<[Cell<Option<std::task::Waker>>; 2]>);

fn async_baton() -> Baton {
    Baton(Rc::default())
}

impl Baton {
    async fn play(&self, player: usize) {
        loop {
            self.0[player].set(Some(own_waker().await));
            if let Some(other) = self.0[1 - player].take() {
                other.wake();
            }
            suspended().await;
        }
    }
}

#[test]
fn an_always_ready_handler_does_not_starve_tasks_and_timers() {
    both_ways(|io_loop| {
        let (_peer, handled) = readable_handler(io_loop);
        let (ran, set) = flag();
        let task = async move {
            ioloop::sleep(Duration::from_millis(1)).await;
            set.set(true);
        };
        io_loop.spawn(task).detach();
        let (fired, set) = flag();
        io_loop.call_later(Duration::from_millis(1), move || set.set(true));
        drive_until(io_loop, || handled.get() > 2 && fired.get() && ran.get());
    });
}

/// What one handler loses in time must not cost another the bytes that arrived meanwhile.
#[test]
fn a_slow_handler_does_not_let_a_deadline_beat_bytes_that_have_arrived() {
    let builder = Builder::new().slow_callback(Duration::from_millis(1));
    both_ways_with(builder, |io_loop| {
        let (patient, mut peer) = UnixStream::pair().unwrap();
        let (slow, mut trigger) = UnixStream::pair().unwrap();
        trigger.write_all(b"x").unwrap();
        let notes = Notes::new();

        let (noted, deadline) = (notes.clone(), Rc::new(Cell::new(None)));
        let pending = deadline.clone();
        let on_bytes = move |_: &UnixStream, event: Event| {
            noted.add("bytes");
            let io_loop = IoLoop::current();
            io_loop.remove_timeout(pending.take().unwrap());
            io_loop.remove_handler(event.id);
            io_loop.stop();
        };
        io_loop
            .add_handler(Rc::new(patient), Interest::READ, on_bytes)
            .unwrap();
        let on_trigger = move |_: &UnixStream, event: Event| {
            peer.write_all(b"in time").unwrap();
            hold_the_thread(Duration::from_millis(30));
            IoLoop::current().remove_handler(event.id);
        };
        io_loop
            .add_handler(Rc::new(slow), Interest::READ, on_trigger)
            .unwrap();
        let noted = notes.clone();
        let id = io_loop.call_later(Duration::from_millis(20), move || noted.add("deadline"));
        deadline.set(Some(id));

        io_loop.start();
        assert_eq!(notes.all(), ["bytes"]);
        crate::support::reports();
    });
}

/// A handler that leaves its input unread, and so is called in every turn.
fn readable_handler(io_loop: &IoLoop) -> (UnixStream, Rc<Cell<u32>>) {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    theirs.write_all(b"x").unwrap();
    let calls = Rc::new(Cell::new(0));
    let counter = calls.clone();
    let handler = move |mut stream: &UnixStream, _: Event| {
        assert_eq!(stream.read(&mut []).unwrap(), 0);
        counter.set(counter.get() + 1);
    };
    io_loop
        .add_handler(Rc::new(ours), Interest::READ, handler)
        .unwrap();
    (theirs, calls)
}
