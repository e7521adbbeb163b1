//! The program as it is called, on little load. It wants two cores.

use std::net::TcpListener;
use std::process::{Command, Output};

use squall_benches::table::Table;

#[test]
fn http_is_measured_in_each_shape_with_its_peer() {
    let words = "http --peers raw --rounds 1 --slice 0.02 --connections 2,2x4,2@1000";
    let printed = succeed(&bench(words, &[RAW_HTTP]));
    for shape in ["2", "2x4", "2@1000"] {
        for subject in ["reference", "null", "raw", "raw_http"] {
            let is_row = |line: &&str| {
                let mut words = line.split('|').map(str::trim);
                words.nth(1) == Some(shape) && words.next() == Some(subject)
            };
            let row = printed.lines().find(is_row);
            let row = row.unwrap_or_else(|| panic!("no {subject} at {shape}: {printed}"));
            assert!(row.ends_with(" 130 |"), "{row}");
        }
    }
}

#[test]
fn echo_is_still_measured() {
    let words = "echo --peers none --rounds 1 --slice 0.02 --connections 2";
    assert!(succeed(&bench(words, &[RAW_ECHO])).contains("null"));
}

#[test]
fn frames_are_measured_with_their_digits() {
    let words = "frames --rounds 1 --slice 0.02 --connections 2,2x4";
    let printed = succeed(&bench(words, &[RAW_FRAMES]));
    for subject in ["reference", "null", "raw_frames"] {
        let rows = printed.lines().filter(|line| {
            let mut words = line.split('|').map(str::trim);
            words.nth(2) == Some(subject) && line.ends_with(" 110 |")
        });
        assert_eq!(rows.count(), 2, "{subject}: {printed}");
    }
}

#[test]
fn new_connections_and_full_ones_are_measured() {
    for (words, subject, way) in [
        (
            "accept --peers none --rounds 1 --slice 0.02",
            RAW_HTTP,
            "64",
        ),
        ("bulk --peers none --rounds 1", RAW_BULK, "received"),
    ] {
        let printed = succeed(&bench(words, &[subject]));
        let tables = Table::all_in(&printed);
        let ratio = tables[0].number([way, "null"], "ratio");
        assert!(ratio.is_some_and(|ratio| ratio > 0.0), "{printed}");
    }
}

#[test]
fn report_does_not_want_to_measure_before_it_says_what_the_goals_are() {
    let printed = succeed(&bench("report --sections none", &[]));
    assert!(printed.contains("to hyper, 64 connections"));
}

#[test]
fn server_of_one_process_is_not_killed() {
    let output = bench("kill --protocol frames --connections 2", &[RAW_FRAMES]);
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("one process"));
}

#[test]
fn rates_are_measured_as_sent_and_as_they_arrive() {
    let printed = succeed(&bench("rate --parts exact,fair --seconds 0.5", &[RAW_RATE]));
    for limit in ["20000 B/s", "1000000 B/s", "100000000 B/s"] {
        let row = numbers(&printed, limit);
        let [total, .., sent, pause] = row[..] else {
            panic!("{printed}");
        };
        // What a machine with other work does to the rate is not the bench's fault.
        assert!(total > 0.0 && sent > 0.0 && pause > 0.0, "{printed}");
    }
    let shapes = [
        "alike",
        "1 kB and 9 kB ",
        "1 kB and 9 kB, fast",
        "one never reads",
    ];
    for shape in shapes {
        assert_eq!(numbers(&printed, shape).len(), 2, "{printed}");
    }
}

#[test]
fn cost_of_a_rate_limit_is_measured_beside_the_same_writes_by_hand() {
    let words = "rate --parts cost --seconds 1 --rounds 1";
    let printed = succeed(&bench(words, &[RAW_RATE]));
    for shape in ["1 x 65536", "8 x 65536", "8 x 9000", "8 x 1000"] {
        let row = numbers(&printed, shape);
        assert!(
            row.len() == 6 && row.iter().all(|number| *number > 0.0),
            "{printed}"
        );
    }
}

#[test]
fn aria2_is_measured_or_named() {
    let printed = succeed(&bench("rate --parts exact --seconds 0.2", &["aria2c"]));
    if !printed.contains("left out: aria2c, which is not installed") {
        let row = printed
            .lines()
            .find(|line| line.starts_with("| 100000000 B/s"));
        assert!(row.is_some_and(|row| row.contains("aria2c")), "{printed}");
    }
}

#[test]
fn server_that_speaks_no_http_is_not_measured() {
    let words = "http --peers none --rounds 1 --slice 0.02 --connections 1";
    let output = bench(words, &[RAW_ECHO]);
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("no HTTP response"));
}

#[test]
fn foreign_server_is_found_measured_and_ended_with_its_children() {
    let address = free_address();
    let port = address.rsplit(':').next().unwrap();
    // The shell stays, with the server as its child, and nobody reads what that prints.
    let subject = format!("foreign@{address}=sh -c '{RAW_HTTP} --port {port} > /dev/null; true'");
    let words = "http --peers none --rounds 1 --slice 0.02 --connections 2";
    assert!(succeed(&bench(words, &[&subject])).contains("foreign"));
    // Or the next one would find the address taken.
    TcpListener::bind(&address).unwrap();
}

#[test]
fn address_that_somebody_has_is_not_measured() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let subject = format!("taken@{}=sleep 10", listener.local_addr().unwrap());
    let output = bench("idle --peers none --connections 1", &[&subject]);
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("already listens"));
}

/// What the row of `raw_rate` says of a limit or a shape; a dash is a number that is none.
fn numbers(printed: &str, start: &str) -> Vec<f64> {
    let is_row = |line: &&str| line.starts_with(&format!("| {start}")) && line.contains("raw_rate");
    let row = printed.lines().find(is_row);
    let (_, words) = row
        .unwrap_or_else(|| panic!("{printed}"))
        .split_once("raw_rate")
        .unwrap();
    let number = |word: &str| word.parse().unwrap_or(f64::NAN);
    let words = words.split_whitespace().filter(|word| *word != "|");
    words.map(number).collect()
}

fn bench(words: &str, subjects: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bench"));
    command.args(words.split(' '));
    for subject in subjects {
        command.args(["--subject", subject]);
    }
    command.output().unwrap()
}

fn succeed(output: &Output) -> String {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

const RAW_FRAMES: &str = env!("CARGO_BIN_EXE_raw_frames");

const RAW_HTTP: &str = env!("CARGO_BIN_EXE_raw_http");

const RAW_RATE: &str = env!("CARGO_BIN_EXE_raw_rate");

const RAW_ECHO: &str = env!("CARGO_BIN_EXE_raw_echo");

const RAW_BULK: &str = env!("CARGO_BIN_EXE_raw_bulk");
