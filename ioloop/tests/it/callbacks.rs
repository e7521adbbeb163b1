//! Callbacks: never inline, in order, and unable to keep the loop from its other work.

use std::cell::Cell;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::Duration;

use ioloop::{Interest, IoLoop};

use crate::support::{Notes, OnDrop, both_ways, drive_until, flag, turn};

#[test]
fn a_callback_does_not_run_inline() {
    both_ways(|io_loop| {
        let (ran, set) = flag();
        io_loop.add_callback(move || set.set(true));
        assert!(!ran.get());
        turn(io_loop);
        assert!(ran.get());
    });
}

#[test]
fn callbacks_do_not_overtake_one_another() {
    both_ways(|io_loop| {
        let notes = Notes::new();
        for number in 0..1_000 {
            let noted = notes.clone();
            io_loop.add_callback(move || noted.add(number));
        }
        turn(io_loop);
        assert_eq!(notes.all(), (0..1_000).collect::<Vec<_>>());
    });
}

#[test]
fn a_callback_added_by_a_callback_does_not_run_in_the_same_turn() {
    both_ways(|io_loop| {
        let notes = Notes::new();
        let (outer, inner) = (notes.clone(), notes.clone());
        io_loop.add_callback(move || {
            outer.add("outer");
            IoLoop::current().add_callback(move || inner.add("inner"));
        });
        turn(io_loop);
        assert_eq!(notes.all(), ["outer"]);
        turn(io_loop);
        assert_eq!(notes.all(), ["outer", "inner"]);
    });
}

fn again(left: Rc<Cell<bool>>) {
    if left.get() {
        IoLoop::current().add_callback(move || again(left));
    }
}

#[test]
fn callbacks_that_never_end_do_not_starve_timers_handlers_and_tasks() {
    both_ways(|io_loop| {
        let going = Rc::new(Cell::new(true));
        again(going.clone());
        let notes = Notes::new();

        let noted = notes.clone();
        io_loop.call_later(Duration::from_millis(1), move || noted.add("timer"));
        let noted = notes.clone();
        io_loop.spawn(async move { noted.add("task") }).detach();
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let noted = notes.clone();
        let handler = move |_: &UnixStream, event: ioloop::Event| {
            noted.add("handler");
            IoLoop::current().remove_handler(event.id);
        };
        io_loop
            .add_handler(Rc::new(ours), Interest::READ, handler)
            .unwrap();
        theirs.write_all(b"x").unwrap();

        drive_until(io_loop, || notes.len() == 3);
        going.set(false);
        turn(io_loop);
    });
}

#[test]
fn a_callback_is_not_dropped_before_it_has_returned() {
    both_ways(|io_loop| {
        let notes = Notes::new();
        let (noted, at_drop) = (notes.clone(), notes.clone());
        let guard = OnDrop(move || {
            at_drop.add("dropped");
            // A destructor may use the loop, too.
            IoLoop::current().add_callback(|| {});
        });
        io_loop.add_callback(move || {
            let _ = &guard;
            noted.add("called");
        });
        turn(io_loop);
        assert_eq!(notes.all(), ["called", "dropped"]);
    });
}
