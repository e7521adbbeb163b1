//! How handlers are told that their server stops, and what they still have to do then.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use futures_lite::future::{or, zip};
use ioloop::sleep;
use tcpserver::{BoxError, Connection, Drained, IoStream, TcpServer};

use crate::support::{flag, on_loop, on_virtual_loop, polite, timed, turns, until};

const GRACE: Duration = Duration::from_secs(60);

async fn until_drained(_stream: IoStream, connection: Connection) -> Result<(), BoxError> {
    connection.draining().await;
    assert!(connection.is_draining());
    Ok(())
}

#[test]
fn nobody_is_told_before_it_is_so() {
    on_virtual_loop(async {
        let (drained, is_drained) = flag();
        let server = TcpServer::new(async move |_stream: IoStream, connection: Connection| {
            assert!(!connection.is_draining());
            connection.draining().await;
            is_drained.set(true);
            Ok(())
        });
        let _client = server.connect_in_memory();
        sleep(Duration::from_secs(3600)).await;
        server.stop();
        sleep(Duration::from_secs(3600)).await;
        assert!(!drained.get(), "stop is not shutdown");
        server.shutdown(GRACE).await;
        assert!(drained.get());
    });
}

#[test]
fn a_handler_that_waits_for_the_draining_does_not_use_up_the_grace() {
    on_virtual_loop(async {
        let server = TcpServer::new(until_drained);
        let clients: Vec<_> = (0..5).map(|_| server.connect_in_memory()).collect();
        turns(3).await;
        // They hear of it, close their side, and do not wait five seconds for their peers.
        let (time, drained) = timed(server.shutdown(GRACE)).await;
        assert_eq!(
            drained,
            Drained {
                finished: 5,
                cut: 0
            }
        );
        assert!(time <= Duration::from_millis(250), "{time:?}");
        drop(clients);
    });
}

#[test]
fn a_handler_that_was_never_polled_is_told_too() {
    on_virtual_loop(async {
        let server = TcpServer::new(until_drained);
        let _client = server.connect_in_memory();
        let (time, drained) = timed(server.shutdown(GRACE)).await;
        assert_eq!(
            drained,
            Drained {
                finished: 1,
                cut: 0
            }
        );
        assert!(time <= Duration::from_millis(250), "{time:?}");
    });
}

#[test]
fn a_message_that_is_handled_is_not_interrupted() {
    on_virtual_loop(async {
        let server = TcpServer::new(async |mut stream: IoStream, connection: Connection| {
            let read = stream.read_until(b"\n", 100);
            let line = connection
                .unless_draining(read)
                .await
                .expect("it has arrived")?;
            sleep(Duration::from_secs(10)).await;
            stream.write(&line).await?;
            assert!(
                connection
                    .unless_draining(stream.read_until(b"\n", 100))
                    .await
                    .is_none()
            );
            Ok(())
        });
        let mut client = server.connect_in_memory();
        client.write(b"slow\n").await.unwrap();
        turns(5).await;
        let (drained, answer) = zip(server.shutdown(GRACE), client.read_until_close(10)).await;
        assert_eq!(answer.unwrap(), b"slow\n");
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
fn messages_that_have_arrived_are_not_left_unanswered() {
    on_virtual_loop(async {
        let server = TcpServer::new(polite);
        let mut client = server.connect_in_memory();
        // More than a stream hands out in one turn.
        for _ in 0..1000 {
            client.queue(b"hello\n").unwrap();
        }
        client.flush().await.unwrap();
        let shutdown = server.shutdown(GRACE);
        let (_, answers) = zip(shutdown, client.read_until_close(10_000)).await;
        assert_eq!(answers.unwrap().len(), 6000);
    });
}

#[test]
fn a_message_in_the_kernel_is_not_left_unanswered() {
    let path = std::env::temp_dir().join(format!("tcpserver-arrived-{}", std::process::id()));
    on_loop(async move {
        let server = TcpServer::new(polite);
        let listener = tcpserver::bind_unix_socket(&path, 0o600).unwrap();
        server.add_sockets(vec![listener]).unwrap();
        let mut writer = UnixStream::connect(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let reader = writer.try_clone().unwrap();
        until(|| server.connections() == 1).await;
        turns(5).await;
        // The handler waits for a message, and the loop has not looked since.
        writer.write_all(b"hello\n").unwrap();
        let mut client = IoStream::from_fd(reader).unwrap();
        let answer = async {
            let answer = client.read_until_close(10).await;
            drop((client, writer));
            answer
        };
        let (drained, answer) = zip(server.shutdown(GRACE), answer).await;
        assert_eq!(answer.unwrap(), b"hello\n");
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
fn a_message_that_is_not_complete_does_not_hold_the_server() {
    on_virtual_loop(async {
        let server = TcpServer::new(polite);
        let mut client = server.connect_in_memory();
        client.write(b"whole\nhalf").await.unwrap();
        let (time, drained) = timed(server.shutdown(GRACE)).await;
        assert_eq!(
            drained,
            Drained {
                finished: 1,
                cut: 0
            }
        );
        assert!(time <= Duration::from_millis(250), "{time:?}");
        assert_eq!(client.read_until_close(10).await.unwrap(), b"whole\n");
    });
}

#[test]
fn whoever_comes_while_the_server_drains_is_told_at_once() {
    on_virtual_loop(async {
        let server = TcpServer::new(until_drained);
        assert_eq!(server.shutdown(GRACE).await, Drained::default());
        let mut late = server.connect_in_memory();
        assert!(late.read_some(1).await.is_err());
        drop(late);
        turns(5).await;
        assert_eq!(server.connections(), 0);
    });
}

#[test]
fn a_handler_may_do_something_else_while_it_waits() {
    on_virtual_loop(async {
        let server = TcpServer::new(async |stream: IoStream, connection: Connection| {
            let ticking = async {
                loop {
                    stream.write(b".").await?;
                    sleep(Duration::from_secs(1)).await;
                }
            };
            let stopping = async {
                connection.draining().await;
                stream.write(b"!").await?;
                Ok(())
            };
            or(ticking, stopping).await
        });
        let mut client = server.connect_in_memory();
        sleep(Duration::from_millis(2500)).await;
        let (_, said) = zip(server.shutdown(GRACE), client.read_until_close(10)).await;
        assert_eq!(said.unwrap(), b"...!");
    });
}
