//! How a connection ends, whom that concerns, and what the log says of it.

use std::time::Duration;

use iostream::Error;
use tcpserver::{BoxError, Connection, IoStream, TcpServer};

use crate::support::{answers, connect, echo, listen, on_loop, on_virtual_loop, turns, until};
use test_support::{remarks, reports};

#[test]
fn a_handler_that_panics_does_not_end_another_connection() {
    on_loop(async {
        let server = TcpServer::new(async |mut stream: IoStream, connection: Connection| {
            if stream.read_some(1).await? == b"!" {
                panic!("on purpose");
            }
            echo(stream, connection).await
        });
        let address = listen(&server);
        let mut good = connect(address);
        good.write(b".").await.unwrap();
        assert!(answers(&mut good).await);
        let mut bad = connect(address);
        bad.write(b"!").await.unwrap();
        assert!(bad.read_some(1).await.is_err());
        drop(bad);
        until(|| server.connections() == 1).await;
        assert!(answers(&mut good).await);
        let mut next = connect(address);
        next.write(b".").await.unwrap();
        assert!(answers(&mut next).await);
        let reports = reports();
        assert_eq!(reports.len(), 1, "{reports:#?}");
        assert!(reports[0].contains("on purpose"), "{reports:#?}");
    });
}

#[test]
fn a_handler_that_panics_before_it_waits_does_not_leave_its_connection_behind() {
    on_virtual_loop(async {
        struct Sudden;
        impl tcpserver::StreamHandler for Sudden {
            fn handle_stream(
                &self,
                _: IoStream,
                _: Connection,
            ) -> impl Future<Output = Result<(), BoxError>> {
                panic!("on purpose");
                #[expect(unreachable_code)]
                async {
                    Ok(())
                }
            }
        }
        let server = TcpServer::new(Sudden);
        let mut client = server.connect_in_memory();
        assert!(client.read_some(1).await.is_err());
        drop(client);
        turns(5).await;
        assert_eq!(server.connections(), 0);
        assert_eq!(reports().len(), 1);
    });
}

#[test]
fn what_was_written_before_a_panic_is_not_lost() {
    on_virtual_loop(async {
        let server = TcpServer::new(async |stream: IoStream, _: Connection| {
            stream.queue(b"last words").unwrap();
            panic!("on purpose");
        });
        let mut client = server.connect_in_memory();
        assert_eq!(client.read_until_close(100).await.unwrap(), b"last words");
        assert_eq!(reports().len(), 1);
    });
}

#[test]
fn a_handler_that_fails_is_not_logged_twice_or_without_its_peer() {
    on_loop(async {
        let server = TcpServer::new(async |_stream: IoStream, _: Connection| {
            Err::<(), BoxError>("the disk is full".into())
        });
        let mut client = connect(listen(&server));
        let peer = client.local_address().unwrap();
        assert!(client.read_some(1).await.is_err());
        drop(client);
        until(|| server.connections() == 0).await;
        let reports = reports();
        assert_eq!(reports.len(), 1, "{reports:#?}");
        assert!(
            reports[0].contains("error=the disk is full"),
            "{reports:#?}"
        );
        assert!(reports[0].contains(&format!("peer={peer}")), "{reports:#?}");
    });
}

#[test]
fn a_peer_that_leaves_is_not_worth_a_warning() {
    on_loop(async {
        let server = TcpServer::new(echo);
        let address = listen(&server);
        drop(remarks());

        let mut polite = connect(address);
        assert!(answers(&mut polite).await);
        let peer = polite.local_address().unwrap();
        drop(polite);
        until(|| server.connections() == 0).await;
        let said = remarks();
        assert_eq!(said.len(), 1, "{said:#?}");
        assert!(said[0].contains(&format!("peer={peer}")), "{said:#?}");

        let mut rude = connect(address);
        assert!(answers(&mut rude).await);
        rude.abort();
        until(|| server.connections() == 0).await;
        assert_eq!(remarks().len(), 1);
        assert!(reports().is_empty());
    });
}

#[test]
fn a_peer_that_leaves_in_the_middle_of_a_message_is_worth_one() {
    on_virtual_loop(async {
        let server = TcpServer::new(echo);
        let client = server.connect_in_memory();
        client.write(b"half a li").await.unwrap();
        drop(client);
        turns(10).await;
        assert_eq!(server.connections(), 0);
        let reports = reports();
        assert_eq!(reports.len(), 1, "{reports:#?}");
        assert!(
            reports[0].contains("in the middle of a message"),
            "{reports:#?}"
        );
    });
}

#[test]
fn a_peer_that_leaves_is_not_worth_a_warning_through_the_errors_of_std_either() {
    on_virtual_loop(async {
        async fn protocol(stream: &mut IoStream) -> std::io::Result<()> {
            loop {
                let line = stream.read_until(b"\n", 100).await?;
                stream.write(&line).await?;
            }
        }
        let server = TcpServer::new(async |mut stream: IoStream, _: Connection| {
            protocol(&mut stream).await?;
            Ok(())
        });
        let mut client = server.connect_in_memory();
        assert!(answers(&mut client).await);
        drop(client);
        turns(10).await;
        assert_eq!(server.connections(), 0);
        assert!(reports().is_empty());

        let client = server.connect_in_memory();
        client.write(b"half a li").await.unwrap();
        drop(client);
        turns(10).await;
        assert_eq!(reports().len(), 1);
    });
}

#[test]
fn a_handler_that_returns_does_not_close_before_its_answer_has_left() {
    on_loop(async {
        const SIZE: usize = 8 * 1024 * 1024;
        let server = TcpServer::new(async |stream: IoStream, _: Connection| {
            stream.write(&vec![7; SIZE]).await?;
            Ok(())
        });
        let mut client = connect(listen(&server));
        // Input that nobody reads must not turn the end into a reset.
        client.write(b"unread").await.unwrap();
        let answer = client.read_until_close(SIZE).await.unwrap();
        assert_eq!(answer.len(), SIZE);
        assert_eq!(server.connections(), 1);
        drop(client);
        until(|| server.connections() == 0).await;
    });
}

#[test]
fn a_peer_that_does_not_close_is_not_waited_for_for_ever() {
    on_virtual_loop(async {
        let server = TcpServer::new(async |stream: IoStream, _: Connection| {
            stream.write(b"bye").await?;
            Ok(())
        });
        let mut client = server.connect_in_memory();
        assert_eq!(client.read_until_close(10).await.unwrap(), b"bye");
        ioloop::sleep(Duration::from_millis(4900)).await;
        assert_eq!(server.connections(), 1);
        ioloop::sleep(Duration::from_millis(200)).await;
        assert_eq!(server.connections(), 0);
        assert!(matches!(
            client.write(b"?").await,
            Ok(()) | Err(Error::Closed { .. })
        ));
        client.abort();
    });
}
