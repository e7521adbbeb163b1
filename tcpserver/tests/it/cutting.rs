//! Who is cut at the end of a shutdown's grace period, and that nobody else is.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use futures_lite::future::zip;
use iostream::{Error, WriteHalf};
use tcpserver::{Connection, Drained, IoStream, TcpServer};

use crate::support::{OnDrop, deaf, flag, on_virtual_loop, polite, spawn, timed, turns};

const GRACE: Duration = Duration::from_secs(60);

#[test]
fn those_who_do_not_end_are_cut_and_counted_apart() {
    on_virtual_loop(async {
        let (dropped, is_dropped) = flag();
        let guard = Rc::new(RefCell::new(Some(OnDrop(is_dropped))));
        let server = TcpServer::new(async move |mut stream: IoStream, connection: Connection| {
            let first = stream.read_some(1).await?;
            if first == b"p" {
                return polite(stream, connection).await;
            }
            let _guard = guard.borrow_mut().take();
            deaf(stream, connection).await
        });
        let mut polite = server.connect_in_memory();
        let mut stubborn = server.connect_in_memory();
        polite.write(b"p").await.unwrap();
        stubborn.write(b"s").await.unwrap();
        turns(5).await;
        let (time, drained) = timed(server.shutdown(GRACE)).await;
        assert_eq!(
            (time, drained),
            (
                GRACE,
                Drained {
                    finished: 1,
                    cut: 1
                }
            )
        );
        turns(1).await;
        assert_eq!(server.connections(), 0);
        assert!(dropped.get(), "the handler was not cancelled");
        assert!(matches!(
            polite.read_some(1).await,
            Err(Error::Closed { .. })
        ));
        assert!(matches!(
            stubborn.read_some(1).await,
            Err(Error::Closed { .. })
        ));
    });
}

#[test]
fn without_grace_everybody_is_cut_at_once() {
    on_virtual_loop(async {
        let server = TcpServer::new(deaf);
        let _clients = [server.connect_in_memory(), server.connect_in_memory()];
        let (time, drained) = timed(server.shutdown(Duration::ZERO)).await;
        assert_eq!(
            (time, drained),
            (
                Duration::ZERO,
                Drained {
                    finished: 0,
                    cut: 2
                }
            )
        );
    });
}

#[test]
fn an_answer_that_nobody_takes_does_not_outlast_the_grace() {
    on_virtual_loop(async {
        let server = TcpServer::new(async |stream: IoStream, _: Connection| {
            stream.write(&vec![7; 8 * 1024 * 1024]).await?;
            Ok(())
        });
        let mut client = server.connect_in_memory();
        turns(5).await;
        let grace = Duration::from_secs(10);
        let (time, drained) = timed(server.shutdown(grace)).await;
        assert_eq!(
            (time, drained),
            (
                grace,
                Drained {
                    finished: 0,
                    cut: 1
                }
            )
        );
        assert!(client.read_bytes(8 * 1024 * 1024).await.is_err());
    });
}

#[test]
fn one_who_waits_longer_is_told_when_another_cuts() {
    on_virtual_loop(async {
        let server = TcpServer::new(deaf);
        let _client = server.connect_in_memory();
        let both = zip(server.shutdown(GRACE), server.shutdown(10 * GRACE));
        let (time, (one, other)) = timed(both).await;
        assert_eq!(
            one,
            Drained {
                finished: 0,
                cut: 1
            }
        );
        assert_eq!(other, Drained::default());
        assert_eq!(time, GRACE, "there was nobody left to wait for");
    });
}

#[test]
fn a_stream_that_another_task_owns_is_waited_for_and_cut() {
    on_virtual_loop(async {
        let (ended, has_ended) = flag();
        let server = TcpServer::new(async move |mut stream: IoStream, _: Connection| {
            let has_ended = has_ended.clone();
            spawn(async move {
                let end = stream.read_some(1).await;
                assert!(matches!(end, Err(Error::Closed { .. })), "{end:?}");
                has_ended.set(true);
            })
            .detach();
            Ok(())
        });
        let _client = server.connect_in_memory();
        turns(5).await;
        assert_eq!(server.connections(), 1);
        let (time, drained) = timed(server.shutdown(GRACE)).await;
        assert_eq!(
            (time, drained),
            (
                GRACE,
                Drained {
                    finished: 0,
                    cut: 1
                }
            )
        );
        turns(2).await;
        assert!(ended.get(), "the task waits for ever");
    });
}

#[test]
fn a_connection_that_was_cut_is_not_taken_for_its_successor() {
    on_virtual_loop(async {
        let kept = Rc::new(RefCell::new(Vec::<WriteHalf>::new()));
        let keep = kept.clone();
        let server = TcpServer::new(async move |stream: IoStream, connection: Connection| {
            keep.borrow_mut().push(stream.writer());
            deaf(stream, connection).await
        });
        let _old = [server.connect_in_memory(), server.connect_in_memory()];
        turns(3).await;
        assert_eq!(
            server.shutdown(Duration::ZERO).await,
            Drained {
                finished: 0,
                cut: 2
            }
        );
        // Others take their places before their handlers are dropped, and before their streams are.
        let new = [server.connect_in_memory(), server.connect_in_memory()];
        turns(3).await;
        kept.borrow_mut().truncate(2);
        kept.borrow_mut().remove(0).abort();
        kept.borrow_mut().clear();
        turns(3).await;
        assert_eq!(server.connections(), 2);
        assert_eq!(
            server.shutdown(GRACE).await,
            Drained {
                finished: 0,
                cut: 2
            }
        );
        drop(new);
    });
}

#[test]
fn a_handler_that_shuts_its_server_down_is_not_waited_for_longer_than_the_grace() {
    on_virtual_loop(async {
        type Slot = Rc<RefCell<Option<Box<dyn AsyncShutdown>>>>;
        let slot = Slot::default();
        let inner = slot.clone();
        let server = TcpServer::new(async move |_stream: IoStream, _: Connection| {
            let server = inner.borrow_mut().take();
            if let Some(server) = server {
                server.shut_down().await;
            }
            Ok(())
        });
        *slot.borrow_mut() = Some(Box::new(server.clone()));
        let mut client = server.connect_in_memory();
        let (time, end) = timed(client.read_some(1)).await;
        assert!(end.is_err());
        assert_eq!(time, GRACE);
        assert_eq!(server.connections(), 0);
    });
}

trait AsyncShutdown {
    fn shut_down(&self) -> std::pin::Pin<Box<dyn Future<Output = Drained> + '_>>;
}

impl<H: tcpserver::StreamHandler> AsyncShutdown for TcpServer<H> {
    fn shut_down(&self) -> std::pin::Pin<Box<dyn Future<Output = Drained> + '_>> {
        Box::pin(self.shutdown(GRACE))
    }
}
