//! What the examples say on the command line: where they listen, and why they do not.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::net::TcpListener;
use std::process::{Command, Output, Stdio};

use squall_tests::{Server, example};

/// Programs, with the word in front of their flags if they have one.
const EXAMPLES: [&str; 4] = ["echo", "chat", "raw_server", "framed serve"];

#[test]
fn port_zero_is_not_what_is_printed() {
    for name in EXAMPLES {
        let server = Server::start(&mut command(name));
        assert_ne!(server.address().port(), 0);
        server.connect();
    }
}

// Others than Linux have to be told of a second loopback address first.
#[cfg(target_os = "linux")]
#[test]
fn an_address_that_was_chosen_is_not_replaced_by_another() {
    for name in EXAMPLES {
        let server = Server::start(command(name).args(["--address", "127.0.0.2"]));
        assert_eq!(server.address().ip().to_string(), "127.0.0.2");
    }
}

#[test]
fn a_flag_that_is_not_known_is_not_ignored() {
    for name in EXAMPLES {
        for flags in [
            &["--prot", "8888"][..],
            &["--port", "many"],
            &["--port", "65536"],
            &["--port"],
            &["--address", "nowhere"],
            &["8888"],
            &["-x"],
        ] {
            let output = run(name, flags);
            let complaint = one_line(&output);
            assert_eq!(output.status.code(), Some(2), "{flags:?}: {complaint}");
            assert!(complaint.starts_with(&format!("{name}: ")), "{complaint}");
        }
    }
    let output = run("raw_server", &["--handler", "gopher"]);
    let complaint = one_line(&output);
    assert!(complaint.contains("--handler"), "{complaint}");
    assert!(!output.status.success());
}

#[test]
fn a_busy_port_is_not_a_riddle() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    for name in EXAMPLES {
        let output = run(name, &["--port", &address.port().to_string()]);
        let complaint = one_line(&output);
        assert_eq!(output.status.code(), Some(1), "{complaint}");
        let sentence = format!("cannot listen on {address}: ");
        let (_, reason) = complaint.split_once(&sentence).expect(&complaint);
        assert!(reason.to_lowercase().contains("in use"), "{complaint}");
        assert_eq!(String::from_utf8_lossy(&output.stdout), "");
    }
}

#[test]
fn an_address_of_another_machine_is_not_a_riddle() {
    for name in EXAMPLES {
        let output = run(name, &["--address", "198.51.100.77", "--port", "0"]);
        let complaint = one_line(&output);
        assert_eq!(output.status.code(), Some(1), "{complaint}");
        assert!(
            complaint.contains("cannot listen on 198.51.100.77:0: "),
            "{complaint}"
        );
    }
}

#[test]
fn help_is_not_an_error() {
    for name in EXAMPLES {
        let output = run(name, &["--help"]);
        let help = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && output.stderr.is_empty());
        assert!(help.starts_with(&format!("usage: {name} --address A --port P")));
    }
}

fn run(name: &str, flags: &[&str]) -> Output {
    let mut command = command(name);
    command.args(flags).stdin(Stdio::null()).output().unwrap()
}

fn command(name: &str) -> Command {
    let mut words = name.split(' ');
    let mut command = Command::new(example(words.next().unwrap()));
    command.args(words);
    command
}

/// One sentence: no backtrace, no list of causes.
fn one_line(output: &Output) -> String {
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(text.lines().count(), 1, "{text}");
    text
}
