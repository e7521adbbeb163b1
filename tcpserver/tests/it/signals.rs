//! `run` and `serve`: a server as a whole program, to the signal that ends it.

use std::time::Duration;

use ioloop::IoLoop;
use rustix::process::{Signal, getpid, kill_process};
use tcpserver::{Connection, IoStream, TcpServer};

use crate::support::{
    answers, connect, deaf, echo, flag, in_a_process_of_its_own, listen, polite, spawn, turns,
    until,
};
use test_support::{capture_reports, remarks, reports};

fn send(signal: Signal) {
    kill_process(getpid(), signal).unwrap();
}

#[test]
fn a_signal_does_not_end_a_server_before_its_handlers() {
    in_a_process_of_its_own(
        "signals::a_signal_does_not_end_a_server_before_its_handlers",
        || {
            for signal in [Signal::TERM, Signal::INT] {
                let server = TcpServer::new(polite);
                let address = listen(&server);
                let (done, is_done) = flag();
                let watched = server.clone();
                let client = async move {
                    let mut client = connect(address);
                    assert!(answers(&mut client).await);
                    client.queue(b"the last\n").unwrap();
                    client.flush().await.unwrap();
                    send(signal);
                    assert_eq!(client.read_until_close(100).await.unwrap(), b"the last\n");
                    assert!(std::net::TcpStream::connect(address).is_err());
                    drop(client);
                    is_done.set(true);
                };
                spawn(client).detach();
                server.serve().unwrap();
                assert!(done.get());
                assert_eq!(watched.connections(), 0);
            }
        },
    );
}

#[test]
fn the_grace_after_a_signal_is_the_one_that_was_set() {
    in_a_process_of_its_own(
        "signals::the_grace_after_a_signal_is_the_one_that_was_set",
        || {
            capture_reports();
            let io_loop = ioloop::testing::virtual_loop();
            for (server, seconds) in [
                (TcpServer::new(deaf), 8),
                (
                    TcpServer::new(deaf).shutdown_grace(Duration::from_secs(60)),
                    60,
                ),
            ] {
                let _client = server.connect_in_memory();
                let before = io_loop.now();
                server.serve_and(|| send(Signal::TERM)).unwrap();
                assert_eq!(io_loop.now() - before, Duration::from_secs(seconds));
                let said = remarks();
                assert!(
                    said.iter().any(|one| one.contains("finished=0 cut=1")),
                    "{said:#?}"
                );
            }
            assert!(reports().is_empty());
        },
    );
}

#[test]
fn a_second_signal_does_not_wait_for_the_grace() {
    in_a_process_of_its_own(
        "signals::a_second_signal_does_not_wait_for_the_grace",
        || {
            let server = TcpServer::new(async |_stream: IoStream, connection: Connection| {
                connection.draining().await;
                send(Signal::INT);
                std::future::pending().await
            })
            .shutdown_grace(Duration::from_secs(1_000_000));
            let mut client = connect(listen(&server));
            let accepted = server.clone();
            IoLoop::current().run_until(until(move || accepted.connections() == 1));
            server.serve_and(|| send(Signal::TERM)).unwrap();
            assert!(IoLoop::current().run_until(client.read_some(1)).is_err());
            assert_eq!(server.connections(), 0);
        },
    );
}

#[test]
fn a_server_is_not_said_to_be_ready_before_a_signal_would_drain_it() {
    in_a_process_of_its_own(
        "signals::a_server_is_not_said_to_be_ready_before_a_signal_would_drain_it",
        || {
            for signal in [Signal::TERM, Signal::INT] {
                let server = TcpServer::new(echo);
                let address = listen(&server);
                let (ready, is_ready) = flag();
                server
                    .serve_and(|| {
                        is_ready.set(true);
                        send(signal);
                    })
                    .unwrap();
                assert!(ready.get());
                assert!(std::net::TcpStream::connect(address).is_err());
            }
        },
    );
}

#[test]
fn a_server_that_cannot_listen_does_not_run() {
    in_a_process_of_its_own("signals::a_server_that_cannot_listen_does_not_run", || {
        let server = TcpServer::new(echo);
        let taken = listen(&TcpServer::new(echo));
        let error = server.run(taken).unwrap_err();
        let wanted = format!("cannot listen on {taken}: address already in use");
        assert_eq!(error.to_string(), wanted);
    });
}

#[test]
fn run_serves_what_it_was_told_to() {
    in_a_process_of_its_own("signals::run_serves_what_it_was_told_to", || {
        let free = TcpServer::new(echo);
        let address = listen(&free);
        free.stop();
        let (done, is_done) = flag();
        // Its first poll is in the first turn, when the server has not begun to wait for signals.
        let client = async move {
            turns(1).await;
            let mut client = connect(address);
            assert!(answers(&mut client).await);
            drop(client);
            is_done.set(true);
            send(Signal::INT);
        };
        spawn(client).detach();
        TcpServer::new(echo).run(address).unwrap();
        assert!(done.get());
    });
}

#[test]
fn a_server_is_not_ready_before_its_process_has_what_it_needs() {
    in_a_process_of_its_own(
        "signals::a_server_is_not_ready_before_its_process_has_what_it_needs",
        || {
            let (begun, has_begun) = flag();
            let server = TcpServer::new(echo).on_serve(move || {
                has_begun.set(true);
                // What needs a loop of its own may run on this one.
                IoLoop::current().run_until(turns(3));
                Ok(())
            });
            for _ in 0..2 {
                listen(&server);
                server
                    .serve_and(|| {
                        assert!(begun.get());
                        send(Signal::TERM);
                    })
                    .unwrap();
            }
        },
    );
}

#[test]
fn a_process_without_what_it_needs_does_not_serve() {
    in_a_process_of_its_own(
        "signals::a_process_without_what_it_needs_does_not_serve",
        || {
            let server = TcpServer::new(echo).on_serve(|| Err("no database".into()));
            listen(&server);
            let error = server.serve_and(|| panic!("it is ready")).unwrap_err();
            assert_eq!(error.to_string(), "no database");
        },
    );
}
