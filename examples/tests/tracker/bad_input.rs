//! What bad input gets. Each row has a test; where it is not here, its file is named.
//!
//! | input | answer | test |
//! |---|---|---|
//! | no HTTP, too long a line or field, two lengths, another method | 400, 414, 431, 405, and closed | `what_is_no_http_is_refused_and_the_connection_closed` |
//! | an unknown path | 404 | `an_unknown_path_is_404` |
//! | an item without a value | as if it were empty | `an_item_without_a_value_is_not_an_error` |
//! | an info hash, id, port, `left` or event that is missing or wrong, a bad escape | 200, a reason | `an_announce_that_is_not_complete_is_told_so` |
//! | a torrent that is not allowed | 200, a reason | `what_is_not_on_the_list_is_refused_until_it_is` in `catalogue.rs` |
//! | another key than before | 200, a reason, nothing changes | `another_key_changes_nothing`; `a_key_is_the_same_over_udp_and_http` in `udp.rs` |
//! | fewer than no peers wanted, or no number; too many; none | 50; 200; none | `a_bad_number_of_peers_wanted_is_the_default` |
//! | who was not there leaves | 200, nobody, no new swarm | `who_stops_what_is_not_known_creates_nothing` |
//! | an unknown torrent, while all are allowed | a new swarm, up to a limit | `swarms_and_peers_have_a_limit` |
//! | a scrape of what is not known | noughts, no new swarm | `a_scrape_of_what_is_not_known_has_noughts_as_over_udp` |
//! | over UDP: what is short, or comes without its id | silence | `what_is_short_or_unproven_is_answered_with_silence` in `udp.rs` |
//! | over UDP: what cannot be taken | an error | `what_cannot_be_taken_is_answered_with_an_error` in `udp.rs` |
//!
//! What peers say to each other has such a table in `src/bin/peer/tests/bad_input.rs`.

use crate::server::{Tracker, announce};

#[test]
fn what_is_no_http_is_refused_and_the_connection_closed() {
    let server = Tracker::start(&[]);
    let status = |request: &[u8]| String::from_utf8_lossy(&server.send(request)[..12]).into_owned();
    assert_eq!(status(b"\x13BitTorrent protocol\r\n\r\n"), "HTTP/1.1 400");
    let long = "a".repeat(10_000);
    let target = format!("GET /announce?{long} HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(status(target.as_bytes()), "HTTP/1.1 414");
    let field = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {long}\r\n\r\n");
    assert_eq!(status(field.as_bytes()), "HTTP/1.1 431");
    let twice = b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 1\r\n\r\n";
    assert_eq!(status(twice), "HTTP/1.1 400");
    let post = b"POST /announce HTTP/1.0\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(status(post), "HTTP/1.1 405");
}

#[test]
fn an_unknown_path_is_404() {
    let server = Tracker::start(&[]);
    for path in ["/nowhere", "/announce/", "/announce2", "//announce"] {
        assert_eq!(server.get(path).0, 404, "{path}");
    }
}

#[test]
fn an_item_without_a_value_is_not_an_error() {
    let server = Tracker::start(&[]);
    let answer = server.ask(&announce('a', 1, "left=1&x&&corrupt&event"));
    assert_eq!(answer.failure(), None);
}

/// Each with status 200, as clients do not show the body of others.
#[test]
fn an_announce_that_is_not_complete_is_told_so() {
    let server = Tracker::start(&[]);
    let (hash, id) = ("a".repeat(20), "b".repeat(20));
    let query = |hash: &str, id: &str, rest: &str| {
        format!("/announce?info_hash={hash}&peer_id={id}&{rest}")
    };
    let good = "port=1&left=1";
    for (target, parameter) in [
        ("/announce".to_owned(), "info_hash"),
        (format!("/announce?peer_id={id}&{good}"), "info_hash"),
        (query("", &id, good), "info_hash"),
        (query(&hash[1..], &id, good), "info_hash"),
        (query(&format!("{hash}a"), &id, good), "info_hash"),
        (query(&format!("{}%g0", &hash[1..]), &id, good), "info_hash"),
        (query(&format!("{}%", &hash[1..]), &id, good), "info_hash"),
        (format!("/announce?info_hash={hash}&{good}"), "peer_id"),
        (query(&hash, &id[1..], good), "peer_id"),
        (query(&hash, &id, "left=1"), "port"),
        (query(&hash, &id, "port=&left=1"), "port"),
        (query(&hash, &id, "port=0&left=1"), "port"),
        (query(&hash, &id, "port=65536&left=1"), "port"),
        (query(&hash, &id, "port=-1&left=1"), "port"),
        (query(&hash, &id, "port=+80&left=1"), "port"),
        (query(&hash, &id, "port=1"), "left"),
        (query(&hash, &id, "port=1&left="), "left"),
        (query(&hash, &id, "port=1&left=-1"), "left"),
        (query(&hash, &id, "port=1&left=many"), "left"),
        (
            query(&hash, &id, "port=1&left=99999999999999999999"),
            "left",
        ),
        (query(&hash, &id, "port=1&left=1&event=begun"), "event"),
        (query(&hash, &id, "port=1&left=1&key=%zz"), "key"),
    ] {
        let reason = server.ask(&target).failure();
        let reason = reason.unwrap_or_else(|| panic!("{target}"));
        assert!(reason.starts_with(parameter), "{target}: {reason}");
    }
    assert_eq!(server.metric("tracker_refused_total"), 22);
    assert_eq!(server.metric("tracker_swarms"), 0);
}

#[test]
fn every_event_there_is_is_taken() {
    let server = Tracker::start(&[]);
    for event in ["", "started", "completed", "paused", "stopped"] {
        let answer = server.ask(&announce('a', 1, &format!("left=1&event={event}")));
        assert_eq!(answer.failure(), None, "{event}");
    }
}

#[test]
fn another_key_changes_nothing() {
    let server = Tracker::start(&[]);
    server.ask(&announce('a', 1, "left=1&key=mine"));
    for key in ["yours", "", "%6dind"] {
        for event in ["", "stopped"] {
            let more = format!("left=0&key={key}&event={event}");
            let answer = server.ask(&announce('a', 1, &more));
            let reason = answer.failure().unwrap();
            assert_eq!(reason, "the key is not the one given before");
        }
    }
    let answer = server.ask(&announce('a', 2, "left=1"));
    assert_eq!(
        (answer.number("incomplete"), answer.number("complete")),
        (2, 0)
    );
    // The same bytes, however they are written.
    assert_eq!(
        server.ask(&announce('a', 1, "left=0&key=%6Dine")).failure(),
        None
    );
}

#[test]
fn a_bad_number_of_peers_wanted_is_the_default() {
    let server = Tracker::start(&[]);
    for peer in 1..=250 {
        server.ask(&announce('a', peer, "left=1&numwant=0"));
    }
    let told = |wanted: &str| {
        let answer = server.ask(&announce('a', 251, &format!("left=1{wanted}")));
        // Nobody twice, nobody else; all have the same address.
        let value = answer.value();
        let peers = value.get("peers").unwrap().bytes().unwrap().chunks_exact(6);
        let mut ports: Vec<_> = peers
            .map(|peer| u16::from_be_bytes([peer[4], peer[5]]))
            .collect();
        ports.sort_unstable();
        assert!(ports.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(ports.iter().all(|port| (1..=250).contains(port)));
        ports.len()
    };
    for (wanted, expected) in [
        ("", 50),
        ("&numwant=", 50),
        ("&numwant=-1", 50),
        ("&numwant=x", 50),
        ("&numwant=99999999999999999999", 50),
        ("&numwant=201", 200),
        ("&numwant=200", 200),
        ("&numwant=3", 3),
        ("&numwant=0", 0),
    ] {
        assert_eq!(told(wanted), expected, "{wanted}");
    }
}

#[test]
fn who_stops_what_is_not_known_creates_nothing() {
    let server = Tracker::start(&[]);
    let answer = server.ask(&announce('a', 1, "left=1&event=stopped"));
    assert_eq!((answer.failure(), answer.peers()), (None, vec![]));
    let scraped = server.ask(&format!("/scrape?info_hash={}", "b".repeat(20)));
    assert_eq!(scraped.failure(), None);
    assert_eq!(server.metric("tracker_swarms"), 0);
}

#[test]
fn swarms_and_peers_have_a_limit() {
    let server = Tracker::start(&["--max-swarms", "2", "--max-peers", "3"]);
    let failure = |torrent, peer| server.ask(&announce(torrent, peer, "left=1")).failure();
    assert_eq!(
        [failure('a', 1), failure('b', 1), failure('a', 2)],
        [None, None, None]
    );
    let full = Some("this tracker is full".to_owned());
    assert_eq!((failure('c', 1), failure('a', 3)), (full.clone(), full));
    assert_eq!(failure('a', 2), None);
}

#[test]
fn a_scrape_of_what_is_not_known_has_noughts_as_over_udp() {
    let server = Tracker::start(&[]);
    let hash = "b".repeat(20);
    let answer = server.ask(&format!("/scrape?info_hash={hash}"));
    let value = answer.value();
    let counts = value.get("files").unwrap().get(hash).unwrap();
    for key in ["complete", "incomplete", "downloaded"] {
        assert_eq!(counts.get(key).unwrap().integer(), Some(0));
    }
    for bad in ["/scrape", "/scrape?info_hash=b", "/scrape?info_hash=%"] {
        assert!(server.ask(bad).failure().is_some(), "{bad}");
    }
    let many = format!("info_hash={}&", "b".repeat(20)).repeat(75);
    assert!(server.ask(&format!("/scrape?{many}")).failure().is_some());
}
