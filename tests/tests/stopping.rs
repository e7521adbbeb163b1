//! Signals: a server drains and ends with success, and soon.
//!
//! "Soon" is less than the 8 s that handlers have to finish: the helpers do not wait that long.

use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use squall_tests::{Client, Server, Signal, start};

#[test]
fn idle_clients_do_not_delay_the_end() {
    for (signal, name) in [(Signal::INT, "echo"), (Signal::TERM, "echo")] {
        let server = start(name);
        let mut clients: Vec<Client> = (0..50).map(|_| server.connect()).collect();
        // Half of them have never said a word.
        clients[..25]
            .iter_mut()
            .for_each(|client| client.exchange("hello"));
        // Those were accepted too, since they stand before this one in the queue.
        server.connect().exchange("last");
        server.send(signal);
        clients
            .iter_mut()
            .for_each(|client| assert_eq!(client.rest(), ""));
        // No client has closed its side yet.
        let log = server.finish().log_of_success();
        assert!(log.contains("drained finished=5"), "{log}");
        assert!(log.contains(" cut=0"), "{log}");
    }
}

#[test]
fn a_server_without_clients_does_not_wait_for_any() {
    for signal in [Signal::INT, Signal::TERM] {
        for name in ["echo", "chat", "raw_server"] {
            let server = start(name);
            server.send(signal);
            server.finish().log_of_success();
        }
    }
}

/// A stream whose handler has returned waits for its peer to close too: usually for five seconds,
/// but not any more when the server is told to end.
#[test]
fn clients_that_were_let_go_do_not_delay_the_end() {
    let server = start("echo");
    let mut client = server.connect();
    client.say(&"a line beyond the limit".repeat(200));
    assert_eq!(client.rest(), "");
    server.send(Signal::TERM);
    let ending = server.finish_within(Duration::from_secs(3));
    let log = ending.log_of_success();
    assert!(log.contains("drained finished=1 cut=0"), "{log}");
}

/// Stopped and continued, the server finds lines and the signal at the same time.
#[test]
fn lines_that_arrived_before_the_signal_are_not_dropped() {
    let server = start("echo");
    let mut clients: Vec<Client> = (0..50).map(|_| server.connect()).collect();
    clients
        .iter_mut()
        .for_each(|client| client.exchange("hello"));
    server.send(Signal::STOP);
    clients
        .iter_mut()
        .for_each(|client| client.say("one\ntwo\nthr"));
    server.send(Signal::INT);
    server.send(Signal::CONT);
    for client in &mut clients {
        assert_eq!(client.rest(), "one\ntwo\n");
    }
    let log = server.finish().log_of_success();
    assert!(log.contains("finished=50 cut=0"), "{log}");
}

#[test]
fn a_room_does_not_close_without_a_word_or_wait_for_the_nameless() {
    let server = start("chat");
    let mut ann = server.connect();
    ann.expect("your name? ");
    ann.say("ann\n");
    assert_eq!(ann.line(), "* here: ann");
    let mut nameless = server.connect();
    nameless.expect("your name? ");
    server.send(Signal::INT);
    assert_eq!(ann.rest(), "* the room closes\n");
    assert_eq!(nameless.rest(), "");
    let log = server.finish().log_of_success();
    assert!(log.contains("finished=2 cut=0"), "{log}");
}

#[test]
fn nobody_is_accepted_while_the_server_drains() {
    let mut server = deaf(60_000);
    let mut client = server.connect();
    assert_eq!(client.line(), "hello");
    server.send(Signal::TERM);
    server.wait_for_log("draining");
    // The sockets are closed in the same turn, a moment after that was said.
    let is_refused = |_| TcpStream::connect(server.address()).is_err();
    assert!((0..1000).any(is_refused), "it still listens");
}

#[test]
fn handlers_that_ignore_the_first_signal_do_not_survive_the_second() {
    for [first, second] in [[Signal::INT, Signal::INT], [Signal::TERM, Signal::INT]] {
        let mut server = deaf(60_000);
        let mut client = server.connect();
        assert_eq!(client.line(), "hello");
        server.send(first);
        server.wait_for_log("draining");
        server.send(second);
        let log = server.finish().log_of_success();
        assert!(log.contains("ended by the second signal cut=1"), "{log}");
        assert_eq!(client.rest(), "");
    }
}

#[test]
fn handlers_that_ignore_the_signal_do_not_outlive_the_grace_period() {
    let server = deaf(100);
    let mut client = server.connect();
    assert_eq!(client.line(), "hello");
    server.send(Signal::INT);
    assert_eq!(client.rest(), "");
    let log = server.finish().log_of_success();
    assert!(log.contains("drained finished=0 cut=1"), "{log}");
}

fn deaf(grace: u32) -> Server {
    let mut command = Command::new(env!("CARGO_BIN_EXE_deaf"));
    Server::start(command.args(["--grace", &grace.to_string()]))
}
