//! A peer must send what the hand-written servers do, no header more or less.

#[allow(dead_code, reason = "what writes it by hand")]
#[path = "../../../src/hello.rs"]
mod hello;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};

use hello::{BODY, HEADERS};

#[test]
fn response_has_no_header_more_or_less() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hyper_hello"));
    let command = command.args(["--port", "0"]).stdout(Stdio::piped());
    let mut server = command.spawn().unwrap();
    let mut line = String::new();
    let mut stdout = BufReader::new(server.stdout.take().unwrap());
    stdout.read_line(&mut line).unwrap();
    let response = line
        .trim()
        .strip_prefix("listening on ")
        .and_then(|address| exchange(address).ok());
    server.kill().unwrap();
    server.wait().unwrap();

    let response = response.expect("a response");
    let (head, body) = response.split_once("\r\n\r\n").unwrap();
    assert_eq!(body, BODY);
    let names = head.lines().skip(1).map(|line| line.split(':').next());
    let mut names: Vec<String> = names.flatten().map(str::to_lowercase).collect();
    let mut expected = HEADERS.map(|(name, _)| name.to_lowercase());
    names.sort();
    expected.sort();
    // The one that says so.
    names.retain(|name| name != "connection");
    assert_eq!(names, expected);
}

/// The response of a connection that ends with it.
fn exchange(address: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")?;
    let mut response = String::new();
    stream.read_to_string(&mut response)?;
    Ok(response)
}
