//! Level-triggered readiness: what is unread is reported again, and what nobody wants never spins.

use std::cell::Cell;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::rc::Rc;

use ioloop::{Event, Interest, IoLoop, Waiting};

use crate::support::{Notes, both_ways, drive_until, has_event, turn};

fn counted(io_loop: &IoLoop, stream: Rc<UnixStream>) -> (ioloop::HandlerId, Rc<Cell<u32>>) {
    let calls = Rc::new(Cell::new(0));
    let counter = calls.clone();
    let handler = move |_: &UnixStream, _: Event| counter.set(counter.get() + 1);
    let id = io_loop
        .add_handler(stream, Interest::READ, handler)
        .unwrap();
    (id, calls)
}

#[test]
fn unread_input_is_not_reported_only_once() {
    both_ways(|io_loop| {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(b"x").unwrap();
        let (_, calls) = counted(io_loop, Rc::new(ours));
        (0..3).for_each(|_| turn(io_loop));
        assert_eq!(calls.get(), 3);
    });
}

#[test]
fn unread_input_does_not_reach_a_paused_handler() {
    both_ways(|io_loop| {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let (id, calls) = counted(io_loop, Rc::new(ours));
        io_loop.update_handler(id, Interest::NONE).unwrap();
        theirs.write_all(b"x").unwrap();
        turn(io_loop);
        assert_eq!(calls.get(), 0);
        assert!(!has_event(io_loop), "it would spin");

        io_loop.update_handler(id, Interest::READ).unwrap();
        turn(io_loop);
        assert_eq!(calls.get(), 1, "nothing is lost meanwhile");
    });
}

#[test]
fn a_peer_that_resets_does_not_spin_a_paused_handler() {
    both_ways(|io_loop| {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (id, calls) = counted(io_loop, Rc::new(ours));
        io_loop.update_handler(id, Interest::NONE).unwrap();
        drop(theirs);
        turn(io_loop);
        assert_eq!(calls.get(), 0);
        assert!(
            !has_event(io_loop),
            "hang-ups are reported also to those who did not ask"
        );
    });
}

#[test]
fn a_hang_up_is_not_hidden_from_either_direction() {
    both_ways(|io_loop| {
        for interest in [Interest::READ, Interest::WRITE] {
            let (ours, theirs) = UnixStream::pair().unwrap();
            drop(theirs);
            let events = Notes::new();
            let noted = events.clone();
            let handler = move |_: &UnixStream, event: Event| noted.add(event);
            let id = io_loop
                .add_handler(Rc::new(ours), interest, handler)
                .unwrap();
            turn(io_loop);
            io_loop.remove_handler(id);
            let event = events.all()[0];
            assert!(
                event.readable && event.writable && event.hang_up,
                "{event:?}"
            );
            assert_eq!(event.directions(), Interest::BOTH);
        }
    });
}

#[test]
fn room_to_write_is_not_reported_to_a_reader() {
    both_ways(|io_loop| {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let (_, calls) = counted(io_loop, Rc::new(ours));
        turn(io_loop);
        assert_eq!(calls.get(), 0);
    });
}

/// Reading never takes the byte away, so that the descriptor is ready for ever.
#[test]
#[cfg(target_os = "linux")]
fn an_urgent_byte_does_not_spin_the_loop() {
    both_ways(|io_loop| {
        let (ours, mut theirs) = tcp_pair();
        ours.set_nonblocking(true).unwrap();
        let received = Notes::new();
        let noted = received.clone();
        let handler = move |mut stream: &TcpStream, _: Event| {
            let mut bytes = [0; 64];
            if let Ok(count) = stream.read(&mut bytes) {
                noted.add(bytes[..count].to_vec());
            }
        };
        io_loop
            .add_handler(Rc::new(ours), Interest::READ, handler)
            .unwrap();

        theirs.write_all(b"before").unwrap();
        rustix::net::send(&theirs, b"!", rustix::net::SendFlags::OOB).unwrap();
        drive_until(io_loop, || received.len() == 1);
        if io_loop.waiting() == Waiting::Direct {
            drive_until(io_loop, || !has_event(io_loop));
        }
        theirs.write_all(b"after").unwrap();
        drive_until(io_loop, || received.len() == 2);
        assert_eq!(received.all(), [b"before".to_vec(), b"after".to_vec()]);
    });
}

#[cfg(target_os = "linux")]
#[test]
fn ignoring_urgent_data_does_not_forget_what_is_watched() {
    both_ways(|io_loop| {
        if io_loop.waiting() == Waiting::Portable {
            return;
        }
        let (ours, theirs) = tcp_pair();
        let events = Notes::new();
        let noted = events.clone();
        let handler = move |_: &TcpStream, event: Event| noted.add(event.directions());
        let id = io_loop
            .add_handler(Rc::new(ours), Interest::READ, handler)
            .unwrap();
        rustix::net::send(&theirs, b"!", rustix::net::SendFlags::OOB).unwrap();
        drive_until(io_loop, || !has_event(io_loop));
        assert_eq!(events.len(), 0, "no handler is called for it");

        io_loop.update_handler(id, Interest::BOTH).unwrap();
        drive_until(io_loop, || events.len() == 1);
        assert_eq!(events.all(), [Interest::WRITE]);
        drop(theirs);
        drive_until(io_loop, || events.all().contains(&Interest::BOTH));
    });
}

#[cfg(target_os = "linux")]
fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let theirs = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (listener.accept().unwrap().0, theirs)
}
