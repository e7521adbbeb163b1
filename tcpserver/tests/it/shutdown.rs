//! `shutdown`: for whom it waits, how long, and what it counts.

use std::time::Duration;

use futures_lite::future::{poll_once, zip};
use ioloop::{sleep, timeout};
use tcpserver::{Connection, Drained, IoStream, TcpServer};

use crate::support::{
    answers, connect, deaf, echo, listen, on_loop, on_virtual_loop, timed, turns, until,
};

const GRACE: Duration = Duration::from_secs(60);

#[test]
fn a_server_without_connections_does_not_wait() {
    on_virtual_loop(async {
        let server = TcpServer::new(deaf);
        assert_eq!(
            timed(server.shutdown(GRACE)).await,
            (Duration::ZERO, Drained::default())
        );
        // Nor the second time.
        assert_eq!(
            timed(server.shutdown(GRACE)).await,
            (Duration::ZERO, Drained::default())
        );
    });
}

#[test]
fn an_answer_that_is_on_its_way_is_not_cut_within_the_grace() {
    on_loop(async {
        const SIZE: usize = 8 * 1024 * 1024;
        let server = TcpServer::new(async |stream: IoStream, _: Connection| {
            stream.write(&vec![7; SIZE]).await?;
            Ok(())
        });
        let mut client = connect(listen(&server));
        until(|| server.connections() == 1).await;
        turns(5).await;
        let slow_reading = async {
            let mut received = 0;
            while let Ok(bytes) = client.read_some(256 * 1024).await {
                received += bytes.len();
                turns(1).await;
            }
            drop(client);
            received
        };
        let (drained, received) = zip(server.shutdown(GRACE), slow_reading).await;
        assert_eq!(received, SIZE);
        assert_eq!(
            drained,
            Drained {
                finished: 1,
                cut: 0
            }
        );
    });
}

#[test]
fn a_shutdown_that_is_given_up_cuts_nobody() {
    on_virtual_loop(async {
        let server = TcpServer::new(echo);
        let mut client = server.connect_in_memory();
        assert!(answers(&mut client).await);
        assert!(
            timeout(Duration::from_secs(1), server.shutdown(GRACE))
                .await
                .is_err()
        );
        sleep(2 * GRACE).await;
        assert!(answers(&mut client).await);
        assert_eq!(server.connections(), 1);
        // And it may be begun again.
        assert_eq!(
            server.shutdown(GRACE).await,
            Drained {
                finished: 0,
                cut: 1
            }
        );
    });
}

#[test]
fn two_who_wait_for_the_same_end_are_both_told() {
    on_virtual_loop(async {
        let server = TcpServer::new(async |_stream: IoStream, _: Connection| {
            sleep(Duration::from_secs(10)).await;
            Ok(())
        });
        let _client = server.connect_in_memory();
        let both = zip(server.shutdown(GRACE), server.shutdown(2 * GRACE));
        let (time, (one, other)) = timed(both).await;
        assert_eq!(
            one,
            Drained {
                finished: 1,
                cut: 0
            }
        );
        assert_eq!(other, one);
        assert!(time <= Duration::from_millis(10_250), "{time:?}");
    });
}

#[test]
fn a_shutdown_that_is_asked_often_does_not_remember_each_time() {
    on_virtual_loop(async {
        let server = TcpServer::new(deaf);
        let _client = server.connect_in_memory();
        let mut shutdown = Box::pin(server.shutdown(GRACE));
        let (waker, clones) = crate::support::counting_waker();
        let mut context = std::task::Context::from_waker(&waker);
        for _ in 0..1000 {
            assert!(shutdown.as_mut().poll(&mut context).is_pending());
        }
        assert!(clones() < 10, "{} clones of one waker", clones());
        assert!(poll_once(&mut shutdown).await.is_none());
        assert_eq!(shutdown.await.cut, 1);
    });
}

#[test]
fn a_stream_that_lingers_already_does_not_use_up_the_grace() {
    on_virtual_loop(async {
        let server = TcpServer::new(async |stream: IoStream, _: Connection| {
            stream.write(b"bye").await?;
            Ok(())
        });
        let mut client = server.connect_in_memory();
        assert_eq!(client.read_until_close(10).await.unwrap(), b"bye");
        sleep(Duration::from_secs(1)).await;
        assert_eq!(server.connections(), 1);
        // Its peer has everything and does not close; 5 s was its time when it began.
        let (time, drained) = timed(server.shutdown(GRACE)).await;
        assert_eq!(
            drained,
            Drained {
                finished: 1,
                cut: 0
            }
        );
        assert!(time <= Duration::from_millis(250), "{time:?}");
        drop(client);
    });
}

#[test]
fn a_server_whose_loop_was_closed_has_no_connections_left() {
    let server = on_virtual_loop(async {
        let server = TcpServer::new(deaf);
        let _polled = server.connect_in_memory();
        turns(3).await;
        let _never_polled = server.connect_in_memory();
        assert_eq!(server.connections(), 2);
        server
    });
    assert_eq!(server.connections(), 0);
}

#[test]
fn a_full_server_does_not_complain_when_its_loop_is_closed() {
    on_loop(async {
        let server = TcpServer::new(echo).max_connections(1);
        let address = listen(&server);
        let mut client = connect(address);
        assert!(answers(&mut client).await);
        // The loop ends its handler, and there would be room for this one.
        let _waiting = std::net::TcpStream::connect(address).unwrap();
    });
}
