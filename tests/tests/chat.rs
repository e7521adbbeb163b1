//! The chat room: who is heard, who is told, and who is put out.

use squall_tests::{Client, Server, Signal, start};

#[test]
fn nothing_that_is_said_is_missed_by_anybody() {
    let server = start("chat");
    let mut ann = join(&server, "ann", "ann");
    let mut bob = join(&server, "bob", "ann, bob");
    assert_eq!(ann.line(), "* bob joins");
    ann.say("hello\r\n");
    bob.say("hello yourself\n");
    let mut said = [ann.line(), ann.line()];
    said.sort();
    assert_eq!(said, ["ann: hello", "bob: hello yourself"]);
    said = [bob.line(), bob.line()];
    said.sort();
    assert_eq!(said, ["ann: hello", "bob: hello yourself"]);
    bob.half_close();
    assert_eq!(ann.line(), "* bob leaves");
    assert_eq!(bob.rest(), "");
}

#[test]
fn a_name_is_not_given_twice_until_its_owner_has_left() {
    let server = start("chat");
    let mut ann = join(&server, "ann", "ann");
    let mut other = server.connect();
    other.say("ann\n");
    assert_eq!(other.rest(), format!("your name? {REFUSAL}"));
    ann.half_close();
    assert_eq!(ann.rest(), "");
    join(&server, "ann", "ann");
}

#[test]
fn what_is_not_a_name_is_not_shown_to_others() {
    let server = start("chat");
    let mut ann = join(&server, "ann", "ann");
    let too_long = "x".repeat(21);
    for name in ["", " ", "two words", "\x1b[2J", "*", &too_long] {
        let mut client = server.connect();
        client.say(&format!("{name}\n"));
        assert_eq!(client.rest(), format!("your name? {REFUSAL}"), "{name:?}");
    }
    // Who leaves at the question was never there.
    drop(server.connect());
    join(&server, "Ωμέγα", "ann, Ωμέγα");
    assert_eq!(ann.line(), "* Ωμέγα joins");
}

#[test]
fn a_line_without_end_does_not_fill_the_memory() {
    let server = start("chat");
    let mut ann = join(&server, "ann", "ann");
    let mut bob = join(&server, "bob", "ann, bob");
    assert_eq!(ann.line(), "* bob joins");
    bob.say(&"a".repeat(1024));
    assert_eq!(ann.line(), "* bob leaves");
    assert_eq!(bob.rest(), "");
}

#[test]
fn who_vanishes_does_not_stay_in_the_room() {
    let server = start("chat");
    let mut ann = join(&server, "ann", "ann");
    for _ in 0..20 {
        let bob = join(&server, "bob", "ann, bob");
        assert_eq!(ann.line(), "* bob joins");
        drop(bob);
        assert_eq!(ann.line(), "* bob leaves");
    }
    server.send(Signal::TERM);
    assert_eq!(ann.rest(), "* the room closes\n");
    let ending = server.finish();
    assert_eq!(ending.complaints(), [""; 0]);
    ending.log_of_success();
}

#[test]
fn a_member_who_does_not_read_does_not_hold_up_the_others() {
    let server = start("chat");
    let mut ann = join(&server, "ann", "ann");
    let mut bob = join(&server, "bob", "ann, bob");
    let mut idle = join(&server, "idle", "ann, bob, idle");
    assert_eq!(ann.line(), "* bob joins");
    assert_eq!(ann.line(), "* idle joins");
    assert_eq!(bob.line(), "* idle joins");

    // Each waits for every line, so a line held up by the third would stop them for ever.
    let said = said_until_dropped(&mut ann, &mut bob);
    let heard = idle.rest();
    assert!(heard.starts_with("ann: 0 "), "{heard:.40?}");
    assert!(heard.lines().count() < said, "what had fitted, and no more");
    ann.say("as before\n");
    assert_eq!(ann.line(), "ann: as before");
    assert_eq!(bob.line(), "ann: as before");
}

/// Has one speak and both listen until both have heard that somebody left. Returns how many lines
/// that took.
fn said_until_dropped(ann: &mut Client, bob: &mut Client) -> usize {
    let (mut said, mut has_left) = (0, [false; 2]);
    while has_left != [true; 2] {
        assert!(said < LINES_MAX, "it is not dropped");
        let lines: Vec<String> = (said..said + BATCH).map(line).collect();
        lines.iter().for_each(|line| ann.say(&format!("{line}\n")));
        for (member, has_left) in [&mut *ann, &mut *bob].into_iter().zip(&mut has_left) {
            for line in &lines {
                let mut heard = member.line();
                if heard == "* idle leaves" {
                    *has_left = true;
                    heard = member.line();
                }
                assert!(
                    heard == format!("ann: {line}"),
                    "{heard:.40}, not {line:.40}"
                );
            }
        }
        said += BATCH;
    }
    said
}

fn line(number: usize) -> String {
    format!("{number} {}", "x".repeat(900))
}

fn join(server: &Server, name: &str, members: &str) -> Client {
    let mut client = server.connect();
    client.expect("your name? ");
    client.say(&format!("{name}\n"));
    assert_eq!(client.line(), format!("* here: {members}"));
    client
}

const REFUSAL: &str = "taken, or not 1 to 20 letters and digits\n";

/// Said without waiting: less than the 64 KiB that the room keeps for a member.
const BATCH: usize = 20;

/// 50 MiB, which no system's socket buffers hold.
const LINES_MAX: usize = 50_000;
