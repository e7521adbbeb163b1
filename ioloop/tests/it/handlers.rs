//! Handlers that add, update and remove handlers, themselves and others, while they are called.

use std::cell::{Cell, RefCell};
use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::rc::Rc;

use ioloop::{Event, HandlerId, Interest, IoLoop};

use crate::support::{Notes, OnDrop, both_ways, flag, turn};

/// A stream whose peer has written a byte, and that peer.
fn readable() -> (Rc<UnixStream>, UnixStream) {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    theirs.write_all(b"x").unwrap();
    (Rc::new(ours), theirs)
}

fn read(mut stream: &UnixStream) {
    let mut bytes = [0; 64];
    assert_eq!(stream.read(&mut bytes).unwrap(), 1);
}

#[test]
fn a_handler_that_removes_itself_is_not_called_again() {
    both_ways(|io_loop| {
        let calls = Notes::new();
        let (dropped, at_drop) = flag();
        let guard = OnDrop(move || at_drop.set(true));
        let (ours, _theirs) = readable();
        let (noted, seen) = (calls.clone(), dropped.clone());
        let handler = move |_: &UnixStream, event: Event| {
            let _ = &guard;
            assert!(IoLoop::current().remove_handler(event.id));
            noted.add(seen.get());
        };
        io_loop.add_handler(ours, Interest::READ, handler).unwrap();
        turn(io_loop);
        turn(io_loop);
        assert_eq!(
            calls.all(),
            [false],
            "called once, and dropped after it returned"
        );
        assert!(dropped.get());
    });
}

#[test]
fn a_handler_removed_by_another_handler_is_not_called() {
    both_ways(|io_loop| {
        let calls = Notes::new();
        let ids = Rc::new(Cell::new([None::<HandlerId>; 2]));
        let mut peers = Vec::new();
        let mut made = [None; 2];
        for (index, place) in made.iter_mut().enumerate() {
            let (ours, theirs) = readable();
            peers.push(theirs);
            let (ids, calls) = (ids.clone(), calls.clone());
            let handler = move |_: &UnixStream, event: Event| {
                calls.add(index);
                for id in ids.get().into_iter().flatten() {
                    // Both events are in this batch: whichever comes first removes the other.
                    if id != event.id {
                        IoLoop::current().remove_handler(id);
                    }
                }
            };
            *place = Some(io_loop.add_handler(ours, Interest::READ, handler).unwrap());
        }
        ids.set(made);
        turn(io_loop);
        assert_eq!(calls.len(), 1);
        assert_eq!(io_loop.metrics().live_handlers, 1);
    });
}

#[test]
fn a_handler_paused_by_another_handler_is_not_called() {
    both_ways(|io_loop| {
        let calls = Notes::new();
        let ids = Rc::new(Cell::new([None::<HandlerId>; 2]));
        let mut peers = Vec::new();
        let mut made = [None; 2];
        for place in &mut made {
            let (ours, theirs) = readable();
            peers.push(theirs);
            let (ids, calls) = (ids.clone(), calls.clone());
            let handler = move |_: &UnixStream, event: Event| {
                calls.add(event.readable);
                for id in ids.get().into_iter().flatten() {
                    if id != event.id {
                        let io_loop = IoLoop::current();
                        io_loop.update_handler(id, Interest::NONE).unwrap();
                    }
                }
            };
            *place = Some(io_loop.add_handler(ours, Interest::READ, handler).unwrap());
        }
        ids.set(made);
        turn(io_loop);
        assert_eq!(calls.all(), [true]);
    });
}

#[test]
fn a_direction_that_was_disarmed_during_the_batch_is_not_reported() {
    both_ways(|io_loop| {
        assert_eq!(
            after_leaving(io_loop, Interest::WRITE),
            [(true, true), (false, true)]
        );
        assert_eq!(
            after_leaving(io_loop, Interest::READ),
            [(true, true), (true, false)]
        );
    });
}

/// Two handlers are ready both ways; the first to be called leaves each `rest` only.
fn after_leaving(io_loop: &IoLoop, rest: Interest) -> Vec<(bool, bool)> {
    let events = Notes::new();
    let ids = Rc::new(Cell::new([None::<HandlerId>; 2]));
    let mut peers = Vec::new();
    let mut made = [None; 2];
    for place in &mut made {
        let (ours, theirs) = readable();
        peers.push(theirs);
        let (ids, events) = (ids.clone(), events.clone());
        let handler = move |_: &UnixStream, event: Event| {
            events.add((event.readable, event.writable));
            for id in ids.get().into_iter().flatten() {
                IoLoop::current().update_handler(id, rest).unwrap();
            }
        };
        *place = Some(io_loop.add_handler(ours, Interest::BOTH, handler).unwrap());
    }
    ids.set(made);
    turn(io_loop);
    for id in made.into_iter().flatten() {
        io_loop.remove_handler(id);
    }
    events.all()
}

#[test]
fn a_handler_added_by_a_handler_is_not_forgotten() {
    both_ways(|io_loop| {
        let calls = Notes::new();
        let (ours, _theirs) = readable();
        let (later, _later_theirs) = readable();
        let notes = calls.clone();
        let first = move |_: &UnixStream, event: Event| {
            let inner = notes.clone();
            let second = move |stream: &UnixStream, _: Event| {
                read(stream);
                inner.add("second");
            };
            let io_loop = IoLoop::current();
            io_loop.remove_handler(event.id);
            io_loop
                .add_handler(later.clone(), Interest::READ, second)
                .unwrap();
            notes.add("first");
        };
        io_loop.add_handler(ours, Interest::READ, first).unwrap();
        turn(io_loop);
        turn(io_loop);
        assert_eq!(calls.all(), ["first", "second"]);
    });
}

/// Other tests open descriptors meanwhile, so it takes a few attempts to get the number again.
#[test]
fn an_event_for_a_closed_descriptor_does_not_reach_its_successor() {
    both_ways(|io_loop| {
        let reused = (0..100).any(|_| close_and_reopen_within_a_batch(io_loop));
        assert!(reused, "the number was never given out again");
    });
}

/// Whichever of two handlers is called first closes the other's descriptor and opens a new one.
/// Returns whether that got the same number.
fn close_and_reopen_within_a_batch(io_loop: &IoLoop) -> bool {
    let calls = Notes::new();
    let streams = Rc::new(RefCell::new(Vec::<(HandlerId, i32)>::new()));
    let opened = Rc::new(RefCell::new(None));
    let mut peers = Vec::new();
    for _ in 0..2 {
        let (ours, theirs) = readable();
        peers.push(theirs);
        let number = ours.as_raw_fd();
        let (all, calls, opened) = (streams.clone(), calls.clone(), opened.clone());
        let handler = move |_: &UnixStream, event: Event| {
            calls.add("old");
            let (other, number) = all
                .borrow()
                .iter()
                .copied()
                .find(|it| it.0 != event.id)
                .unwrap();
            let io_loop = IoLoop::current();
            assert!(
                io_loop.remove_handler(other),
                "its stream is closed with it"
            );
            let (ours, theirs) = UnixStream::pair().unwrap();
            let is_same = ours.as_raw_fd() == number;
            let noted = calls.clone();
            let successor = move |_: &UnixStream, _: Event| noted.add("successor");
            let new = io_loop
                .add_handler(Rc::new(ours), Interest::READ, successor)
                .unwrap();
            *opened.borrow_mut() = Some((is_same, new, theirs));
        };
        let id = io_loop.add_handler(ours, Interest::READ, handler).unwrap();
        streams.borrow_mut().push((id, number));
    }
    turn(io_loop);
    assert_eq!(calls.all(), ["old"]);
    let (is_same, new, _theirs) = opened.take().unwrap();
    io_loop.remove_handler(new);
    for (id, _) in streams.take() {
        io_loop.remove_handler(id);
    }
    is_same
}

#[test]
fn dropping_a_handler_may_remove_another() {
    both_ways(|io_loop| {
        let (first, _first_theirs) = readable();
        let (second, _second_theirs) = readable();
        let second = io_loop
            .add_handler(second, Interest::READ, |_, _| {})
            .unwrap();
        let owner = io_loop.clone();
        let guard = OnDrop(move || assert!(owner.remove_handler(second)));
        let handler = move |_: &UnixStream, _: Event| {
            let _ = &guard;
        };
        let first = io_loop.add_handler(first, Interest::READ, handler).unwrap();
        assert!(io_loop.remove_handler(first));
        assert_eq!(io_loop.metrics().live_handlers, 0);
    });
}

#[test]
fn a_stale_id_does_not_reach_a_successor() {
    both_ways(|io_loop| {
        let (ours, _theirs) = readable();
        let stale = io_loop
            .add_handler(ours.clone(), Interest::READ, |_, _| {})
            .unwrap();
        assert!(io_loop.remove_handler(stale));
        let id = io_loop
            .add_handler(ours, Interest::READ, |_, _| {})
            .unwrap();
        assert_ne!(stale, id);
        assert!(!io_loop.remove_handler(stale));
        let refused = io_loop.update_handler(stale, Interest::NONE).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::NotFound);
        assert!(io_loop.remove_handler(id));
    });
}

#[test]
fn a_descriptor_is_not_watched_twice() {
    both_ways(|io_loop| {
        let (ours, _theirs) = readable();
        io_loop
            .add_handler(ours.clone(), Interest::READ, |_, _| {})
            .unwrap();
        let refused = io_loop
            .add_handler(ours, Interest::READ, |_, _| {})
            .unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::AlreadyExists);
        assert_eq!(io_loop.metrics().live_handlers, 1);
    });
}

#[test]
#[cfg(target_os = "linux")]
fn a_regular_file_is_not_watched() {
    both_ways(|io_loop| {
        let file = Rc::new(std::fs::File::open("Cargo.toml").unwrap());
        let refused = io_loop
            .add_handler(file, Interest::READ, |_, _| {})
            .unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::PermissionDenied);
        assert_eq!(io_loop.metrics().live_handlers, 0);
    });
}
