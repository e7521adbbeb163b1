//! The hand-written server must not be fast because it does less than the others.

use std::io::{Read, Write};

use crate::server::{Server, receive, send_until_blocked};

#[test]
fn line_that_arrives_in_pieces_is_not_sent_before_it_is_complete() {
    let server = Server::start(RAW_ECHO);
    let mut stream = server.connect();
    stream.write_all(b"one\ntw").unwrap();
    assert_eq!(receive(&mut stream, 4), b"one\n");
    stream.write_all(b"o\nthree\n").unwrap();
    assert_eq!(receive(&mut stream, 10), b"two\nthree\n");
}

#[test]
fn client_that_reads_late_loses_nothing() {
    let server = Server::start(RAW_ECHO);
    let mut stream = server.connect();
    let lines: Vec<u8> = (0..LATE_LINES)
        .flat_map(|n| format!("{n:0>99}\n").into_bytes())
        .collect();
    let sent = send_until_blocked(&mut stream, &lines);
    let complete = sent - sent % 100;
    assert!(receive(&mut stream, complete) == lines[..complete]);
}

#[test]
fn line_above_the_maximum_ends_the_connection() {
    let server = Server::start(RAW_ECHO);
    let mut stream = server.connect();
    let mut line = [b'a'; 4096];
    line[4095] = b'\n';
    stream.write_all(&line).unwrap();
    assert_eq!(receive(&mut stream, 4096), line);
    stream.write_all(&[b'a'; 4096]).unwrap();
    assert_eq!(stream.read(&mut line).unwrap_or(0), 0);
}

/// Twenty megabytes: more than any socket buffers.
const LATE_LINES: usize = 200_000;

const RAW_ECHO: &str = env!("CARGO_BIN_EXE_raw_echo");
