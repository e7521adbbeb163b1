//! `add_accept_handler`: how many, from whom, until when.

use std::cell::RefCell;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;

use ioloop::IoLoop;
use rustix::fs::{OFlags, fcntl_getfl};
use rustix::io::{FdFlags, fcntl_getfd};
use socket2::SockRef;
use tcpserver::{Address, Listener, TcpServer, add_accept_handler};

use crate::support::{
    OnDrop, bind, clients, counter, deaf, echo, flag, increment, listen, on_loop, on_virtual_loop,
    turns, until,
};
use test_support::reports;

#[test]
fn a_connection_is_not_given_without_its_peer() {
    on_loop(async {
        let (listener, address) = bind();
        let accepted = Rc::new(RefCell::new(Vec::new()));
        let list = accepted.clone();
        let handle = add_accept_handler(listener, move |connection, peer| {
            list.borrow_mut().push((connection, peer));
        });
        let handle = handle.unwrap();
        assert_eq!(handle.address().ip(), Some(address));
        let client = TcpStream::connect(address).unwrap();
        until(|| !accepted.borrow().is_empty()).await;

        let (connection, peer) = accepted.borrow_mut().remove(0);
        assert_eq!(peer, Address::Ip(client.local_addr().unwrap()));
        assert!(fcntl_getfl(&connection).unwrap().contains(OFlags::NONBLOCK));
        assert!(fcntl_getfd(&connection).unwrap().contains(FdFlags::CLOEXEC));
        (&client).write_all(b"hello").unwrap();
        let mut server = TcpStream::from(connection);
        server.set_nonblocking(false).unwrap();
        let mut bytes = [0; 5];
        server.read_exact(&mut bytes).unwrap();
        assert_eq!(&bytes, b"hello");
    });
}

#[test]
fn one_turn_does_not_accept_more_than_128() {
    on_loop(async {
        let (listener, address) = bind();
        let (count, counted) = counter();
        let clients = clients(address, 150);
        let handle = add_accept_handler(listener, move |_, _| increment(&counted)).unwrap();
        let mut batches = Vec::new();
        while count.get() < clients.len() {
            let before = count.get();
            turns(1).await;
            batches.push(count.get() - before);
        }
        assert!(batches.iter().all(|batch| *batch <= 128), "{batches:?}");
        assert!(batches.contains(&128), "{batches:?}");
        drop(handle);
    });
}

#[test]
fn a_connection_that_was_aborted_before_it_was_accepted_does_no_harm() {
    on_loop(async {
        let (listener, address) = bind();
        for _ in 0..3 {
            let client = TcpStream::connect(address).unwrap();
            SockRef::from(&client)
                .set_linger(Some(Duration::ZERO))
                .unwrap();
            drop(client);
        }
        let last = TcpStream::connect(address).unwrap();
        let last_address = Address::Ip(last.local_addr().unwrap());
        let (arrived, has_arrived) = flag();
        let _handle = add_accept_handler(listener, move |_, peer| {
            if peer == last_address {
                has_arrived.set(true);
            }
        })
        .unwrap();
        until(|| arrived.get()).await;
        assert!(reports().is_empty());
    });
}

#[test]
fn a_listener_that_cannot_accept_any_more_does_not_spin() {
    on_virtual_loop(async {
        let theirs = TcpListener::bind("127.0.0.1:0").unwrap();
        let listener = Listener::try_from(OwnedFd::from(theirs.try_clone().unwrap())).unwrap();
        let _handle = add_accept_handler(listener, |_, _| {}).unwrap();
        turns(2).await;
        // As another process can do that has inherited the socket too.
        SockRef::from(&theirs).shutdown(Shutdown::Both).unwrap();
        let before = IoLoop::current().metrics().turns;
        ioloop::sleep(Duration::from_secs(1)).await;
        let turns = IoLoop::current().metrics().turns - before;
        assert!(turns <= 40, "{turns} turns in a second");
        let reports = reports();
        assert!(reports.len() <= 1, "{reports:#?}");
    });
}

#[test]
fn a_callback_that_panics_does_not_leave_clients_waiting() {
    on_loop(async {
        let (listener, address) = bind();
        let _handle = add_accept_handler(listener, |_, _| panic!("on purpose")).unwrap();
        let mut clients = clients(address, 2);
        turns(5).await;
        assert!(
            TcpStream::connect(address).is_err(),
            "the socket still listens"
        );
        let reports = reports();
        assert_eq!(reports.len(), 1, "{reports:#?}");
        assert!(reports[0].contains("on purpose"), "{reports:#?}");
        // Those who waited are told.
        for client in &mut clients {
            assert_eq!(client.read(&mut [0]).unwrap_or(0), 0);
        }
    });
}

#[test]
fn a_loop_that_is_closed_leaves_no_socket_listening() {
    on_loop(async {
        let other_loop = || {
            let (dropped, is_dropped) = flag();
            let owned = OnDrop(is_dropped);
            let server = TcpServer::new(async move |stream, connection| {
                let _owned = &owned;
                echo(stream, connection).await
            });
            let address = ioloop::testing::run(async move { listen(&server) });
            (address, dropped.get())
        };
        let (address, is_dropped) = std::thread::spawn(other_loop).join().unwrap();
        assert!(TcpStream::connect(address).is_err());
        assert!(is_dropped, "the handler lives on without a loop");
    });
}

#[test]
fn a_server_that_nobody_holds_goes_on() {
    on_loop(async {
        let address = listen(&TcpServer::new(echo));
        turns(3).await;
        let mut client = crate::support::connect(address);
        assert!(crate::support::answers(&mut client).await);
    });
}

#[test]
fn accepted_sockets_do_not_hold_small_writes_back() {
    on_loop(async {
        let theirs = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = theirs.local_addr().unwrap();
        let listener = Listener::try_from(OwnedFd::from(theirs.try_clone().unwrap())).unwrap();
        let server = TcpServer::new(deaf);
        server.add_sockets(vec![listener]).unwrap();
        server.stop();
        // What the server would have accepted.
        let _client = TcpStream::connect(address).unwrap();
        let accepted = loop {
            match theirs.accept() {
                Ok((accepted, _)) => break accepted,
                Err(_) => turns(1).await,
            }
        };
        assert!(accepted.nodelay().unwrap());
    });
}
