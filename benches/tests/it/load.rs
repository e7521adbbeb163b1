//! The load must not pass what is wrong, nor complain of what is right.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::thread;
use std::time::Duration;

use squall_benches::dialogue::Protocol;
use squall_benches::http::Head;
use squall_benches::load::{Limit, Load, Shape};

use crate::server::Server;

#[test]
fn new_second_is_not_taken_for_a_wrong_answer() {
    let server = Server::start(env!("CARGO_BIN_EXE_raw_http"));
    let shape = Shape {
        connections: 4,
        depth: 4,
    };
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
        let shape = Shape {
            connections: 2,
            depth: 8,
        };
        let mut load = Load::open(server.address, &protocol, shape).unwrap();
        assert_eq!(load.run(&Limit::Requests(160)).unwrap().requests, 160);
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
    let shape = Shape {
        connections: 1,
        depth: 1,
    };
    let mut load = Load::open(address, &Protocol::Http(Head::Small), shape).unwrap();
    assert!(load.run(&Limit::Requests(2)).is_ok());
    assert!(load.run(&Limit::Requests(1)).is_err());
    drop(load);
    server.join().unwrap();
}
