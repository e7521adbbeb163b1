//! `Connection`: what a handler knows of its peer, and for how long.

use std::cell::RefCell;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;

use tcpserver::{Address, BoxError, Connection, IoStream, StreamHandler, TcpServer};

use crate::support::{connect, echo, listen, on_loop, on_virtual_loop, polite, turns, until};

type Kept = Rc<RefCell<Vec<Connection>>>;

/// A server that answers, and the connections that its handlers have left behind.
fn keeping() -> (TcpServer<impl StreamHandler>, Kept) {
    let kept = Kept::default();
    let keep = kept.clone();
    let server = TcpServer::new(async move |stream: IoStream, connection: Connection| {
        keep.borrow_mut().push(connection.clone());
        echo(stream, connection).await
    });
    (server, kept)
}

#[test]
fn addresses_are_not_those_of_another_connection() {
    on_loop(async {
        let (server, kept) = keeping();
        // On all interfaces: where the listener is says nothing of where the peer has come in.
        let port = server.listen("0.0.0.0:0").unwrap()[0].ip().unwrap().port();
        let clients = [
            connect((Ipv4Addr::LOCALHOST, port).into()),
            connect((Ipv4Addr::LOCALHOST, port).into()),
        ];
        until(|| kept.borrow().len() == 2).await;
        let kept = kept.borrow();
        for client in &clients {
            let peer = client.local_address().unwrap();
            let connection = kept.iter().find(|one| *one.peer_address() == peer).unwrap();
            assert_eq!(
                connection.local_address().unwrap(),
                client.peer_address().unwrap()
            );
            assert_eq!(format!("{connection:?}"), format!("Connection({peer:?})"));
        }
    });
}

#[test]
fn a_connection_that_is_kept_does_not_forget_its_peer() {
    on_loop(async {
        let (server, kept) = keeping();
        let address = listen(&server);
        let client = connect(address);
        let peer = client.local_address().unwrap();
        until(|| kept.borrow().len() == 1).await;
        let connection = kept.borrow_mut().remove(0);
        assert_eq!(connection.local_address().unwrap().ip(), Some(address));
        drop(client);
        until(|| server.connections() == 0).await;
        assert_eq!(*connection.peer_address(), peer);
        let error = connection.local_address().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotConnected);
        assert!(!connection.is_draining());
    });
}

#[test]
fn a_connection_that_is_kept_does_not_count() {
    on_virtual_loop(async {
        let (server, kept) = keeping();
        for _ in 0..3 {
            drop(server.connect_in_memory());
        }
        turns(10).await;
        assert_eq!(kept.borrow().len(), 3);
        assert_eq!(server.connections(), 0);
        server.shutdown(std::time::Duration::MAX).await;
        assert!(kept.borrow().iter().all(Connection::is_draining));
    });
}

#[test]
fn a_connection_that_is_kept_does_not_speak_for_its_successor() {
    on_loop(async {
        let (server, kept) = keeping();
        let [one, other]: [SocketAddr; 2] = [listen(&server), listen(&server)];
        let first = connect(one);
        until(|| kept.borrow().len() == 1).await;
        drop(first);
        until(|| server.connections() == 0).await;
        let _second = connect(other);
        until(|| kept.borrow().len() == 2).await;
        // It is asked for the first time, when it is too late.
        let gone = kept.borrow_mut().remove(0);
        assert!(gone.local_address().is_err());
    });
}

#[test]
fn a_handler_needs_no_server() {
    on_virtual_loop(async {
        let (mut client, stream) = IoStream::pair();
        let connection = Connection::in_memory();
        assert_eq!(*connection.peer_address(), Address::Memory);
        assert!(connection.local_address().is_err(), "it knows of no stream");
        assert!(!connection.is_draining());
        let handling = polite.handle_stream(stream, connection);
        let talking = async {
            client.write(b"hello\n").await.unwrap();
            assert_eq!(client.read_until(b"\n", 10).await.unwrap(), b"hello\n");
            drop(client);
        };
        let (result, ()): (Result<(), BoxError>, ()) =
            futures_lite::future::zip(handling, talking).await;
        assert_eq!(
            result.unwrap_err().to_string(),
            "the peer has closed the stream"
        );
    });
}

#[test]
fn a_connection_in_memory_has_no_other_address() {
    on_virtual_loop(async {
        let (server, kept) = keeping();
        let _client = server.connect_in_memory();
        turns(3).await;
        let connection = kept.borrow_mut().remove(0);
        assert_eq!(connection.peer_address().to_string(), "memory");
        assert_eq!(connection.local_address().unwrap().to_string(), "memory");
    });
}
