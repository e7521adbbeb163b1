//! The list of torrents that are allowed, and the folder.

use std::fs;

use test_support::Signal;

use crate::server::{Folder, Tracker, announce};

fn hex(torrent: char) -> String {
    format!("{:02x}", torrent as u32).repeat(20)
}

#[test]
fn what_is_not_on_the_list_is_refused_until_it_is() {
    let folder = Folder::new("allowed");
    let list = folder.path("list");
    fs::write(&list, format!("# allowed\n{}\n", hex('a'))).unwrap();
    let mut server = Tracker::start(&["--allow-file", &list]);
    let failure = |torrent| server.ask(&announce(torrent, 1, "left=1")).failure();
    assert_eq!(failure('a'), None);
    let reason = failure('b').unwrap();
    assert_eq!(reason, "this torrent is not allowed on this tracker");
    assert_eq!(server.metric("tracker_swarms"), 1);

    fs::write(&list, hex('b')).unwrap();
    server.program.send(Signal::HUP);
    while failure('b').is_some() {}
    assert!(failure('a').is_some());

    // A list that cannot be read is no reason to let everybody in, nor to keep everybody out.
    fs::remove_file(&list).unwrap();
    server.program.send(Signal::HUP);
    server
        .program
        .wait_for_log("cannot read the lists of torrents again");
    let failure = |torrent| server.ask(&announce(torrent, 1, "left=1")).failure();
    assert_eq!(failure('b'), None);
    assert!(failure('c').is_some());
}

#[test]
fn torrents_of_the_folder_are_allowed_and_can_be_fetched() {
    let folder = Folder::new("folder");
    let info = format!(
        "d6:lengthi3e4:name5:a<b>c12:piece lengthi16384e6:pieces20:{}e",
        "h".repeat(20)
    );
    let torrent = format!("d4:info{info}e");
    fs::write(folder.path("a.torrent"), &torrent).unwrap();
    fs::write(folder.path("broken.torrent"), "d4:info").unwrap();
    fs::write(folder.path("readme.txt"), "no torrent").unwrap();
    let hash = examples::info_hash::InfoHash::of(info.as_bytes());
    let query: String = hash.0.iter().map(|byte| format!("%{byte:02X}")).collect();

    let server = Tracker::start(&["--torrents", folder.0.to_str().unwrap()]);
    let target = format!(
        "/announce?info_hash={query}&peer_id={}&port=1&left=1",
        "p".repeat(20)
    );
    assert_eq!(server.ask(&target).failure(), None);
    assert!(server.ask(&announce('a', 1, "left=1")).failure().is_some());
    let file = format!("/file?info_hash={query}");
    assert_eq!(server.get(&file), (200, torrent.into_bytes()));
    assert_eq!(
        server.get(&format!("/file?info_hash={}", "a".repeat(20))).0,
        404
    );
    assert_eq!(
        (server.get("/file").0, server.get("/file?info_hash=a").0),
        (400, 400)
    );
    let (_, page) = server.get("/");
    let page = String::from_utf8(page).unwrap();
    assert!(page.contains("a&#60;b&#62;c"), "{page}");

    // Another torrent in the same file is not what was asked for.
    fs::write(
        folder.path("a.torrent"),
        "d4:infod6:lengthi0e4:name1:t12:piece lengthi1e6:pieces0:ee",
    )
    .unwrap();
    assert_eq!(server.get(&file).0, 404);
    let log = server.program.log_after_interrupt();
    assert!(log.contains("broken.torrent: not bencode"), "{log}");
}
