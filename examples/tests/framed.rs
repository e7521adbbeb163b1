//! The program `framed` as its clients see it, and its own client.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use test_support::{Server, Signal};

/// Longer than anything here takes: who waits for it has found a bug.
const TOO_LONG: Duration = Duration::from_secs(60);

fn start(flags: &[&str]) -> Server {
    Server::start(&mut framed("serve", flags))
}

fn connect(server: &Server) -> Client {
    let stream = TcpStream::connect(server.address()).unwrap();
    stream.set_read_timeout(Some(TOO_LONG)).unwrap();
    stream.set_write_timeout(Some(TOO_LONG)).unwrap();
    stream.set_nodelay(true).unwrap();
    Client { stream }
}

/// What `framed send` does with this input.
fn sent(server: &Server, input: &[u8]) -> Output {
    let port = server.address().port().to_string();
    send(&["--port", &port], input)
}

struct Client {
    stream: TcpStream,
}

impl Client {
    fn say(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).unwrap();
    }

    fn ask(&mut self, request: &[u8]) -> Vec<u8> {
        self.say(frame(request));
        self.reply()
    }

    fn reply(&mut self) -> Vec<u8> {
        let mut reply = vec![0; self.length_of_reply()];
        self.stream.read_exact(&mut reply).unwrap();
        reply
    }

    fn length_of_reply(&mut self) -> usize {
        let mut header = [0; 10];
        self.stream.read_exact(&mut header).unwrap();
        std::str::from_utf8(&header).unwrap().parse().unwrap()
    }

    /// Everything up to an orderly end; a reset fails.
    fn rest(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.stream.read_to_end(&mut bytes).unwrap();
        bytes
    }
}

/// Formatted by another than the program's own code.
fn frame(bytes: &[u8]) -> Vec<u8> {
    [format!("{:010}", bytes.len()).as_bytes(), bytes].concat()
}

fn framed(command: &str, flags: &[&str]) -> Command {
    let mut framed = Command::new(env!("CARGO_BIN_EXE_framed"));
    framed.arg(command).args(flags);
    framed.env_remove("RUST_LOG").env("NO_COLOR", "1");
    framed
}

fn send(flags: &[&str], input: &[u8]) -> Output {
    let mut child = framed("send", flags)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    child.wait_with_output().unwrap()
}

/// Bytes that show a piece that is lost, doubled or misplaced.
fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|index| (index % 251) as u8).collect()
}

#[test]
fn frames_do_not_come_back_changed_wherever_they_are_cut() {
    let server = start(&[]);
    let bytes = [frame(b"hello"), frame(&pattern(3))].concat();
    let mut client = connect(&server);
    for cut in 0..=bytes.len() {
        client.say(&bytes[..cut]);
        // The reply to the first shows that the server has seen the cut.
        if cut >= 15 {
            assert_eq!(client.reply(), b"hello", "cut at {cut}");
        }
        client.say(&bytes[cut..]);
        if cut < 15 {
            assert_eq!(client.reply(), b"hello", "cut at {cut}");
        }
        assert_eq!(client.reply(), pattern(3), "cut at {cut}");
    }
}

#[test]
fn pipelined_frames_are_not_answered_out_of_order() {
    let server = start(&[]);
    let mut client = connect(&server);
    let requests: Vec<Vec<u8>> = (1..1000).map(pattern).collect();
    let mut all = frame(b"sleep 50");
    requests
        .iter()
        .for_each(|request| all.extend(frame(request)));
    client.say(&all);
    assert_eq!(client.reply(), b"", "an empty reply is one");
    for request in requests {
        assert!(client.reply() == request, "{} bytes", request.len());
    }
    client.stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(client.rest(), b"");
}

#[test]
fn what_was_asked_before_the_client_half_closed_is_not_dropped() {
    let server = start(&[]);
    let mut client = connect(&server);
    client.say([frame(b"sleep 100"), frame(b"hello"), b"00000".to_vec()].concat());
    client.stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(client.rest(), [frame(b""), frame(b"hello")].concat());
}

#[test]
fn a_malformed_header_is_not_taken_for_a_length() {
    let server = start(&[]);
    for header in [
        "+000000005hello",
        "+5",
        " 000000005",
        "5         ",
        "0x00000005",
        "00000000ff",
        "-000000005",
        "000000005\n",
        "٥٥٥٥٥",
        "００００００００００",
        "0000000000",
    ] {
        let mut client = connect(&server);
        client.say([frame(b"ok"), header.as_bytes().to_vec()].concat());
        assert_eq!(client.rest(), frame(b"ok"), "{header}");
    }
    let log = server.log_after_interrupt();
    assert_eq!(log.matches("the length is not all digits").count(), 10);
    assert_eq!(log.matches("an empty request").count(), 1, "{log}");
}

/// Refused before its bytes have come, and yet no reset destroys what the client was owed or hits
/// it in the middle of sending.
#[test]
fn a_frame_over_the_limit_is_not_read_and_not_answered_by_a_reset() {
    let server = start(&["--max-frame", "1000"]);
    let mut client = connect(&server);
    assert!(client.ask(&pattern(1000)) == pattern(1000));
    client.say([frame(b"before"), b"0000001001".to_vec()].concat());
    assert_eq!(client.rest(), frame(b"before"));
    // It still sends, and is not hit.
    client.say(pattern(1001));

    let mut client = connect(&server);
    client.say(frame(&pattern(20_000_000)));
    assert_eq!(client.rest(), b"");
    let output = sent(&server, &pattern(20_000_000));
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(
        message,
        "framed: the server has closed the connection without a reply\n"
    );
    assert_eq!(output.status.code(), Some(1));
    drop(client);
    let log = server.log_after_interrupt();
    assert!(log.contains("20000000"), "{log}");
}

#[test]
fn a_client_that_stops_before_in_or_after_the_header_is_not_kept() {
    let server = start(&["--read-timeout", "0.5"]);
    let starts = ["", "00000", "0000000005", "0000000005hell"];
    let mut clients = starts.map(|start| {
        let mut client = connect(&server);
        assert_eq!(client.ask(b"first"), b"first");
        client.say(start);
        client
    });
    let mut never = connect(&server);
    let mut working = connect(&server);
    working.say(frame(b"sleep 1000"));
    for (client, start) in clients.iter_mut().zip(starts) {
        assert_eq!(client.rest(), b"", "{start}");
    }
    assert_eq!(never.rest(), b"", "nothing was ever said");
    assert_eq!(working.reply(), b"", "our own time does not count");
    let log = server.log_after_interrupt();
    let complaints = log.matches("deadline has passed").count();
    assert_eq!(complaints, 3, "silence between frames is no fault: {log}");
}

/// Paced by another client, which is not held up by it: 50 pieces at 30 ms each, three times what
/// a request may take.
#[test]
fn a_slow_reader_of_50_mb_does_not_lose_a_byte_or_hold_up_others() {
    let mut server = start(&["--read-timeout", "0.5"]);
    let mut slow = connect(&server);
    slow.say([frame(b"repeat 50000000 x"), frame(b"and then?")].concat());
    assert_eq!(slow.length_of_reply(), 50_000_000);
    // Not before: to make so long a reply may take a busy machine as long as silence is allowed.
    let mut other = connect(&server);
    assert_eq!(other.ask(b"here"), b"here");
    server.send(Signal::USR1);
    assert!(server.log_line().ends_with(": 2 connections"));
    let line = server.log_line();
    let had = between(&line, "had=", " ").parse::<usize>().unwrap();
    assert!(line.contains(" state=writing wanted=50000000 "), "{line}");
    assert!(had < 45_000_000, "the server waits for the reader: {line}");
    let mut piece = vec![0; 1_000_000];
    for _ in 0..50 {
        slow.stream.read_exact(&mut piece).unwrap();
        assert!(piece.iter().all(|byte| *byte == b'x'));
        assert_eq!(other.ask(b"sleep 30"), b"");
    }
    assert_eq!(slow.reply(), b"and then?");
}

#[test]
fn slow_work_does_not_hold_up_others() {
    let server = start(&[]);
    let mut slow = [(); 20].map(|()| connect(&server));
    slow.iter_mut()
        .for_each(|client| client.say(frame(b"sleep 2000")));
    let mut quick = connect(&server);
    for _ in 0..100 {
        assert_eq!(quick.ask(b"hello"), b"hello");
    }
    slow[0].stream.set_nonblocking(true).unwrap();
    let error = slow[0].stream.peek(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WouldBlock, "it is not done yet");
    slow[0].stream.set_nonblocking(false).unwrap();
    for client in &mut slow {
        assert_eq!(client.reply(), b"");
    }
}

#[test]
fn a_function_that_panics_does_not_end_the_server() {
    let server = start(&[]);
    let (mut failing, mut other) = (connect(&server), connect(&server));
    failing.say([frame(b"before"), frame(b"fail"), frame(b"after")].concat());
    assert_eq!(failing.rest(), frame(b"before"));
    assert_eq!(other.ask(b"hello"), b"hello");
}

#[test]
fn no_connection_is_missing_from_the_status_or_says_something_else() {
    let mut server = start(&[]);
    server.send(Signal::USR1);
    let id = server.id();
    assert_eq!(server.log_line(), format!("process {id}: 0 connections"));
    let mut clients = ["", "00000", "0000000012hello", "0000000010sleep 5000"].map(|start| {
        let mut client = connect(&server);
        client.ask(b"hello");
        client.say(start);
        client
    });
    // What came before this was seen by the server.
    connect(&server).ask(b"sleep 50");
    server.send(Signal::USR1);
    let heading = server.log_line();
    let expected = [
        "idle wanted=10 had=0",
        "header wanted=10 had=5",
        "body wanted=12 had=5",
        "working wanted=0 had=0",
    ];
    for (client, state) in clients.iter_mut().zip(expected) {
        let line = server.log_line();
        let peer = client.stream.local_addr().unwrap();
        assert!(
            line.starts_with(&format!("{peer} state={state} age=")),
            "{line}"
        );
    }
    if heading.ends_with(": 5 connections") {
        // The one that has left may not be gone yet.
        server.log_line();
    }
    drop(clients);
}

#[test]
#[cfg(target_os = "linux")]
fn the_status_of_several_processes_does_not_leave_one_out() {
    let mut server = start(&["--processes", "3"]);
    assert!(server.log_line().contains("started the workers"));
    let mut client = connect(&server);
    client.ask(b"hello");
    client.say("00000");
    server.send(Signal::USR1);
    let mut lines: Vec<String> = (0..4).map(|_| server.log_line()).collect();
    lines.sort();
    let peer = client.stream.local_addr().unwrap();
    assert!(lines[0].starts_with(&format!("{peer} state=")), "{lines:?}");
    let are = |count: &str| lines.iter().filter(|line| line.ends_with(count)).count();
    assert_eq!((are(": 0 connections"), are(": 1 connections")), (2, 1));
    let log = server.log_after_interrupt();
    assert_eq!(log.matches("drained").count(), 3, "{log}");
}

#[test]
fn a_log_line_does_not_lack_its_file_and_line() {
    let mut server = Server::start(framed("serve", &[]).env("RUST_LOG", "debug"));
    let mut client = connect(&server);
    client.ask(b"hello");
    let peer = client.stream.local_addr().unwrap();
    drop(client);
    let line = server.log_line();
    assert!(line.contains(&format!(" peer={peer}")), "{line}");
    let number = between(&line, ".rs:", ":").parse::<u32>();
    assert!(number.is_ok(), "{line}");
    server.log_after_interrupt();
}

#[test]
fn an_interrupt_does_not_lose_a_request_or_wait_for_half_of_one() {
    let server = start(&[]);
    let mut clients = [
        "",
        "0000000012hello",
        "0000000009sleep 500",
        "0000000009sleep 5000000000002ok",
    ]
    .map(|start| {
        let mut client = connect(&server);
        client.ask(b"hello");
        client.say(start);
        client
    });
    connect(&server).ask(b"sleep 50");
    server.send(Signal::INT);
    let [idle, half, working, both] = &mut clients;
    assert_eq!(idle.rest(), b"");
    assert_eq!(half.rest(), b"");
    assert_eq!(working.rest(), frame(b""));
    assert_eq!(both.rest(), [frame(b""), frame(b"ok")].concat());
    assert!(TcpStream::connect(server.address()).is_err());
    let log = server.finish().log_of_success();
    assert!(log.contains(" cut=0"), "{log}");
}

#[test]
fn send_does_not_alter_what_goes_in_or_comes_out() {
    let server = start(&[]);
    for (input, reply) in [
        (pattern(10_000_000), pattern(10_000_000)),
        (b"sleep 1".to_vec(), Vec::new()),
        (b"repeat 3 x".to_vec(), b"xxx".to_vec()),
    ] {
        let output = sent(&server, &input);
        assert!(output.status.success() && output.stderr.is_empty());
        assert!(output.stdout == reply, "{} bytes", output.stdout.len());
    }
}

#[test]
fn send_does_not_call_a_failure_a_reply() {
    let server = start(&[]);
    for request in [&b""[..], b"fail"] {
        let output = sent(&server, request);
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(output.stdout, b"");
    }
    // Somebody else's server: a reply that is cut short, or none of ours.
    for reply in ["0000000005hell", "HTTP/1.1 400 Bad Request\r\n\r\n"] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port().to_string();
        let serving = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.read_exact(&mut [0; 15]).unwrap();
            stream.write_all(reply.as_bytes()).unwrap();
        });
        let output = send(&["--port", &port], b"hello");
        assert_eq!(output.status.code(), Some(1), "{reply}");
        assert_eq!(output.stdout, b"");
        serving.join().unwrap();
    }
    let port = server.address().port().to_string();
    drop(server);
    let output = send(&["--port", &port], b"hello");
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(message.contains("refused"), "{message}");
    assert_eq!(message.lines().count(), 1);
}

#[test]
fn a_command_line_that_is_wrong_is_not_guessed_at() {
    for (words, complaint) in [
        (&[][..], "framed: the first word must be serve or send"),
        (&["receive"], "framed: the first word must be serve or send"),
        (
            &["--port", "1"],
            "framed: the first word must be serve or send",
        ),
        (&["send", "--max-frame", "1"], "framed send: "),
        (
            &["serve", "--max-frame", "much"],
            "framed serve: --max-frame",
        ),
        (
            &["serve", "--read-timeout", "-1"],
            "framed serve: --read-timeout",
        ),
        (&["serve", "serve"], "framed serve: "),
    ] {
        let mut framed = Command::new(env!("CARGO_BIN_EXE_framed"));
        let output = framed.args(words).stdin(Stdio::null()).output().unwrap();
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{words:?}: {message}");
        assert!(message.starts_with(complaint), "{message}");
        assert_eq!(message.lines().count(), 1, "{message}");
    }
    for words in [&["--help"][..], &["serve", "--help"], &["send", "--help"]] {
        let mut framed = Command::new(env!("CARGO_BIN_EXE_framed"));
        let output = framed.args(words).output().unwrap();
        let help = String::from_utf8(output.stdout).unwrap();
        assert!(
            output.status.success() && help.starts_with("usage: framed s"),
            "{help}"
        );
    }
}

/// What stands between two words of a text.
fn between<'a>(text: &'a str, start: &str, end: &str) -> &'a str {
    let (_, rest) = text.split_once(start).unwrap();
    rest.split_once(end).unwrap().0
}
