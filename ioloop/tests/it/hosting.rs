//! A loop inside another: its descriptor and its next deadline are all that a host needs.

use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::{Duration, Instant};

use ioloop::{Event, Interest, IoLoop};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::support::{Notes, both_ways, flag, has_event, real_time, turn};

/// The smallest host: waits as the loop asks, and lets it take a turn.
fn host_until(io_loop: &IoLoop, condition: impl Fn() -> bool) -> usize {
    for turns in 0..1_000 {
        if condition() {
            return turns;
        }
        let mut watched = [PollFd::from_borrowed_fd(io_loop.as_fd(), PollFlags::IN)];
        let wait = io_loop.next_deadline().map(|deadline| {
            Timespec::try_from(deadline.saturating_duration_since(real_time())).unwrap()
        });
        poll(&mut watched, wait.as_ref()).unwrap();
        turn(io_loop);
    }
    panic!("the hosted loop got nowhere");
}

#[test]
fn a_hosted_loop_does_not_miss_anything() {
    both_ways(|io_loop| {
        let notes = Notes::new();
        let noted = notes.clone();
        io_loop.call_later(Duration::from_millis(5), move || noted.add("timer"));
        let noted = notes.clone();
        let task = async move {
            ioloop::sleep(Duration::from_millis(10)).await;
            noted.add("task");
        };
        io_loop.spawn(task).detach();
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let noted = notes.clone();
        let handler = move |_: &UnixStream, event: Event| {
            noted.add("handler");
            IoLoop::current().remove_handler(event.id);
        };
        io_loop
            .add_handler(Rc::new(ours), Interest::READ, handler)
            .unwrap();
        let remote = io_loop.remote();
        let thread = std::thread::spawn(move || {
            theirs.write_all(b"x").unwrap();
            remote.add_callback(|| IoLoop::current().stop()).unwrap();
            theirs
        });
        let turns = host_until(io_loop, || notes.len() == 3);
        thread.join().unwrap();
        assert!(turns < 50, "{turns} turns: the host spins");
    });
}

#[test]
fn a_loop_with_nothing_to_do_does_not_ask_for_a_turn() {
    both_ways(|io_loop| {
        (0..3).for_each(|_| turn(io_loop));
        assert_eq!(io_loop.next_deadline(), None);
        assert!(!has_event(io_loop));
        io_loop.stop();
        turn(io_loop);
        assert_eq!(io_loop.next_deadline(), None, "a stop is nothing to run");
    });
}

#[test]
fn a_loop_with_something_to_do_does_not_wait_to_be_asked() {
    both_ways(|io_loop| {
        fn now(io_loop: &IoLoop) -> Option<Instant> {
            Some(io_loop.now())
        }
        io_loop.add_callback(|| {});
        assert_eq!(io_loop.next_deadline(), now(io_loop));
        turn(io_loop);
        io_loop.spawn(async {}).detach();
        assert_eq!(io_loop.next_deadline(), now(io_loop));
        turn(io_loop);
        assert_eq!(io_loop.next_deadline(), None);

        let (woken, set) = flag();
        io_loop.remote().add_callback(|| {}).unwrap();
        io_loop.add_callback(move || set.set(true));
        turn(io_loop);
        assert!(woken.get());
        assert_eq!(
            io_loop.next_deadline(),
            now(io_loop),
            "the alarm was seen, not yet answered"
        );
        turn(io_loop);
        assert_eq!(io_loop.next_deadline(), None);
    });
}
