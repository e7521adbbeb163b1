//! The future that waits for the draining: given up, moved, and finished in any order.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use futures_lite::future::{poll_once, zip};
use tcpserver::{Connection, Drained, IoStream, TcpServer};

use crate::support::{counter, flag, increment, on_virtual_loop, spawn, turns};

const GRACE: Duration = Duration::from_secs(60);

/// Tasks are woken by the loop, whoever polls with another waker is in a list.
#[derive(Clone, Copy)]
enum Place {
    HandlersTask,
    AnotherTask,
    /// As in a collection of futures.
    AnotherWaker,
}

const PLACES: [Place; 3] = [Place::HandlersTask, Place::AnotherTask, Place::AnotherWaker];

async fn run(place: Place, waits: impl Future<Output = ()> + 'static) {
    match place {
        Place::HandlersTask => waits.await,
        Place::AnotherTask => spawn(waits).await,
        Place::AnotherWaker => {
            let mut waits = pin!(waits);
            poll_fn(|context| {
                let waker = Waker::from(Arc::new(PassOn(context.waker().clone())));
                waits.as_mut().poll(&mut Context::from_waker(&waker))
            })
            .await;
        }
    }
}

struct PassOn(Waker);

impl Wake for PassOn {
    fn wake(self: Arc<Self>) {
        self.0.wake_by_ref();
    }
}

async fn give_up_some(connection: Connection) {
    // Places in the list of those who wait are given back and used again.
    for _ in 0..3 {
        let polled = poll_once(connection.draining()).await;
        assert_eq!(polled, None);
    }
    let (mut first, mut second) = (connection.draining(), connection.draining());
    assert!(poll_once(&mut first).await.is_none());
    assert!(poll_once(&mut second).await.is_none());
    drop(first);
    let third = connection.draining();
    zip(second, third).await;
}

#[test]
fn a_wait_that_was_given_up_leaves_the_others_waiting() {
    for place in PLACES {
        on_virtual_loop(async move {
            let (count, told) = counter();
            let server = TcpServer::new(async move |_stream: IoStream, connection: Connection| {
                run(place, give_up_some(connection)).await;
                increment(&told);
                Ok(())
            });
            let _clients: Vec<_> = (0..4).map(|_| server.connect_in_memory()).collect();
            turns(3).await;
            server.shutdown(GRACE).await;
            assert_eq!(count.get(), 4);
        });
    }
}

async fn end_in_any_order(connection: Connection) {
    let mut before: Vec<_> = (0..3).map(|_| connection.draining()).collect();
    for wait in &mut before {
        assert!(poll_once(wait).await.is_none());
    }
    connection.draining().await;
    // Dropped without being polled again, polled again, and made anew.
    drop(before.remove(1));
    for wait in &mut before {
        wait.await;
    }
    let after = connection.draining();
    drop(before);
    after.await;
    drop(connection.draining());
}

#[test]
fn a_wait_from_before_the_draining_may_end_in_any_order_after_it() {
    for place in PLACES {
        on_virtual_loop(async move {
            let (ended, has_ended) = flag();
            let server = TcpServer::new(async move |_stream: IoStream, connection: Connection| {
                run(place, end_in_any_order(connection)).await;
                has_ended.set(true);
                Ok(())
            });
            let _client = server.connect_in_memory();
            turns(3).await;
            assert_eq!(
                server.shutdown(GRACE).await,
                Drained {
                    finished: 1,
                    cut: 0
                }
            );
            assert!(ended.get());
        });
    }
}

#[test]
fn a_wait_in_another_task_does_not_end_with_the_handler() {
    on_virtual_loop(async {
        let (told, is_told) = flag();
        let server = TcpServer::new(async move |_stream: IoStream, connection: Connection| {
            let is_told = is_told.clone();
            spawn(async move {
                connection.draining().await;
                is_told.set(true);
            })
            .detach();
            Ok(())
        });
        let _client = server.connect_in_memory();
        turns(3).await;
        server.shutdown(GRACE).await;
        turns(3).await;
        assert!(told.get());
    });
}

#[test]
fn a_wait_that_moves_to_another_task_is_not_forgotten() {
    on_virtual_loop(async {
        let server = TcpServer::new(async |_stream: IoStream, connection: Connection| {
            let mut waiting = Box::pin(async move { connection.draining().await });
            // Another waker first.
            let mut context = Context::from_waker(Waker::noop());
            assert_eq!(waiting.as_mut().poll(&mut context), Poll::Pending);
            spawn(waiting).await;
            Ok(())
        });
        let _client = server.connect_in_memory();
        turns(3).await;
        assert_eq!(
            server.shutdown(GRACE).await,
            Drained {
                finished: 1,
                cut: 0
            }
        );
    });
}
