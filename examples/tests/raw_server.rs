//! The program `raw_server` as its clients see it, with each of its three handlers.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::Command;
use std::thread;
use std::time::Duration;

use test_support::{Server, Signal};

/// Longer than anything here takes: who waits for it has found a bug.
const TOO_LONG: Duration = Duration::from_secs(60);

fn start(arguments: &str) -> Server {
    Server::start(raw_server().args(arguments.split(' ')))
}

fn raw_server() -> Command {
    Command::new(env!("CARGO_BIN_EXE_raw_server"))
}

fn connect(server: &Server) -> TcpStream {
    let stream = TcpStream::connect(server.address()).unwrap();
    stream.set_read_timeout(Some(TOO_LONG)).unwrap();
    stream.set_write_timeout(Some(TOO_LONG)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// Sends a request and reads the answer to its end.
fn ask(server: &Server, request: &str) -> String {
    let mut stream = connect(server);
    stream.write_all(request.as_bytes()).unwrap();
    read_to_end(&mut stream)
}

fn read_to_end(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

fn exchange(stream: &mut TcpStream, bytes: &[u8]) {
    stream.write_all(bytes).unwrap();
    let mut answer = vec![0; bytes.len()];
    stream.read_exact(&mut answer).unwrap();
    assert!(answer == bytes, "{} other bytes came back", bytes.len());
}

/// Whether the server has closed it, in either way.
fn is_closed(stream: &mut TcpStream) -> bool {
    match stream.read(&mut [0]) {
        Ok(count) => count == 0,
        Err(error) => error.kind() == ErrorKind::ConnectionReset,
    }
}

/// Bytes that show a piece that is lost, doubled or misplaced.
fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|index| (index % 251) as u8).collect()
}

#[test]
fn echo_answers_what_came_together_with_the_end() {
    let server = start("--handler echo");
    for length in [
        0,
        1,
        1000,
        32 * 1024 - 1,
        32 * 1024,
        32 * 1024 + 1,
        64 * 1024,
    ] {
        let (mut stream, bytes) = (connect(&server), pattern(length));
        stream.write_all(&bytes).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        assert!(answer == bytes, "{} of {length} bytes", answer.len());
    }
}

#[test]
fn echo_holds_back_a_client_that_does_not_read_and_loses_nothing() {
    let server = start("--handler echo");
    let (mut reader, bytes) = (connect(&server), pattern(32 * 1024 * 1024));
    let mut writer = reader.try_clone().unwrap();
    // Both sides' kernel buffers and the server's queue fill up, and then it reads no more.
    let mut sent = 0;
    writer.set_nonblocking(true).unwrap();
    let mut refusals = 0;
    while refusals < 1000 {
        match writer.write(&bytes[sent..]) {
            Ok(count) => (sent, refusals) = (sent + count, 0),
            Err(error) if error.kind() == ErrorKind::WouldBlock => refusals += 1,
            Err(error) => panic!("{error}"),
        }
    }
    assert!(sent < bytes.len(), "the server takes everything");
    writer.set_nonblocking(false).unwrap();
    let rest = bytes[sent..].to_vec();
    let writing = thread::spawn(move || {
        writer.write_all(&rest).unwrap();
        writer.shutdown(Shutdown::Write).unwrap();
    });
    let mut answer = Vec::new();
    let mut piece = [0; 1000];
    while let count @ 1.. = reader.read(&mut piece).unwrap() {
        answer.extend_from_slice(&piece[..count]);
    }
    writing.join().unwrap();
    assert!(answer == bytes, "{} of {} bytes", answer.len(), bytes.len());
}

#[test]
fn frames_come_back_wherever_they_are_cut() {
    let server = start("--handler frames");
    let payloads: [&[u8]; 4] = [b"", b"a", b"hello", &[0, 0, 0, 9]];
    let frames = payloads.map(|payload| [&(payload.len() as u32).to_be_bytes(), payload].concat());
    let bytes = frames.concat();
    let mut stream = connect(&server);
    for cut in 0..=bytes.len() {
        stream.write_all(&bytes[..cut]).unwrap();
        // What is whole comes back now, so that the server is known to have seen the cut.
        let ends = frames.iter().scan(0, |end, frame| {
            *end += frame.len();
            Some(*end)
        });
        let whole = ends.take_while(|end| *end <= cut).last().unwrap_or(0);
        let mut answer = vec![0; bytes.len()];
        stream.read_exact(&mut answer[..whole]).unwrap();
        stream.write_all(&bytes[cut..]).unwrap();
        stream.read_exact(&mut answer[whole..]).unwrap();
        assert_eq!(answer, bytes, "cut at {cut}");
    }
}

#[test]
fn frames_up_to_the_limit_come_back_and_larger_ones_end_the_connection() {
    let server = start("--handler frames");
    let largest = [&[0, 16, 0, 0], &*pattern(1024 * 1024)].concat();
    let mut stream = connect(&server);
    let mut writer = stream.try_clone().unwrap();
    let writing = thread::spawn(move || writer.write_all(&largest).unwrap());
    let mut answer = vec![0; 4 + 1024 * 1024];
    stream.read_exact(&mut answer).unwrap();
    assert!(answer[4..] == pattern(1024 * 1024));
    writing.join().unwrap();

    stream
        .write_all(b"\0\0\0\x02ok\0\x10\0\x01garbage")
        .unwrap();
    assert_eq!(
        read_to_end(&mut stream),
        "\0\0\0\x02ok",
        "what was right is answered"
    );
    server.send(Signal::TERM);
    drop(stream);
    let log = server.finish().log;
    assert!(
        log.contains("WARN") && log.contains("length=1048577"),
        "{log}"
    );
}

#[test]
fn http_answers_get_and_head() {
    let server = start("--handler http");
    let answer = ask(&server, "GET / HTTP/1.0\r\n\r\n");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.0 200 OK\r\n"), "{head}");
    assert!(
        head.contains(&format!("\r\nContent-Length: {}\r\n", body.len())),
        "{head}"
    );
    let request = "HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\n";
    assert_eq!(ask(&server, request), format!("{head}\r\n\r\n"));
    let answer = ask(&server, "GET /nowhere HTTP/1.0\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.0 404 "), "{answer}");
}

#[test]
fn http_refuses_what_it_does_not_understand() {
    let server = start("--handler http");
    for (request, status) in [
        ("nonsense\r\n\r\n", "400"),
        ("GET / HTTP/1.0\r\nno colon\r\n\r\n", "400"),
        ("\r\n\r\n", "400"),
        ("DELETE / HTTP/1.0\r\n\r\n", "501"),
    ] {
        let answer = ask(&server, request);
        assert!(
            answer.starts_with(&format!("HTTP/1.0 {status} ")),
            "{request:?}: {answer}"
        );
    }
}

#[test]
fn http_takes_a_request_byte_by_byte_and_from_a_client_that_half_closes() {
    let server = start("--handler http");
    let mut stream = connect(&server);
    for byte in "GET / HTTP/1.0\r\nAccept: */*\r\n\r\n".bytes() {
        stream.write_all(&[byte]).unwrap();
    }
    stream.shutdown(Shutdown::Write).unwrap();
    let answer = read_to_end(&mut stream);
    assert!(answer.starts_with("HTTP/1.0 200 OK\r\n"), "{answer}");

    let mut stream = connect(&server);
    stream.write_all(b"GET / HTTP/1.0\r\nAccept").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(
        read_to_end(&mut stream),
        "",
        "half a question has no answer"
    );
}

/// Closing over unread input makes a reset, which destroys an answer on its way.
#[test]
fn http_answers_a_head_without_end_and_lets_the_client_read_that() {
    let server = start("--handler http");
    let mut stream = connect(&server);
    let head = format!("GET / HTTP/1.0\r\nCookie: {}", "a".repeat(100_000));
    stream.write_all(head.as_bytes()).unwrap();
    let answer = read_to_end(&mut stream);
    assert!(answer.starts_with("HTTP/1.0 431 "), "{answer}");
    // Once another client is served, the server would have closed this connection if it did not
    // wait for us, and have answered the first of these by a reset.
    ask(&server, "GET / HTTP/1.0\r\n\r\n");
    stream.write_all(b"more").unwrap();
    stream.write_all(b"and more").unwrap();
}

#[test]
fn http_answers_later_from_another_thread() {
    let server = start("--handler http");
    let mut early = connect(&server);
    early.write_all(b"GET /primes HTTP/1.0\r\n\r\n").unwrap();
    early.shutdown(Shutdown::Write).unwrap();
    // Gone before the answer is ready.
    let mut gone = connect(&server);
    gone.write_all(b"GET /primes HTTP/1.0\r\n\r\n").unwrap();
    drop(gone);
    let answer = read_to_end(&mut early);
    assert!(
        answer.ends_with("\r\n\r\n9592 primes below 100000\n"),
        "{answer}"
    );
    let answer = ask(&server, "HEAD /primes HTTP/1.0\r\n\r\n");
    assert!(
        answer.ends_with("\r\nContent-Length: 25\r\nConnection: close\r\n\r\n"),
        "{answer}"
    );
}

#[test]
fn http_says_whether_it_can_reach_a_port_of_the_client() {
    let server = start("--handler http");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let request = format!("GET /reachable/{port} HTTP/1.0\r\n\r\n");
    let answer = ask(&server, &request);
    assert!(answer.ends_with("\r\n\r\nreachable\n"), "{answer}");
    drop(listener);
    let answer = ask(&server, &request);
    assert!(
        answer.contains("\r\n\r\nnot reachable: Connection refused"),
        "{answer}"
    );
}

#[test]
fn connections_beyond_the_limit_are_closed_until_one_has_ended() {
    let server = start("--handler echo --max-connections 2");
    let (mut first, mut second) = (connect(&server), connect(&server));
    exchange(&mut first, b"first");
    exchange(&mut second, b"second");
    assert!(is_closed(&mut connect(&server)));
    exchange(&mut first, b"as before");

    first.shutdown(Shutdown::Write).unwrap();
    assert!(is_closed(&mut first));
    exchange(&mut connect(&server), b"third");
    exchange(&mut second, b"as before");
}

#[test]
fn an_idle_connection_is_closed_and_a_busy_one_is_not() {
    let server = start("--handler echo --timeout 1");
    let (mut idle, mut busy) = (connect(&server), connect(&server));
    idle.set_nonblocking(true).unwrap();
    exchange(&mut busy, b"hello");
    let mut exchanges = 0_u64;
    while idle.peek(&mut [0]).is_err() {
        exchange(&mut busy, b"still here");
        exchanges += 1;
    }
    assert!(is_closed(&mut idle));
    exchange(&mut busy, b"longer than that");
    assert!(exchanges > 10, "closed after {exchanges} exchanges");
    assert!(is_closed(&mut busy), "now it is idle");
}

#[test]
fn a_server_out_of_descriptors_serves_those_it_has_and_recovers() {
    let server = Server::start_with_descriptors(raw_server().args(["--handler", "echo"]), 20);
    let mut first = connect(&server);
    exchange(&mut first, b"before");
    // Connecting succeeds for all of them, since the kernel does that; few are accepted.
    let mut others: Vec<TcpStream> = (0..20).map(|_| connect(&server)).collect();
    let mut last = others.pop().unwrap();
    last.write_all(b"when you can").unwrap();
    exchange(&mut first, b"meanwhile");
    drop(others);
    let mut answer = [0; 12];
    last.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"when you can");
    exchange(&mut first, b"afterwards");

    server.send(Signal::TERM);
    drop((first, last));
    let log = server.finish().log_of_success();
    assert_eq!(log.matches("cannot accept").count(), 1, "{log}");
}

#[test]
fn a_signal_stops_accepting_lets_output_go_out_and_ends_with_success() {
    for signal in [Signal::TERM, Signal::INT] {
        let server = start("--handler echo");
        let (mut stream, bytes) = (connect(&server), pattern(1024 * 1024));
        exchange(&mut stream, b"hello");
        let mut idle = connect(&server);
        // It comes back as fast as the kernel buffers allow, so the rest is queued by now.
        stream.write_all(&bytes[..256 * 1024]).unwrap();
        while stream.peek(&mut [0]).unwrap() == 0 {}
        server.send(signal);
        assert!(
            is_closed(&mut idle),
            "a connection with nothing queued ends at once"
        );
        assert!(TcpStream::connect(server.address()).is_err());
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        assert!(bytes.starts_with(&answer), "{} bytes", answer.len());
        drop((stream, idle));
        assert_eq!(server.finish().log_of_success(), "");
    }
}

#[test]
fn clients_that_never_close_delay_the_end_only_for_a_while_and_a_second_signal_not_at_all() {
    let servers = [(); 2].map(|()| start("--handler echo"));
    let mut clients = servers.each_ref().map(connect);
    for (server, client) in servers.iter().zip(&mut clients) {
        exchange(client, b"hello");
        server.send(Signal::TERM);
        assert!(is_closed(client));
    }
    let [mut patient, impatient] = servers;
    impatient.send(Signal::TERM);
    impatient.finish().log_of_success();
    assert!(!patient.has_ended(), "its client has not closed");
    patient.finish_within(TOO_LONG).log_of_success();
}

#[test]
fn a_port_in_use_is_an_error_that_names_it() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let output = Command::new(env!("CARGO_BIN_EXE_raw_server"))
        .args(["--port", &port])
        .output()
        .unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        message.contains(&format!("cannot listen on 127.0.0.1:{port}: ")),
        "{message}"
    );
}
