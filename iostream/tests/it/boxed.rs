//! Transports that misbehave, or use what the interface allows: only their own stream suffers.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use ioloop::IoLoop;
use iostream::{CloseReason, Error, IoStream};

use crate::scripted::Scripted;
use crate::support::{
    Closes, attempt, on_loop, on_virtual_loop, reports, spawn, timed, turns, until,
};

#[test]
fn a_transport_that_takes_nothing_is_not_asked_for_ever() {
    on_loop(async {
        let stream = IoStream::from_transport(Scripted {
            write: Some(Box::new(|_| Poll::Ready(Ok(0)))),
            ..Scripted::default()
        });
        stream.write(b"x").await.unwrap();
        assert!(stream.flush().await.is_err());
        assert!(stream.write(b"x").await.is_err());
        stream.abort();
    });
}

#[test]
fn a_transport_that_panics_while_it_sends_does_not_leave_writers_waiting() {
    on_loop(async {
        let stream = IoStream::from_transport(Scripted {
            write: Some(Box::new(|_| panic!("a bug in the transport"))),
            ..Scripted::default()
        });
        let closes = Closes::new();
        stream.on_close(closes.clone());
        stream.write(b"x").await.unwrap();
        assert!(stream.flush().await.is_err());
        assert_eq!(reports().len(), 1, "the panic is reported");
        assert!(stream.write(b"x").await.is_err());
        drop(stream);
        until(|| closes.count() == 1).await;
    });
}

#[test]
fn a_transport_that_is_always_ready_does_not_hold_the_loop() {
    on_loop(async {
        let stream = IoStream::from_transport(Scripted {
            write: Some(Box::new(|_| Poll::Ready(Ok(1)))),
            ..Scripted::default()
        });
        let before = IoLoop::current().metrics().turns;
        stream.write(&[0; 3200]).await.unwrap();
        stream.flush().await.unwrap();
        let turns = IoLoop::current().metrics().turns - before;
        assert!(turns >= 90, "3,200 calls in {turns} turns");
        stream.abort();
    });
}

#[test]
fn an_abort_is_not_put_off_by_a_transport_that_never_gets_ready() {
    on_virtual_loop(async {
        let alive = Rc::new(());
        for keeps_handles in [false, true] {
            let stream = IoStream::from_transport(Scripted {
                _alive: alive.clone(),
                ..Scripted::default()
            });
            let closes = Closes::new();
            stream.on_close(closes.clone());
            stream.write(b"never sent").await.unwrap();
            turns(3).await;
            let aborter = stream.aborter();
            let kept = keeps_handles.then(|| stream.writer());
            drop(stream);
            turns(3).await;
            let (waited, ()) = timed(async {
                aborter.abort();
                drop(kept);
                until(|| closes.count() == 1).await;
            })
            .await;
            assert!(waited < Duration::from_secs(1), "{waited:?}");
            assert_eq!(Rc::strong_count(&alive), 1, "the transport is gone");
        }
    });
}

#[test]
fn a_transport_that_never_closes_is_given_up() {
    on_virtual_loop(async {
        let closes = Closes::new();
        let stream = IoStream::from_transport(Scripted {
            write: Some(Box::new(|bytes| Poll::Ready(Ok(bytes.len())))),
            ..Scripted::default()
        });
        stream.on_close(closes.clone());
        stream.write(b"bye").await.unwrap();
        drop(stream);
        let (waited, ()) = timed(async {
            while closes.count() == 0 {
                ioloop::sleep(Duration::from_secs(1)).await;
            }
        })
        .await;
        assert!(waited < Duration::from_secs(70), "{waited:?}");
    });
}

#[test]
fn a_shutdown_that_waits_for_its_transport_ends_with_an_abort() {
    on_virtual_loop(async {
        let stream = IoStream::from_transport(Scripted {
            write: Some(Box::new(|bytes| Poll::Ready(Ok(bytes.len())))),
            ..Scripted::default()
        });
        let aborter = stream.aborter();
        stream.queue(b"bye").unwrap();
        let shutdown = spawn(stream.shutdown());
        turns(10).await;
        assert!(!shutdown.is_finished());
        aborter.abort();
        let (waited, result) = timed(shutdown).await;
        assert!(waited < Duration::from_secs(1), "{waited:?}");
        let reason = CloseReason::Local;
        assert!(matches!(result, Err(Error::Closed { reason: why, .. }) if why == reason));
    });
}

#[test]
fn a_shutdown_does_not_wait_for_its_transport_beyond_the_deadline() {
    on_virtual_loop(async {
        let stream = IoStream::from_transport(Scripted::default());
        let deadline = IoLoop::current().now() + Duration::from_secs(10);
        stream.set_deadline(Some(deadline));
        let result = stream.shutdown().await;
        assert!(matches!(result, Err(Error::TimedOut)), "{result:?}");
        assert_eq!(IoLoop::current().now(), deadline);
    });
}

#[test]
fn bytes_written_while_the_transport_flushes_are_not_left_behind() {
    on_loop(async {
        let (taken, flusher) = (
            Rc::new(RefCell::new(Vec::new())),
            Rc::new(RefCell::new(None)),
        );
        let stream = IoStream::from_transport(Scripted {
            write: Some(Box::new({
                let taken = taken.clone();
                move |bytes: &[u8]| {
                    taken.borrow_mut().extend_from_slice(bytes);
                    Poll::Ready(Ok(bytes.len()))
                }
            })),
            flush: Some(Box::new({
                let flusher = flusher.clone();
                move |context: &Context<'_>| {
                    // Not ready the first time, then for good.
                    let first = flusher.replace(Some(context.waker().clone())).is_none();
                    if first {
                        Poll::Pending
                    } else {
                        Poll::Ready(Ok(()))
                    }
                }
            })),
            ..Scripted::default()
        });
        stream.write(b"one ").await.unwrap();
        until(|| flusher.borrow().is_some()).await;
        assert!(attempt(stream.flush()).await.is_none());
        stream.queue(b"two ").unwrap();
        stream.write(b"three").await.unwrap();
        turns(3).await;
        let waker: Option<Waker> = flusher.borrow().clone();
        waker.unwrap().wake();
        stream.flush().await.unwrap();
        assert_eq!(*taken.borrow(), b"one two three");
        stream.abort();
    });
}

#[test]
fn a_transport_may_abort_or_write_to_its_own_stream() {
    on_loop(async {
        let alive = Rc::new(());
        let writer = Rc::new(RefCell::new(None::<iostream::WriteHalf>));
        let calls = Rc::new(Cell::new(0));
        let stream = IoStream::from_transport(Scripted {
            write: Some(Box::new({
                let (writer, calls) = (writer.clone(), calls.clone());
                move |bytes: &[u8]| {
                    calls.set(calls.get() + 1);
                    let writer = writer.borrow();
                    let writer = writer.as_ref().unwrap();
                    match calls.get() {
                        1 => writer.queue(b"more").unwrap(),
                        2 => assert_eq!(bytes, b"more"),
                        _ => writer.abort(),
                    }
                    Poll::Ready(Ok(bytes.len()))
                }
            })),
            _alive: alive.clone(),
            ..Scripted::default()
        });
        *writer.borrow_mut() = Some(stream.writer());
        stream.write(b"first").await.unwrap();
        stream.flush().await.unwrap();
        assert_eq!(calls.get(), 2);
        stream.write(b"last").await.unwrap();
        assert!(stream.flush().await.is_err());
        assert_eq!(Rc::strong_count(&alive), 1, "the transport is gone");
        *writer.borrow_mut() = None;
    });
}

/// Gives two bytes, then an error, then the end, as a socket does.
fn breaks_after_two_bytes() -> IoStream {
    let mut calls = 0;
    IoStream::from_transport(Scripted {
        read: Some(Box::new(move |buffer: &mut [u8]| {
            calls += 1;
            Poll::Ready(match calls {
                1 => {
                    buffer[..2].copy_from_slice(b"ab");
                    Ok(2)
                }
                2 => Err(io::Error::other("bad record")),
                _ => Ok(0),
            })
        })),
        write: Some(Box::new(|bytes| Poll::Ready(Ok(bytes.len())))),
        ..Scripted::default()
    })
}

#[test]
fn an_error_is_not_taken_for_an_orderly_end_when_it_has_been_told() {
    on_loop(async {
        let mut stream = breaks_after_two_bytes();
        let error = stream.read_until_close(100).await.unwrap_err();
        assert!(matches!(&error, Error::Io(error) if error.to_string() == "bad record"));
        for _ in 0..2 {
            let after = stream.read_until_close(100).await.unwrap_err();
            let expected = (CloseReason::Reset, 2);
            assert!(
                matches!(after, Error::Closed { reason, unread } if (reason, unread) == expected),
                "{after:?}"
            );
        }
        assert_eq!(stream.read_bytes(2).await.unwrap(), b"ab");
        // Whether it can still be written to is another matter.
        stream.write(b"x").await.unwrap();
        stream.flush().await.unwrap();
        stream.abort();

        let mut stream = breaks_after_two_bytes();
        assert_eq!(stream.peer_closed().await, CloseReason::Reset);
        assert_eq!(stream.read_bytes(2).await.unwrap(), b"ab");
        assert!(stream.read_until_close(100).await.is_err());
        stream.abort();
    });
}

#[test]
fn an_error_of_the_transport_is_passed_on() {
    on_loop(async {
        let stream = IoStream::from_transport(Scripted {
            write: Some(Box::new(|_| {
                Poll::Ready(Err(io::Error::other("certificate expired")))
            })),
            ..Scripted::default()
        });
        stream.write(b"x").await.unwrap();
        assert!(stream.flush().await.is_err());
        stream.abort();
    });
}
