//! What is left after the end, whichever end it was.

use std::fs;
use std::process::{Command, Stdio};

use test_support::Signal;

use crate::server::{Folder, Tracker, announce};

fn start(folder: &Folder) -> Tracker {
    Tracker::start(&["--state", &folder.path("state"), "--save-every", "1"])
}

#[test]
fn peers_are_known_again_after_an_orderly_end() {
    let folder = Folder::new("orderly");
    let server = start(&folder);
    server.ask(&announce('a', 1, "left=1&key=k"));
    server.ask(&announce('a', 2, "left=1"));
    server.ask(&announce('a', 2, "left=0"));
    server.program.log_after_interrupt();
    let server = start(&folder);
    let answer = server.ask(&announce('a', 3, "left=1"));
    assert_eq!(answer.peers(), [1, 2]);
    assert_eq!(
        (answer.number("downloaded"), answer.number("complete")),
        (1, 1)
    );
    assert!(
        server.ask(&announce('a', 1, "left=1")).failure().is_some(),
        "the key is kept"
    );
}

/// Again and again, if possible while the new file lies beside the old one: there is always a
/// whole one.
#[test]
fn a_kill_while_it_saves_does_not_damage_the_state() {
    let folder = Folder::new("killed");
    for round in 1..=5 {
        let server = start(&folder);
        for torrent in ['a', 'b', 'c'] {
            for peer in 1..=60 {
                server.ask(&announce(torrent, peer, "left=1&numwant=0"));
            }
        }
        let saved = || {
            fs::metadata(folder.path("state"))
                .and_then(|file| file.modified())
                .ok()
        };
        let mut saves = Vec::new();
        while saves.len() < 3 && (saves.len() < 2 || !fs::exists(folder.path("state.new")).unwrap())
        {
            if saves.last() != Some(&saved()) {
                saves.push(saved());
            }
        }
        server.program.send(Signal::KILL);
        drop(server);
        let server = start(&folder);
        assert_eq!(server.metric("tracker_swarms"), 3, "round {round}");
        assert_eq!(
            server.metric("tracker_peers{kind=\"leecher\"}"),
            180,
            "round {round}"
        );
        let log = server.program.log_after_interrupt();
        assert!(!log.contains("damaged"), "{log}");
    }
}

#[test]
fn a_damaged_state_costs_what_is_damaged_and_is_said() {
    let folder = Folder::new("damaged");
    let server = start(&folder);
    for torrent in ['a', 'b', 'c'] {
        server.ask(&announce(torrent, 1, "left=1"));
    }
    server.program.log_after_interrupt();
    let state = fs::read(folder.path("state")).unwrap();
    for (damaged, swarms) in [
        (state[..state.len() - 1].to_vec(), 2),
        (state[..30].to_vec(), 0),
        (b"nonsense".to_vec(), 0),
        (Vec::new(), 0),
    ] {
        fs::write(folder.path("state"), damaged).unwrap();
        let server = Tracker::start(&["--state", &folder.path("state")]);
        assert_eq!(server.metric("tracker_swarms"), swarms);
        let log = server.program.log_after_interrupt();
        assert!(log.contains("state is damaged"), "{log}");
    }
}

#[test]
fn a_state_that_cannot_be_read_is_not_overwritten() {
    let folder = Folder::new("unreadable");
    fs::create_dir(folder.path("state")).unwrap();
    let ended = Command::new(env!("CARGO_BIN_EXE_tracker"))
        .args(["--port", "0", "--state", &folder.path("state")])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    assert!(!ended.unwrap().success());
}
