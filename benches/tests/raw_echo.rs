//! The hand-written server must not be fast because it does less than the others.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

#[test]
fn line_that_arrives_in_pieces_is_not_sent_before_it_is_complete() {
    let server = Server::start();
    let mut stream = server.connect();
    stream.write_all(b"one\ntw").unwrap();
    assert_eq!(receive(&mut stream, 4), b"one\n");
    stream.write_all(b"o\nthree\n").unwrap();
    assert_eq!(receive(&mut stream, 10), b"two\nthree\n");
}

#[test]
fn client_that_reads_late_loses_nothing() {
    let server = Server::start();
    let mut stream = server.connect();
    stream
        .set_write_timeout(Some(Duration::from_millis(200)))
        .unwrap();
    let lines: Vec<u8> = (0..LATE_LINES)
        .flat_map(|n| format!("{n:0>99}\n").into_bytes())
        .collect();
    let mut sent = 0;
    while let Ok(count) = stream.write(&lines[sent..]) {
        assert!(count > 0, "all of it fitted into the sockets' buffers");
        sent += count;
    }
    let complete = sent - sent % 100;
    assert!(receive(&mut stream, complete) == lines[..complete]);
}

#[test]
fn line_above_the_maximum_ends_the_connection() {
    let server = Server::start();
    let mut stream = server.connect();
    let mut line = [b'a'; 4096];
    line[4095] = b'\n';
    stream.write_all(&line).unwrap();
    assert_eq!(receive(&mut stream, 4096), line);
    stream.write_all(&[b'a'; 4096]).unwrap();
    assert_eq!(stream.read(&mut line).unwrap_or(0), 0);
}

struct Server {
    child: Child,
    address: String,
}

impl Server {
    fn start() -> Server {
        let mut command = Command::new(env!("CARGO_BIN_EXE_raw_echo"));
        let mut child = command
            .args(["--port", "0"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let address = line
            .trim()
            .strip_prefix("listening on ")
            .unwrap()
            .to_string();
        Server { child, address }
    }

    fn connect(&self) -> TcpStream {
        TcpStream::connect(&self.address).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn receive(stream: &mut TcpStream, count: usize) -> Vec<u8> {
    let mut received = vec![0; count];
    stream.read_exact(&mut received).unwrap();
    received
}

/// Twenty megabytes: more than any socket buffers.
const LATE_LINES: usize = 200_000;
