//! The echo server: lines in, lines out, whatever clients do.

use std::io::{ErrorKind, Write};
use std::thread;
use std::time::Duration;

use socket2::SockRef;
use squall_tests::{Client, Signal, start};

#[test]
fn lines_sent_without_waiting_are_not_lost_or_reordered() {
    let server = start("echo");
    let mut client = server.connect();
    let lines: String = (0..20_000).map(line).collect();
    let mut writer = client.socket().try_clone().unwrap();
    let sent = lines.clone();
    let writing = thread::spawn(move || writer.write_all(sent.as_bytes()).unwrap());
    client.expect(&lines);
    writing.join().unwrap();
}

#[test]
fn a_line_does_not_come_back_in_pieces_before_its_end_has_arrived() {
    let server = start("echo");
    let mut client = server.connect();
    for byte in "slowly".chars() {
        client.say(&byte.to_string());
    }
    // Another client is answered in between, and shows that the server has seen those bytes.
    server.connect().exchange("quick");
    client.socket().set_nonblocking(true).unwrap();
    let early = client.socket().peek(&mut [0]);
    assert_eq!(early.unwrap_err().kind(), ErrorKind::WouldBlock);
    client.socket().set_nonblocking(false).unwrap();
    client.say("\nand at once\n");
    client.expect("slowly\nand at once\n");
}

#[test]
fn a_line_of_just_the_limit_is_not_refused() {
    let server = start("echo");
    let mut client = server.connect();
    client.exchange(&"a".repeat(4095));
    client.exchange("and on");
}

#[test]
fn a_line_beyond_the_limit_does_not_stay_open_or_take_the_answers_before_it() {
    let server = start("echo");
    let mut client = server.connect();
    client.say("before\n");
    client.say(&"a".repeat(4096));
    assert_eq!(client.rest(), "before\n");
    server.connect().exchange("others go on");

    server.send(Signal::TERM);
    let ending = server.finish();
    let [complaint] = ending.complaints()[..] else {
        panic!("{}", ending.log);
    };
    assert!(complaint.contains("handle_stream failed"), "{complaint}");
    assert!(complaint.contains("4096"), "{complaint}");
}

#[test]
fn a_client_that_half_closes_does_not_lose_its_answers() {
    let server = start("echo");
    let mut client = server.connect();
    let lines: String = (0..1000).map(line).collect();
    client.say(&lines);
    client.half_close();
    assert!(client.rest() == lines);
    // What is not a line is not answered.
    let mut client = server.connect();
    client.say("whole\nhalf");
    client.half_close();
    assert_eq!(client.rest(), "whole\n");
}

#[test]
fn clients_do_not_wait_for_one_another() {
    let server = start("echo");
    let mut clients: Vec<Client> = (0..200).map(|_| server.connect()).collect();
    for round in 0..20 {
        // Everybody has spoken before anybody is heard, and every second one has only begun to.
        for (index, client) in clients.iter_mut().enumerate() {
            client.say(&format!("{round} of {index}"));
            client.say(if index % 2 == 0 { "\n" } else { " and" });
        }
        for (index, client) in clients.iter_mut().enumerate().step_by(2) {
            client.expect(&format!("{round} of {index}\n"));
        }
        for (index, client) in clients.iter_mut().enumerate().skip(1).step_by(2) {
            client.say(" more\n");
            client.expect(&format!("{round} of {index} and more\n"));
        }
    }
}

#[test]
fn clients_that_vanish_do_not_disturb_others_or_fill_the_log() {
    let server = start("echo");
    let mut witness = server.connect();
    for round in 0..100 {
        let mut client = server.connect();
        match round % 4 {
            0 => {}
            1 => client.exchange("hello"),
            2 => client.say("not read\nnot read\n"),
            _ => client.exchange("reset"),
        }
        if round % 4 == 3 {
            let now = Some(Duration::ZERO);
            SockRef::from(client.socket()).set_linger(now).unwrap();
        }
        drop(client);
        witness.exchange("still here");
    }
    server.send(Signal::TERM);
    let ending = server.finish();
    assert_eq!(ending.complaints(), [""; 0]);
    ending.log_of_success();
}

#[test]
fn a_client_that_does_not_read_is_not_answered_from_an_endless_memory() {
    let server = start("echo");
    let mut client = server.connect();
    let lines: String = (0..400_000).map(line).collect();
    assert!(lines.len() > 32 * 1024 * 1024);
    // The sockets' buffers fill up, then the server's, and then it reads no more.
    let patience = Some(Duration::from_millis(300));
    client.socket().set_write_timeout(patience).unwrap();
    let mut sent = 0;
    while let Ok(count) = client.socket().write(&lines.as_bytes()[sent..]) {
        sent += count;
    }
    assert!(sent < lines.len(), "the server takes everything");
    server.connect().exchange("others are answered");

    let mut writer = client.socket().try_clone().unwrap();
    writer.set_write_timeout(None).unwrap();
    let rest = lines[sent..].to_owned();
    let writing = thread::spawn(move || writer.write_all(rest.as_bytes()).unwrap());
    client.expect(&lines);
    writing.join().unwrap();
}

/// Lines of many lengths, none like its neighbours.
fn line(number: usize) -> String {
    format!("{number} {}\n", "x".repeat(number % 171))
}
