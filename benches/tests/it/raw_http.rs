//! The hand-written HTTP server must not be fast because it does less than the others.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;

use crate::server::{Server, receive, send_until_blocked};

#[test]
fn response_has_no_header_more_or_less_than_all_others() {
    for program in [RAW_HTTP, RAW_HTTP_CANNED] {
        let server = Server::start(program);
        let mut stream = server.connect();
        stream.write_all(GET).unwrap();
        let response = receive_response(&mut stream);
        let (head, body) = response.split_once("\r\n\r\n").unwrap();
        assert_eq!(body, "Hello, World!");
        let lines: Vec<&str> = head.split("\r\n").collect();
        assert_eq!(lines[0], "HTTP/1.1 200 OK");
        assert_eq!(lines[1], "Content-Type: text/plain; charset=utf-8");
        assert_eq!(lines[2], "Content-Length: 13");
        assert!(lines[3].starts_with("Date: ") && lines[3].ends_with(" GMT"));
        assert_eq!(lines.len(), 4);
    }
}

#[test]
fn head_that_arrives_in_pieces_is_not_answered_before_it_is_complete() {
    for program in [RAW_HTTP, RAW_HTTP_CANNED] {
        let server = Server::start(program);
        let mut stream = server.connect();
        let (first, second) = GET.split_at(GET.len() - 2);
        for _ in 0..2 {
            stream.write_all(first).unwrap();
            assert_silent(&mut stream);
            // The rest, and a part of the next.
            stream.write_all(&[second, &GET[..7]].concat()).unwrap();
            receive_response(&mut stream);
            stream.write_all(&GET[7..]).unwrap();
            receive_response(&mut stream);
        }
    }
}

#[test]
fn pipelined_answers_are_not_out_of_order() {
    let server = Server::start(RAW_HTTP);
    let mut stream = server.connect();
    let head = b"HEAD / HTTP/1.1\r\nhost: a\r\n\r\n";
    stream.write_all(&[GET, head, GET].concat()).unwrap();
    let first = receive_response(&mut stream);
    let second = receive(&mut stream, first.len() - "Hello, World!".len());
    assert!(second.ends_with(b"\r\n\r\n"));
    assert_eq!(receive_response(&mut stream).len(), first.len());
    assert_silent(&mut stream);
}

#[test]
fn client_that_reads_late_loses_nothing() {
    for program in [RAW_HTTP, RAW_HTTP_CANNED] {
        let server = Server::start(program);
        let mut stream = server.connect();
        let sent = send_until_blocked(&mut stream, &GET.repeat(LATE_REQUESTS));
        let one = receive_response(&mut stream);
        let rest = sent / GET.len() - 1;
        let responses = receive(&mut stream, rest * one.len());
        for response in responses.chunks(one.len()) {
            assert!(response.starts_with(b"HTTP/1.1 200 OK\r\n"));
            assert!(response.ends_with(b"\r\n\r\nHello, World!"));
        }
        stream.write_all(&GET[sent % GET.len()..]).unwrap();
        receive_response(&mut stream);
        assert_silent(&mut stream);
    }
}

#[test]
fn body_is_not_taken_for_a_request() {
    let server = Server::start(RAW_HTTP);
    let mut stream = server.connect();
    let head = format!(
        "POST / HTTP/1.1\r\nHost: a\r\ncontent-length: {}\r\n\r\n",
        GET.len()
    );
    // In one piece, then with the body in two.
    stream.write_all(&[head.as_bytes(), GET].concat()).unwrap();
    receive_response(&mut stream);
    stream
        .write_all(&[head.as_bytes(), &GET[..5]].concat())
        .unwrap();
    receive_response(&mut stream);
    stream.write_all(&[&GET[5..], GET].concat()).unwrap();
    receive_response(&mut stream);
    assert_silent(&mut stream);
}

#[test]
fn client_that_expects_to_continue_does_not_wait() {
    let server = Server::start(RAW_HTTP);
    let mut stream = server.connect();
    let head = "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    let interim = b"HTTP/1.1 100 Continue\r\n\r\n";
    assert_eq!(receive(&mut stream, interim.len()), interim);
    receive_response(&mut stream);
    stream.write_all(&[b"ab", GET].concat()).unwrap();
    receive_response(&mut stream);
    assert_silent(&mut stream);
}

#[test]
fn connection_does_not_outlive_the_wish_to_close() {
    let server = Server::start(RAW_HTTP);
    for (request, closes) in [
        (
            "GET / HTTP/1.1\r\nHost: a\r\nconnection: Close\r\n\r\n",
            true,
        ),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade, close\r\n\r\n",
            true,
        ),
        ("GET / HTTP/1.0\r\n\r\n", true),
        ("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", false),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\n\r\n",
            false,
        ),
    ] {
        let mut stream = server.connect();
        stream.write_all(request.as_bytes()).unwrap();
        let response = receive_response(&mut stream);
        assert_eq!(response.contains("Connection: close"), closes, "{request}");
        if closes {
            assert_eq!(stream.read(&mut [0]).unwrap(), 0, "{request}");
        } else {
            assert_silent(&mut stream);
        }
    }
}

#[test]
fn request_that_is_not_understood_is_refused() {
    let server = Server::start(RAW_HTTP);
    let long = format!("GET / HTTP/1.1\r\nHost: a\r\na: {}", "a".repeat(66_000));
    let many = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "a: b\r\n".repeat(64));
    for (request, status) in [
        ("GET / HTTP/1.1\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "400"),
        ("GET\r\n\r\n", "400"),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n",
            "400",
        ),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: \r\n\r\n",
            "400",
        ),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
            "501",
        ),
        (&long, "431"),
        (&many, "431"),
    ] {
        let mut stream = server.connect();
        stream.write_all(request.as_bytes()).unwrap();
        let start = receive(&mut stream, 12);
        assert_eq!(start, format!("HTTP/1.1 {status}").as_bytes(), "{request}");
    }
}

fn receive_response(stream: &mut TcpStream) -> String {
    let mut response = Vec::new();
    while !response.ends_with(b"\r\n\r\nHello, World!") {
        response.extend(receive(stream, 1));
        assert!(
            response.len() < 300,
            "{}",
            String::from_utf8_lossy(&response)
        );
    }
    assert!(response.starts_with(b"HTTP/1.1 200 OK\r\n"));
    String::from_utf8(response).unwrap()
}

/// Nothing has come, and the connection is open. An answer of the server's would take far less.
fn assert_silent(stream: &mut TcpStream) {
    let timeout = stream.read_timeout().unwrap();
    let short = std::time::Duration::from_millis(50);
    stream.set_read_timeout(Some(short)).unwrap();
    let error = stream.read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
    stream.set_read_timeout(timeout).unwrap();
}

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";

/// Seven megabytes, whose answers are 26: more than any socket buffers.
const LATE_REQUESTS: usize = 200_000;

const RAW_HTTP: &str = env!("CARGO_BIN_EXE_raw_http");

const RAW_HTTP_CANNED: &str = env!("CARGO_BIN_EXE_raw_http_canned");
