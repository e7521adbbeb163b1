//! A server out of descriptors: those inside are served, those outside wait, and nothing spins.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::fs;
use std::io::ErrorKind;
use std::time::Duration;

use squall_tests::{Client, Server, Signal, start_with_descriptors};

#[test]
fn a_flood_does_not_disturb_those_inside_or_lock_out_the_others_for_good() {
    for name in ["echo", "raw_server"] {
        let mut server = start_with_descriptors(name, 40);
        let mut inside: Vec<Client> = (0..20).map(|_| server.connect()).collect();
        inside
            .iter_mut()
            .for_each(|client| client.exchange("hello"));

        // All of them get a connection, since the kernel makes those; few are accepted.
        let mut flood: Vec<Client> = (0..100).map(|_| server.connect()).collect();
        flood
            .iter_mut()
            .for_each(|client| client.say("let me in\n"));
        server.wait_for_log("cannot accept");
        for _ in 0..50 {
            inside
                .iter_mut()
                .for_each(|client| client.exchange("served"));
        }

        let mut last = flood.pop().unwrap();
        let before = cpu_time(&server);
        assert!(
            !is_answered_within_a_second(&last),
            "100 do not fit into 40"
        );
        let spent = cpu_time(&server) - before;
        assert!(
            spent < Duration::from_millis(100),
            "{name} spins: {spent:?} in a second"
        );

        inside
            .iter_mut()
            .for_each(|client| client.exchange("served"));
        drop((flood, inside));
        last.expect("let me in\n");
        server.connect().exchange("as before");
        server.send(Signal::TERM);
        drop(last);
        let log = server.finish().log_of_success();
        assert_eq!(log.matches("cannot accept").count(), 1, "{log}");
    }
}

fn is_answered_within_a_second(client: &Client) -> bool {
    let usual = client.socket().read_timeout().unwrap();
    let second = Some(Duration::from_secs(1));
    client.socket().set_read_timeout(second).unwrap();
    let answer = client.socket().peek(&mut [0]);
    client.socket().set_read_timeout(usual).unwrap();
    !answer.is_err_and(|error| matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock))
}

/// What the process has used of a processor; nothing where that cannot be found out.
fn cpu_time(server: &Server) -> Duration {
    let path = format!("/proc/{}/schedstat", server.id());
    let text = fs::read_to_string(path).unwrap_or_default();
    let nanoseconds = text.split(' ').next().and_then(|first| first.parse().ok());
    Duration::from_nanos(nanoseconds.unwrap_or(0))
}
