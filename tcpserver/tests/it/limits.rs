//! How many connections at once, for how long without a byte, and what happens above.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use ioloop::sleep;
use iostream::Error;
use tcpserver::{BoxError, Connection, IoStream, TcpServer, WhenFull};

use crate::support::{
    answers, connect, deaf, echo, listen, on_loop, on_virtual_loop, spawn, timed, turns, until,
};
use test_support::reports;

async fn hello(stream: IoStream, _: Connection) -> Result<(), BoxError> {
    stream.write(b"hello").await?;
    Ok(())
}

#[test]
fn above_the_limit_nobody_is_accepted_before_somebody_has_left() {
    on_loop(async {
        let server = TcpServer::new(echo).max_connections(2);
        let address = listen(&server);
        let mut first = connect(address);
        let mut second = connect(address);
        assert!(answers(&mut first).await && answers(&mut second).await);
        let mut third = connect(address);
        third.queue(b"still there?\n").unwrap();
        turns(20).await;
        assert_eq!(server.connections(), 2);
        drop(first);
        assert_eq!(
            third.read_until(b"\n", 100).await.unwrap(),
            b"still there?\n"
        );
        assert_eq!(server.connections(), 2);
        assert!(answers(&mut second).await);
    });
}

#[test]
fn a_crowd_does_not_exceed_the_limit_for_a_moment() {
    for policy in [WhenFull::Wait, WhenFull::Close] {
        on_loop(async move {
            let server = TcpServer::new(hello).max_connections(3).when_full(policy);
            let one = listen(&server);
            let other = listen(&server);
            let watched = server.clone();
            let watch = spawn(async move {
                loop {
                    assert!(watched.connections() <= 3);
                    turns(1).await;
                }
            });
            let clients = (0..20).map(|n| {
                let mut client = connect([one, other][n % 2]);
                spawn(async move {
                    client
                        .read_until_close(10)
                        .await
                        .is_ok_and(|all| all == b"hello")
                })
            });
            let mut served = 0;
            for client in clients.collect::<Vec<_>>() {
                served += usize::from(client.await);
            }
            match policy {
                WhenFull::Wait => assert_eq!(served, 20),
                WhenFull::Close => assert!((3..20).contains(&served), "{served}"),
            }
            assert!(!watch.is_finished(), "the limit was exceeded");
            drop(watch);
        });
    }
}

#[test]
fn a_newcomer_above_the_limit_is_not_kept_waiting_if_it_is_to_be_closed() {
    on_loop(async {
        let server = TcpServer::new(echo)
            .max_connections(1)
            .when_full(WhenFull::Close);
        let address = listen(&server);
        let mut first = connect(address);
        assert!(answers(&mut first).await);
        for _ in 0..3 {
            let mut refused = connect(address);
            assert!(matches!(
                refused.read_some(1).await,
                Err(Error::Closed { .. })
            ));
            assert_eq!(server.connections(), 1);
        }
        assert!(answers(&mut first).await);
        drop(first);
        until(|| server.connections() == 0).await;
        assert!(answers(&mut connect(address)).await);
    });
}

#[test]
fn a_newcomer_in_memory_is_refused_as_one_from_the_network() {
    on_virtual_loop(async {
        let server = TcpServer::new(deaf)
            .max_connections(1)
            .when_full(WhenFull::Close);
        let _first = server.connect_in_memory();
        let mut second = server.connect_in_memory();
        assert!(matches!(
            second.read_some(1).await,
            Err(Error::Closed { .. })
        ));
        assert_eq!(server.connections(), 1);
    });
}

#[test]
fn a_connection_that_lingers_does_not_make_room() {
    on_virtual_loop(async {
        let server = TcpServer::new(hello)
            .max_connections(1)
            .when_full(WhenFull::Close);
        let mut first = server.connect_in_memory();
        assert_eq!(first.read_until_close(10).await.unwrap(), b"hello");
        // The handler has returned, and the loop waits for the peer to close too.
        assert_eq!(server.connections(), 1);
        assert!(server.connect_in_memory().read_some(1).await.is_err());
        drop(first);
        turns(5).await;
        assert_eq!(server.connections(), 0);
        assert_eq!(
            server.connect_in_memory().read_some(10).await.unwrap(),
            b"hello"
        );
    });
}

#[test]
fn a_handler_that_goes_on_without_its_stream_does_not_make_room() {
    on_virtual_loop(async {
        let server = TcpServer::new(async |stream: IoStream, _: Connection| {
            stream.abort();
            sleep(Duration::from_secs(60)).await;
            Ok(())
        });
        let _client = server.connect_in_memory();
        sleep(Duration::from_secs(59)).await;
        assert_eq!(server.connections(), 1);
        sleep(Duration::from_secs(2)).await;
        assert_eq!(server.connections(), 0);
    });
}

#[test]
fn a_connection_that_somebody_may_still_write_to_does_not_make_room() {
    on_virtual_loop(async {
        let room = Rc::new(RefCell::new(Vec::new()));
        let members = room.clone();
        let server = TcpServer::new(async move |stream: IoStream, _: Connection| {
            members.borrow_mut().push(stream.writer());
            Ok(())
        });
        let mut client = server.connect_in_memory();
        sleep(Duration::from_secs(60)).await;
        assert_eq!(server.connections(), 1);
        room.borrow()[0].queue(b"hello").unwrap();
        assert_eq!(client.read_bytes(5).await.unwrap(), b"hello");
        drop(client);
        room.borrow_mut().clear();
        turns(5).await;
        assert_eq!(server.connections(), 0);
    });
}

#[test]
fn a_listener_that_is_added_to_a_full_server_does_not_exceed_the_limit() {
    on_loop(async {
        let server = TcpServer::new(echo).max_connections(1);
        let mut first = connect(listen(&server));
        assert!(answers(&mut first).await);
        let mut second = connect(listen(&server));
        second.queue(b"still there?\n").unwrap();
        turns(20).await;
        assert_eq!(server.connections(), 1);
        drop(first);
        assert_eq!(
            second.read_until(b"\n", 100).await.unwrap(),
            b"still there?\n"
        );
    });
}

#[test]
fn a_server_for_nobody_accepts_nobody() {
    on_loop(async {
        let server = TcpServer::new(echo).max_connections(0);
        let address = listen(&server);
        let mut client = connect(address);
        client.queue(b"still there?\n").unwrap();
        turns(20).await;
        assert_eq!(server.connections(), 0);
        // The limit is a setting of the server, not of the moment it was built.
        let server = server.max_connections(1);
        assert_eq!(
            client.read_until(b"\n", 100).await.unwrap(),
            b"still there?\n"
        );
        assert_eq!(server.connections(), 1);
    });
}

#[test]
fn a_change_of_policy_reaches_those_who_wait() {
    on_loop(async {
        let server = TcpServer::new(echo).max_connections(1);
        let address = listen(&server);
        let mut first = connect(address);
        assert!(answers(&mut first).await);
        let mut second = connect(address);
        turns(10).await;
        let server = server.when_full(WhenFull::Close);
        assert!(second.read_some(1).await.is_err());
        assert_eq!(server.connections(), 1);
    });
}

#[test]
fn an_idle_connection_is_not_kept_for_ever() {
    on_virtual_loop(async {
        let server = TcpServer::new(echo).idle_timeout(Duration::from_secs(60));
        let mut client = server.connect_in_memory();
        for _ in 0..3 {
            sleep(Duration::from_secs(59)).await;
            assert!(answers(&mut client).await, "it was not idle for so long");
        }
        let (waited, end) = timed(client.read_some(1)).await;
        assert!(matches!(end, Err(Error::Closed { .. })));
        assert_eq!(waited, Duration::from_secs(60));
        drop(client);
        turns(5).await;
        assert_eq!(server.connections(), 0);
        let reports = reports();
        assert!(reports.len() <= 1, "{reports:#?}");
    });
}

#[test]
fn a_peer_that_does_not_read_is_idle_too() {
    on_virtual_loop(async {
        let server = TcpServer::new(async |stream: IoStream, _: Connection| {
            loop {
                stream.write(&[0; 64 * 1024]).await?;
            }
        })
        .idle_timeout(Duration::from_secs(60));
        let client = server.connect_in_memory();
        // 60 s until the handler is told, and 60 s that the loop itself waits for progress.
        sleep(Duration::from_secs(121)).await;
        assert_eq!(server.connections(), 0);
        drop((client, reports()));
    });
}

#[test]
fn a_connection_without_an_idle_timeout_is_not_ended() {
    on_virtual_loop(async {
        let server = TcpServer::new(echo);
        let mut client = server.connect_in_memory();
        sleep(Duration::from_secs(7 * 24 * 3600)).await;
        assert!(answers(&mut client).await);
        assert_eq!(server.connections(), 1);
    });
}
