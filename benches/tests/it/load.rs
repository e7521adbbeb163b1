//! The load must not pass what is wrong, nor complain of what is right.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::thread;
use std::time::Duration;

use squall_benches::bulk::{Bulk, Direction};
use squall_benches::dialogue::Protocol;
use squall_benches::http::Head;
use squall_benches::load::{Limit, Load, Workload};
use squall_benches::newcomers::Newcomers;

use crate::server::Server;

#[test]
fn new_second_is_not_taken_for_a_wrong_answer() {
    let server = Server::start(env!("CARGO_BIN_EXE_raw_http"));
    let shape = "4x4".parse().unwrap();
    let mut load = Load::open(server.address, &Protocol::Http(Head::Browser), shape).unwrap();
    let slice = load.run(&Limit::Time(Duration::from_millis(1200)));
    assert!(slice.unwrap().requests > 0);
}

#[test]
fn pipelined_requests_are_all_counted() {
    for (program, protocol) in [
        (env!("CARGO_BIN_EXE_raw_http"), Protocol::Http(Head::Small)),
        (
            env!("CARGO_BIN_EXE_raw_echo"),
            Protocol::Echo { line_length: 32 },
        ),
        (
            env!("CARGO_BIN_EXE_raw_frames"),
            Protocol::Frames { length: 100 },
        ),
    ] {
        let server = Server::start(program);
        let shape = "2x8".parse().unwrap();
        let mut load = Load::open(server.address, &protocol, shape).unwrap();
        assert_eq!(load.run(&Limit::Requests(160)).unwrap().requests, 160);
    }
}

#[test]
fn open_loop_neither_leaves_out_what_was_due_nor_sends_before() {
    let server = Server::start(env!("CARGO_BIN_EXE_raw_echo"));
    let shape = "4x2@10000".parse().unwrap();
    let protocol = Protocol::Echo { line_length: 32 };
    let mut load = Load::open(server.address, &protocol, shape).unwrap();
    let slice = load.run(&Limit::Time(Duration::from_millis(200))).unwrap();
    assert_eq!(slice.requests, 2000);
    // The last two are due a fifth of a millisecond before the end.
    assert!(slice.seconds > 0.199);
}

#[test]
fn newcomer_is_not_counted_before_its_connection_has_ended() {
    let server = Server::start(env!("CARGO_BIN_EXE_raw_http"));
    let mut newcomers = Newcomers::open(server.address, 3).unwrap();
    for _ in 0..2 {
        let slice = newcomers.run(&Limit::Requests(20)).unwrap();
        assert_eq!(slice.requests, 20);
    }
    // One that is kept open is waited for in vain, and found out by its answer before that.
    let echo = Server::start(env!("CARGO_BIN_EXE_raw_echo"));
    assert!(Newcomers::open(echo.address, 1).is_err());
}

#[test]
fn bulk_is_whole_in_both_directions() {
    let server = Server::start(env!("CARGO_BIN_EXE_raw_bulk"));
    for direction in [Direction::Sent, Direction::Received] {
        let mut bulk = Bulk::open(server.address, direction).unwrap();
        for _ in 0..2 {
            let slice = bulk.run(&Limit::Requests(1)).unwrap();
            assert_eq!(slice.requests * bulk.answer_length() as u64, 178_978_816);
        }
    }
}

#[test]
fn body_that_changes_is_an_error() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let requests = BufReader::new(&stream).lines().map_while(Result::ok);
        // Until the client has had enough.
        for (number, _) in requests.filter(String::is_empty).enumerate() {
            let head = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n";
            let _ = write!(&stream, "{head}{}", number / 3);
        }
    });
    let shape = "1".parse().unwrap();
    let mut load = Load::open(address, &Protocol::Http(Head::Small), shape).unwrap();
    assert!(load.run(&Limit::Requests(2)).is_ok());
    assert!(load.run(&Limit::Requests(1)).is_err());
    drop(load);
    server.join().unwrap();
}
