//! The observer hears of the close exactly once, when the descriptor is closed.

use iostream::IoStream;

use crate::support::{Closes, on_loop, spawn, turns, until};
use crate::transports::{Kind, tcp};

fn observed(stream: &IoStream) -> std::rc::Rc<Closes> {
    let closes = Closes::new();
    stream.on_close(closes.clone());
    closes
}

#[test]
fn it_is_not_called_while_there_are_handles() {
    on_loop(async {
        let (one, other) = tcp();
        let closes = observed(&one);
        drop(other);
        let (mut reader, writer) = one.split();
        assert!(reader.read_some(1).await.is_err());
        drop(reader);
        let clone = writer.clone();
        drop(writer);
        turns(5).await;
        assert_eq!(closes.count(), 0);
        drop(clone);
        until(|| closes.count() == 1).await;
    });
}

#[test]
fn it_is_not_called_before_the_peer_has_closed_too() {
    for kind in Kind::ALL {
        if kind == Kind::Pipes {
            continue;
        }
        on_loop(async move {
            let (one, mut other) = kind.streams();
            let closes = observed(&one);
            one.write(&[1; 5000]).await.unwrap();
            drop(one);
            assert_eq!(other.read_until_close(5000).await.unwrap(), [1; 5000]);
            turns(20).await;
            assert_eq!(closes.count(), 0, "over {kind:?}");
            drop(other);
            until(|| closes.count() == 1).await;
            turns(5).await;
            assert_eq!(closes.count(), 1);
        });
    }
}

#[test]
fn it_is_called_when_the_loop_closes() {
    for kind in Kind::ALL {
        if kind == Kind::Pipes {
            continue;
        }
        let closes = on_loop(async move {
            let (one, other) = kind.streams();
            let (first, second) = (observed(&one), observed(&other));
            // One is still being sent when the loop closes, the other waits in a task.
            one.write(&[1; 1_000_000]).await.unwrap();
            drop(one);
            spawn(async move { other.peer_closed().await }).detach();
            turns(2).await;
            [first, second]
        });
        assert_eq!(closes.map(|closes| closes.count()), [1, 1], "over {kind:?}");
    }
}

#[test]
fn it_is_called_once_for_a_stream_that_was_aborted_and_dropped() {
    on_loop(async {
        let (one, _other) = tcp();
        let closes = observed(&one);
        let aborter = one.aborter();
        aborter.abort();
        turns(3).await;
        assert_eq!(closes.count(), 0, "a handle holds the descriptor");
        drop(one);
        assert_eq!(closes.count(), 1);
        aborter.abort();
        assert_eq!(closes.count(), 1);
    });
}

#[test]
fn an_observer_may_drop_another_stream() {
    struct Owner(std::cell::RefCell<Option<IoStream>>);

    impl iostream::OnClose for Owner {
        fn closed(&self) {
            drop(self.0.take());
        }
    }

    on_loop(async {
        let ((one, peer), (owned, mut other)) = (tcp(), tcp());
        owned.queue(b"bye").unwrap();
        one.on_close(std::rc::Rc::new(Owner(std::cell::RefCell::new(Some(
            owned,
        )))));
        drop((one, peer));
        assert_eq!(other.read_until_close(10).await.unwrap(), b"bye");
    });
}

#[test]
fn a_second_observer_does_not_replace_the_first() {
    #[derive(Default)]
    struct Told(std::cell::Cell<u32>);

    impl iostream::OnClose for Told {
        fn closed(&self) {
            self.0.set(self.0.get() + 1);
        }
    }

    ioloop::testing::run(async {
        let (_client, server) = iostream::IoStream::pair();
        let (one, other) = (
            std::rc::Rc::new(Told::default()),
            std::rc::Rc::new(Told::default()),
        );
        server.on_close(one.clone());
        server.on_close(other.clone());
        server.abort();
        assert_eq!((one.0.get(), other.0.get()), (1, 1));
    });
}
