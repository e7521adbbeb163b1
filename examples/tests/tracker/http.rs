//! Announces and scrapes over HTTP.

use std::io::{Read, Write};
use std::net::TcpStream;

use examples::bencode::Value;

use crate::server::{TOO_LONG, Tracker, announce};

#[test]
fn peers_are_told_of_one_another() {
    let server = Tracker::start(&["--interval", "60"]);
    let first = server.ask(&announce('a', 1, "left=5&event=started"));
    assert_eq!(first.peers(), []);
    assert_eq!(
        (first.number("interval"), first.number("min interval")),
        (60, 30)
    );
    let second = server.ask(&announce(
        'a',
        2,
        "left=0&uploaded=1&downloaded=2&compact=1",
    ));
    assert_eq!(second.peers(), [1]);
    assert_eq!(
        (second.number("complete"), second.number("incomplete")),
        (1, 1)
    );
    assert_eq!(
        server.ask(&announce('a', 3, "left=0")).peers(),
        [1],
        "a seed needs no seed"
    );
    assert_eq!(server.ask(&announce('a', 1, "left=5")).peers(), [2, 3]);
    assert_eq!(server.ask(&announce('b', 1, "left=5")).peers(), []);
    let done = server.ask(&announce('a', 1, "left=0&event=completed"));
    assert_eq!((done.number("downloaded"), done.number("complete")), (1, 3));
    server.ask(&announce('a', 1, "left=0&event=stopped"));
    assert_eq!(
        server.ask(&announce('a', 2, "left=0")).number("complete"),
        2
    );
}

#[test]
fn compact_is_the_default_and_a_list_has_ids_unless_asked_not_to() {
    let server = Tracker::start(&[]);
    server.ask(&announce('a', 7, "left=5"));
    for (more, has_id) in [
        ("", true),
        ("&no_peer_id=1", false),
        ("&no_peer_id=0", true),
    ] {
        let answer = server.ask(&announce('a', 8, &format!("left=5&compact=0{more}")));
        let value = answer.value();
        let peer = &value.get("peers").unwrap().list().unwrap()[0];
        assert_eq!(peer.get("ip").and_then(Value::text), Some("127.0.0.1"));
        assert_eq!(peer.get("port").and_then(Value::integer), Some(7));
        let id = peer.get("peer id").and_then(Value::bytes);
        assert_eq!(id, has_id.then_some(&[7; 20][..]), "{more}");
    }
    for more in ["left=5", "left=5&compact=1", "left=5&compact="] {
        assert_eq!(server.ask(&announce('a', 8, more)).peers(), [7]);
    }
}

#[test]
fn an_address_that_is_only_claimed_is_not_believed() {
    let server = Tracker::start(&[]);
    server.ask(&announce(
        'a',
        1,
        "left=5&ip=10.0.0.1&ipv4=10.0.0.2&ipv6=::5",
    ));
    let answer = server.ask(&announce('a', 2, "left=5"));
    assert_eq!(
        answer.value().get("peers").unwrap().bytes(),
        Some(&[127, 0, 0, 1, 0, 1][..])
    );
}

#[test]
fn peers_with_ipv6_are_in_a_string_of_their_own() {
    let Ok(probe) = std::net::TcpListener::bind("[::1]:0") else {
        return;
    };
    drop(probe);
    let server = Tracker::start_at("::1", &[]);
    server.ask(&announce('a', 1, "left=5"));
    let answer = server.ask(&announce('a', 2, "left=5"));
    let value = answer.value();
    assert_eq!(value.get("peers").unwrap().bytes(), Some(&b""[..]));
    let mut expected = [0; 18];
    (expected[15], expected[17]) = (1, 1);
    assert_eq!(value.get("peers6").unwrap().bytes(), Some(&expected[..]));
    let answer = server.ask(&announce('a', 2, "left=5&compact=0"));
    let value = answer.value();
    let peer = &value.get("peers").unwrap().list().unwrap()[0];
    assert_eq!(peer.get("ip").and_then(Value::text), Some("::1"));
}

#[test]
fn scrapes_say_how_many_there_are() {
    let server = Tracker::start(&[]);
    server.ask(&announce('a', 1, "left=5"));
    server.ask(&announce('a', 1, "left=0"));
    server.ask(&announce('b', 1, "left=5"));
    let hashes = ['b', 'c', 'a', 'b'].map(|torrent| torrent.to_string().repeat(20));
    let query: Vec<_> = hashes
        .iter()
        .map(|hash| format!("info_hash={hash}"))
        .collect();
    let answer = server.ask(&format!("/scrape?{}", query.join("&")));
    let value = answer.value();
    let files = value.get("files").unwrap();
    assert_eq!(files.dictionary().map(<[_]>::len), Some(3));
    let counts = |torrent: usize| {
        let file = files.get(&hashes[torrent]).unwrap();
        ["complete", "downloaded", "incomplete"].map(|key| file.get(key).unwrap().integer())
    };
    assert_eq!(counts(0), [Some(0), Some(0), Some(1)]);
    assert_eq!(counts(1), [Some(0), Some(0), Some(0)]);
    assert_eq!(counts(2), [Some(1), Some(1), Some(0)]);
}

/// Requests as programs send them, byte for byte but for the ids.
#[test]
fn what_clients_send_is_understood() {
    let server = Tracker::start(&[]);
    let hash = "%ea%0f%08!%83%01%02%03%04%05%06%07%08%09%0a%0b%0c%0d%0e%0f";
    let heads = [
        // libtorrent
        format!(
            "/announce?info_hash={hash}&peer_id=-LT2080-abcdefghijkl&port=16881&uploaded=0&downloaded=0&left=8388608&corrupt=0&key=AA28A6AF&event=started&numwant=200&compact=1&no_peer_id=1&redundant=0 HTTP/1.1\r\nHost: a\r\nUser-Agent: libtorrent/2.0.8\r\nAccept-Encoding: gzip\r\nConnection: close\r\n\r\n"
        ),
        // aria2, whose key is raw
        format!(
            "/announce?info_hash={}&peer_id=A2-1-36-0-%01%02%03%04%05%06%07%08%09%0A&uploaded=0&downloaded=0&left=8388608&compact=1&key=%F0%9F%01%02%03%04%05%06&numwant=50&no_peer_id=1&port=16891&event=started&supportcrypto=1 HTTP/1.1\r\nHost: a\r\nWant-Digest: SHA-512;q=1\r\nConnection: close\r\n\r\n",
            hash.to_uppercase()
        ),
        // ctorrent, in HTTP/1.0 and without Host
        format!(
            "/announce?info_hash={hash}&peer_id=%2DCD0303%2Dabcdefghijkl&port=16901&uploaded=0&downloaded=0&left=8388608&compact=1&numwant=100&event=started&key=x HTTP/1.0\r\nUser-Agent: Enhanced-CTorrent\r\n\r\n"
        ),
    ];
    for (before, head) in heads.iter().enumerate() {
        let answer = server.send(format!("GET {head}").as_bytes());
        let text = String::from_utf8_lossy(&answer).into_owned();
        assert!(text.starts_with("HTTP/1.1 200 "), "{text}");
        assert!(
            text.contains(&format!("incompletei{}e", before + 1)),
            "{text}"
        );
        assert!(text.contains(&format!("5:peers{}:", before * 6)), "{text}");
    }
}

#[test]
fn a_connection_that_is_kept_is_good_for_more_announces() {
    let server = Tracker::start(&[]);
    let mut stream = TcpStream::connect(server.program.address()).unwrap();
    stream.set_read_timeout(Some(TOO_LONG)).unwrap();
    for peer in 1..=3 {
        let request = format!(
            "GET {} HTTP/1.1\r\nHost: a\r\n\r\n",
            announce('a', peer, "left=1")
        );
        stream.write_all(request.as_bytes()).unwrap();
    }
    let mut answers = Vec::new();
    while answers.windows(5).filter(|bytes| bytes == b"peers").count() < 3 {
        let mut piece = [0; 4096];
        let count = stream.read(&mut piece).unwrap();
        assert_ne!(count, 0, "{}", answers.escape_ascii());
        answers.extend_from_slice(&piece[..count]);
    }
}

#[test]
fn the_page_shows_the_swarms_and_metrics_count() {
    let server = Tracker::start(&[]);
    server.ask(&announce('a', 1, "left=1"));
    server.ask(&announce('a', 2, "left=0"));
    let (status, page) = server.get("/");
    let page = String::from_utf8(page).unwrap();
    assert_eq!(status, 200);
    assert!(
        page.contains(&format!("<code>{}</code>", "61".repeat(20))),
        "{page}"
    );
    assert!(page.contains("<dd id=\"seeds\">1</dd>"), "{page}");
    assert_eq!(server.get("/index.html").0, 200);
    assert_eq!(server.metric("tracker_swarms"), 1);
    assert_eq!(server.metric("tracker_peers{kind=\"seed\"}"), 1);
    assert_eq!(server.metric("tracker_announces_total{over=\"http\"}"), 2);
}

/// In seconds of a real clock; only that it comes to an end is waited for.
#[test]
fn who_says_nothing_any_more_is_gone_and_who_does_is_not() {
    let server = Tracker::start(&["--interval", "2"]);
    server.ask(&announce('a', 1, "left=1"));
    loop {
        let answer = server.ask(&announce('a', 2, "left=1"));
        assert_eq!(answer.failure(), None);
        if answer.peers().is_empty() {
            break;
        }
    }
    assert!(server.metric("tracker_expired_total") >= 1);
    assert_eq!(
        server.ask(&announce('a', 2, "left=1")).number("incomplete"),
        1
    );
}

#[test]
fn nothing_is_logged_of_announces() {
    let server = Tracker::start(&[]);
    server.ask(&announce('a', 1, "left=1"));
    server.ask("/announce");
    let log = server.program.log_after_interrupt();
    assert!(log.lines().all(|line| line.contains("drain")), "{log}");
}
