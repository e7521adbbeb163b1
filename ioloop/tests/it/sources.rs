//! Sources whose `as_fd` lies, meddles or panics: it is user code, called in the middle of things.

use std::cell::{Cell, RefCell};
use std::io::ErrorKind;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::Duration;

use ioloop::{Event, Interest, IoLoop, Source};

use crate::support::{both_ways, has_event, reports, turn};

/// A source with two descriptors, which answers either.
struct TwoFaced {
    streams: [UnixStream; 2],
    answer: Cell<usize>,
}

impl AsFd for TwoFaced {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.streams[self.answer.get()].as_fd()
    }
}

impl Source for TwoFaced {
    fn ready(self: Rc<Self>, _: Event) {}
}

fn two_faced() -> Rc<TwoFaced> {
    let (one, other) = UnixStream::pair().unwrap();
    Rc::new(TwoFaced {
        streams: [one, other],
        answer: Cell::new(0),
    })
}

#[test]
fn a_source_that_changes_its_descriptor_is_not_closed_while_it_is_registered() {
    both_ways(|io_loop| {
        let source = two_faced();
        let id = io_loop.add_source(source.clone(), Interest::READ).unwrap();
        source.answer.set(1);
        let refused = io_loop.update_handler(id, Interest::BOTH).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidInput);
        assert!(io_loop.remove_handler(id));
        assert_eq!(
            Rc::strong_count(&source),
            2,
            "the loop keeps what it cannot take out"
        );
        io_loop.close();
        assert_eq!(Rc::strong_count(&source), 1);
    });
}

#[test]
fn a_source_that_changed_while_paused_is_not_kept() {
    both_ways(|io_loop| {
        let source = two_faced();
        let id = io_loop.add_source(source.clone(), Interest::NONE).unwrap();
        source.answer.set(1);
        assert!(io_loop.remove_handler(id));
        assert_eq!(Rc::strong_count(&source), 1, "it was not in the poller");
    });
}

/// A source whose `as_fd` does whatever the test wants.
struct Meddler {
    stream: UnixStream,
    on_ask: RefCell<Option<Box<dyn FnOnce()>>>,
}

impl AsFd for Meddler {
    fn as_fd(&self) -> BorrowedFd<'_> {
        let on_ask = self.on_ask.take();
        if let Some(on_ask) = on_ask {
            on_ask();
        }
        self.stream.as_fd()
    }
}

impl Source for Meddler {
    fn ready(self: Rc<Self>, event: Event) {
        assert!(event.readable);
        IoLoop::current().remove_handler(event.id);
    }
}

fn meddler() -> (Rc<Meddler>, UnixStream) {
    let (stream, theirs) = UnixStream::pair().unwrap();
    let on_ask = RefCell::new(None);
    (Rc::new(Meddler { stream, on_ask }), theirs)
}

#[test]
fn a_source_that_removes_itself_when_asked_does_not_stay_in_the_poller() {
    both_ways(|io_loop| {
        let (source, theirs) = meddler();
        let id = io_loop.add_source(source.clone(), Interest::NONE).unwrap();
        let remove: Box<dyn FnOnce()> = Box::new(move || {
            assert!(IoLoop::current().remove_handler(id));
        });
        *source.on_ask.borrow_mut() = Some(remove);
        let refused = io_loop.update_handler(id, Interest::READ).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::NotFound);
        assert_eq!(Rc::strong_count(&source), 1);
        drop(theirs);
        assert!(!has_event(io_loop));
    });
}

#[test]
fn a_source_that_uses_the_loop_when_asked_does_not_meet_a_borrow() {
    both_ways(|io_loop| {
        let (source, theirs) = meddler();
        let use_loop = || -> Box<dyn FnOnce()> {
            Box::new(|| {
                let io_loop = IoLoop::current();
                let (other, _other_theirs) = meddler();
                let id = io_loop.add_source(other, Interest::READ).unwrap();
                io_loop.call_later(Duration::ZERO, || {});
                io_loop.spawn(async {}).detach();
                assert!(io_loop.remove_handler(id));
            })
        };
        *source.on_ask.borrow_mut() = Some(use_loop());
        let id = io_loop.add_source(source.clone(), Interest::READ).unwrap();
        *source.on_ask.borrow_mut() = Some(use_loop());
        io_loop.update_handler(id, Interest::BOTH).unwrap();
        *source.on_ask.borrow_mut() = Some(use_loop());
        drop(theirs);
        turn(io_loop);
        assert_eq!(io_loop.metrics().live_handlers, 0);
    });
}

#[test]
fn a_source_that_panics_when_asked_is_not_dropped_while_it_is_registered() {
    both_ways(|io_loop| {
        let (source, theirs) = meddler();
        let id = io_loop.add_source(source.clone(), Interest::READ).unwrap();
        let refuse: Box<dyn FnOnce()> = Box::new(|| panic!("as_fd"));
        *source.on_ask.borrow_mut() = Some(refuse);
        let remove = std::panic::AssertUnwindSafe(|| io_loop.remove_handler(id));
        assert!(std::panic::catch_unwind(remove).is_err());
        assert_eq!(io_loop.metrics().live_handlers, 1);
        drop(theirs);
        turn(io_loop);
        assert_eq!(io_loop.metrics().live_handlers, 0, "it works as before");
        assert_eq!(Rc::strong_count(&source), 1);

        let (source, _theirs) = meddler();
        io_loop.add_source(source.clone(), Interest::READ).unwrap();
        let refuse: Box<dyn FnOnce()> = Box::new(|| panic!("as_fd"));
        *source.on_ask.borrow_mut() = Some(refuse);
        io_loop.close();
        assert_eq!(Rc::strong_count(&source), 1, "closing goes on");
        assert_eq!(reports().len(), 1);
    });
}
