//! `stop`: who is accepted no more, and who goes on.

use std::cell::RefCell;
use std::net::TcpStream;
use std::rc::Rc;

use tcpserver::{Connection, IoStream, TcpServer};

use crate::support::{
    answers, connect, counter, echo, increment, listen, loopback, on_loop, turns, until,
};
use test_support::reports;

#[test]
fn a_second_stop_is_not_an_error() {
    on_loop(async {
        let server = TcpServer::new(echo);
        server.stop();
        let address = listen(&server);
        server.stop();
        server.stop();
        assert!(TcpStream::connect(address).is_err());
    });
}

#[test]
fn connections_do_not_end_with_the_listening() {
    on_loop(async {
        let server = TcpServer::new(echo);
        let address = listen(&server);
        let mut client = connect(address);
        assert!(answers(&mut client).await);
        server.stop();
        assert!(TcpStream::connect(address).is_err());
        assert!(answers(&mut client).await);
        assert_eq!(server.connections(), 1);
    });
}

#[test]
fn a_handler_that_stops_its_server_is_the_last() {
    on_loop(async {
        type Slot = Rc<RefCell<Option<Box<dyn FnOnce()>>>>;
        let (count, calls) = counter();
        let slot = Slot::default();
        let inner = slot.clone();
        let server = TcpServer::new(async move |stream: IoStream, connection: Connection| {
            increment(&calls);
            let stop = inner.borrow_mut().take();
            stop.into_iter().for_each(|stop| stop());
            echo(stream, connection).await
        });
        let addresses = [listen(&server), listen(&server)];
        let stopped = server.clone();
        *slot.borrow_mut() = Some(Box::new(move || stopped.stop()));
        let mut client = connect(addresses[0]);
        assert!(answers(&mut client).await);
        assert_eq!(count.get(), 1);
        for address in addresses {
            assert!(TcpStream::connect(address).is_err());
        }
    });
}

#[test]
fn those_in_the_queue_of_a_stopped_server_are_not_accepted() {
    on_loop(async {
        let server = TcpServer::new(echo);
        let address = listen(&server);
        let mut clients: Vec<_> = (0..5).map(|_| connect(address)).collect();
        server.stop();
        turns(10).await;
        assert_eq!(server.connections(), 0);
        for client in &mut clients {
            assert!(
                client.read_some(1).await.is_err(),
                "somebody waits for ever"
            );
        }
    });
}

#[test]
fn a_stopped_server_may_listen_again() {
    on_loop(async {
        let server = TcpServer::new(echo);
        let address = listen(&server);
        server.stop();
        assert_eq!(server.listen(address).unwrap()[0].ip(), Some(address));
        assert!(answers(&mut connect(address)).await);
    });
}

#[test]
fn a_full_server_that_stops_and_listens_again_is_not_deaf() {
    on_loop(async {
        let server = TcpServer::new(echo).max_connections(1);
        let address = listen(&server);
        let mut first = connect(address);
        assert!(answers(&mut first).await);
        server.stop();
        drop(first);
        until(|| server.connections() == 0).await;
        let address = listen(&server);
        assert!(answers(&mut connect(address)).await);
    });
}

#[test]
fn what_was_bound_and_not_started_is_closed_too() {
    on_loop(async {
        let address = listen(&TcpServer::new(echo));
        let free = tcpserver::bind_sockets(loopback(), &Default::default()).unwrap();
        let port = free[0].address().clone();
        drop(free);
        let server = TcpServer::new(echo);
        server.bind(&port).unwrap();
        assert!(
            TcpStream::connect(port.ip().unwrap()).is_ok(),
            "bound sockets listen already"
        );
        server.stop();
        assert!(TcpStream::connect(port.ip().unwrap()).is_err());
        assert_eq!(server.start(1, None).unwrap(), tcpserver::Role::Worker(0));
        assert!(TcpStream::connect(port.ip().unwrap()).is_err());
        assert!(answers(&mut connect(address)).await, "another server's");
        assert!(reports().is_empty());
    });
}
