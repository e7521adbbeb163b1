//! Seeing inside: the counters, the list of what lives, and the warning of slow code.

use std::future::pending;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::Duration;

use futures_lite::future::yield_now;
use ioloop::{Builder, Event, Interest, IoLoop};

use crate::support::{
    both_ways, both_ways_in_virtual_time, both_ways_with, hold_the_thread, reports, turn,
};

#[test]
fn nothing_is_counted_twice_or_left_out() {
    both_ways(|io_loop| {
        io_loop.add_callback(|| {});
        io_loop.remote().add_callback(|| {}).unwrap();
        io_loop.call_later(Duration::ZERO, || {});
        let later = io_loop.call_later(Duration::from_secs(60), || {});
        io_loop.spawn(yield_now()).detach();
        io_loop.spawn(pending::<()>()).detach();
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        io_loop
            .add_handler(Rc::new(ours), Interest::READ, |_, _| {})
            .unwrap();
        theirs.write_all(b"x").unwrap();
        (0..3).for_each(|_| turn(io_loop));

        let metrics = io_loop.metrics();
        assert_eq!(metrics.turns, 3);
        assert_eq!(metrics.callbacks, 2);
        assert_eq!(metrics.timers_fired, 1);
        assert_eq!(metrics.polls, 3);
        assert_eq!(metrics.events, 3);
        assert_eq!(metrics.live_timers, 1);
        assert_eq!(metrics.live_tasks, 1);
        assert_eq!(metrics.live_handlers, 1);
        io_loop.remove_timeout(later);
        assert_eq!(io_loop.metrics().live_timers, 0);
    });
}

#[test]
fn an_event_that_no_handler_gets_is_not_counted() {
    both_ways(|io_loop| {
        let mut peers = Vec::new();
        let ids = Rc::new(std::cell::RefCell::new(Vec::new()));
        for _ in 0..3 {
            let (ours, mut theirs) = UnixStream::pair().unwrap();
            theirs.write_all(b"x").unwrap();
            peers.push(theirs);
            let all = ids.clone();
            let remove_all = move |_: &UnixStream, _: Event| {
                for id in all.take() {
                    IoLoop::current().remove_handler(id);
                }
            };
            let id = io_loop
                .add_handler(Rc::new(ours), Interest::READ, remove_all)
                .unwrap();
            ids.borrow_mut().push(id);
        }
        turn(io_loop);
        assert_eq!(io_loop.metrics().events, 1);
    });
}

#[test]
fn waiting_is_not_counted_as_work() {
    both_ways(|io_loop| {
        io_loop.run_until(ioloop::sleep(Duration::from_millis(50)));
        let metrics = io_loop.metrics();
        assert!(metrics.idle >= Duration::from_millis(45), "{metrics:?}");
        assert!(metrics.busy < Duration::from_millis(45), "{metrics:?}");

        io_loop.add_callback(|| hold_the_thread(Duration::from_millis(50)));
        turn(io_loop);
        let metrics = io_loop.metrics();
        assert!(metrics.busy >= Duration::from_millis(50), "{metrics:?}");
        assert!(
            metrics.longest_turn >= Duration::from_millis(50),
            "{metrics:?}"
        );

        // What the owner of the loop does in between is not the loop's time.
        let busy = metrics.busy;
        hold_the_thread(Duration::from_millis(50));
        turn(io_loop);
        assert!(io_loop.metrics().busy - busy < Duration::from_millis(45));
    });
}

#[test]
fn what_lives_is_not_listed_without_its_place() {
    both_ways_in_virtual_time(|io_loop| {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let (ours, first) = (Rc::new(ours), line!());
        io_loop
            .add_handler(ours, Interest::BOTH, |_, _| {})
            .unwrap();
        io_loop.call_later(Duration::from_secs(9), || {});
        io_loop.call_later(Duration::from_secs(7), || {});
        let sleeping = io_loop.spawn(ioloop::sleep(Duration::from_secs(5)));
        let (waiting, last) = (io_loop.spawn(pending::<()>()), line!());
        turn(io_loop);

        let dump = io_loop.dump();
        let mut kinds = Vec::new();
        for line in dump.lines() {
            let (kind, place) = line.split_once(", made at ").unwrap();
            kinds.push(kind.split(" fd ").next().unwrap());
            let place = place.strip_prefix(file!()).unwrap();
            let number: u32 = place.split(':').nth(1).unwrap().parse().unwrap();
            assert!((first..=last).contains(&number), "{line}");
        }
        let expected = [
            "handler of",
            "timer in 5s",
            "timer in 7s",
            "timer in 9s",
            "task",
            "task",
        ];
        assert_eq!(kinds, expected, "{dump}");
        assert!(dump.contains(" for read+write, "), "{dump}");
        drop((waiting, sleeping));
    });
}

/// Calls `slow` twice for each kind of code that the loop calls.
fn slow_code(io_loop: &IoLoop, slow: impl Fn() + Clone + 'static) {
    for _ in 0..2 {
        let code = slow.clone();
        io_loop.add_callback(code);
        let code = slow.clone();
        io_loop.call_later(Duration::ZERO, code);
        let code = slow.clone();
        io_loop.spawn(async move { code() }).detach();
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(b"x").unwrap();
        let code = slow.clone();
        let handler = move |_: &UnixStream, event: Event| {
            code();
            IoLoop::current().remove_handler(event.id);
        };
        io_loop
            .add_handler(Rc::new(ours), Interest::READ, handler)
            .unwrap();
        let code = slow.clone();
        io_loop.run_until(async move { code() });
        turn(io_loop);
    }
}

#[test]
fn slow_code_is_not_warned_of_more_than_once_per_place() {
    both_ways_with(
        Builder::new().slow_callback(Duration::from_millis(15)),
        |io_loop| {
            slow_code(io_loop, || hold_the_thread(Duration::from_millis(25)));
            let mut kinds: Vec<String> = reports()
                .iter()
                .map(|report| {
                    assert!(report.contains("held the loop for"), "{report}");
                    assert!(report.contains(file!()), "{report}");
                    let message = report.split("message=").nth(1).unwrap();
                    message.split(" held").next().unwrap().to_owned()
                })
                .collect();
            kinds.sort_unstable();
            let expected = [
                "a callback",
                "a handler",
                "a task",
                "a timer",
                "the future of run_until",
            ];
            assert_eq!(kinds, expected);
        },
    );
}

#[test]
fn quick_code_is_not_warned_of() {
    both_ways_with(
        Builder::new().slow_callback(Duration::from_secs(5)),
        |io_loop| {
            slow_code(io_loop, || hold_the_thread(Duration::from_millis(1)));
        },
    );
}

#[test]
fn waiting_is_not_warned_of() {
    both_ways_with(
        Builder::new().slow_callback(Duration::from_millis(40)),
        |io_loop| {
            let (ours, mut theirs) = UnixStream::pair().unwrap();
            let stop = |_: &UnixStream, _: Event| IoLoop::current().stop();
            io_loop
                .add_handler(Rc::new(ours), Interest::READ, stop)
                .unwrap();
            let thread = std::thread::spawn(move || {
                hold_the_thread(Duration::from_millis(60));
                theirs.write_all(b"x").unwrap();
            });
            io_loop.start();
            thread.join().unwrap();
        },
    );
}

#[test]
fn the_warning_can_be_turned_off() {
    both_ways_with(Builder::new().slow_callback(Duration::MAX), |io_loop| {
        io_loop.add_callback(|| hold_the_thread(Duration::from_millis(110)));
        turn(io_loop);
    });
}
