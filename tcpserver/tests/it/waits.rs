//! The future that waits for the draining: given up, moved, and finished in any order.

use std::task::{Poll, Waker};
use std::time::Duration;

use futures_lite::future::{poll_once, zip};
use tcpserver::{Connection, Drained, IoStream, TcpServer};

use crate::support::{counter, flag, increment, on_virtual_loop, spawn, turns};

const GRACE: Duration = Duration::from_secs(60);

/// A handler's own task is woken by the server, others are in a list.
const IN_ITS_OWN_TASK: [bool; 2] = [true, false];

async fn run(in_its_own_task: bool, waits: impl Future<Output = ()> + 'static) {
    if in_its_own_task {
        waits.await;
    } else {
        spawn(waits).await;
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
    for in_its_own_task in IN_ITS_OWN_TASK {
        on_virtual_loop(async move {
            let (count, told) = counter();
            let server = TcpServer::new(async move |_stream: IoStream, connection: Connection| {
                run(in_its_own_task, give_up_some(connection)).await;
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
    for in_its_own_task in IN_ITS_OWN_TASK {
        on_virtual_loop(async move {
            let (ended, has_ended) = flag();
            let server = TcpServer::new(async move |_stream: IoStream, connection: Connection| {
                run(in_its_own_task, end_in_any_order(connection)).await;
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
            let mut context = std::task::Context::from_waker(Waker::noop());
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
