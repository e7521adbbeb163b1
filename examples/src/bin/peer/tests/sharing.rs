//! Whole downloads, from peers of every kind.

use std::rc::Rc;
use std::time::Duration;

use ioloop::{IoLoop, timeout};

use super::support::{PIECES, Remote, Torrent, connect, is_right, now};
use crate::bitfield::Bitfield;
use crate::layout::BLOCK;
use crate::session::Session;
use crate::swarm::Swarm;
use crate::wire::Message;

async fn completes(swarm: &Swarm) {
    let result = timeout(Duration::from_secs(600), swarm.completed()).await;
    result.expect("it stands still");
    assert!(is_right(swarm));
}

#[test]
fn what_is_downloaded_is_not_another_than_what_was_seeded() {
    ioloop::testing::run(async {
        let torrent = Torrent::new("download");
        let seed = torrent.seed(&Session::new(None, None));
        let leech = torrent.leech(&Session::new(None, None));
        connect(&seed, &leech, 1);
        completes(&leech).await;
        assert_eq!(leech.left(), 0);
        assert_eq!(leech.state.borrow().down.total(), torrent.layout.length());
        assert_eq!(seed.state.borrow().up.total(), torrent.layout.length());
        assert_eq!(leech.state.borrow().wasted, 0);
        // Two who have everything part.
        ioloop::sleep(Duration::from_secs(10)).await;
        assert!(leech.state.borrow().peers.is_empty() && seed.state.borrow().peers.is_empty());
    });
}

#[test]
fn leeches_that_never_see_the_seed_do_not_go_without() {
    ioloop::testing::run(async {
        let torrent = Torrent::new("chain");
        let seed = torrent.seed(&Session::new(Some(200_000), None));
        let leeches: Vec<Rc<Swarm>> = (0..3)
            .map(|_| torrent.leech(&Session::new(None, None)))
            .collect();
        for swarm in leeches.iter().chain([&seed]) {
            IoLoop::current()
                .spawn(Rc::clone(swarm).run_rounds())
                .detach();
        }
        connect(&seed, &leeches[0], 1);
        connect(&leeches[0], &leeches[1], 2);
        connect(&leeches[1], &leeches[2], 3);
        for leech in &leeches {
            completes(leech).await;
        }
        assert_eq!(seed.state.borrow().up.total(), torrent.layout.length());
    });
}

#[test]
fn halves_from_two_do_not_stay_halves() {
    ioloop::testing::run(async {
        let torrent = Torrent::new("halves");
        let leech = torrent.leech(&Session::new(None, None));
        let torrent = Rc::new(torrent);
        for parity in 0..2 {
            let mut has = Bitfield::new(PIECES);
            (0..PIECES)
                .filter(|piece| piece % 2 == parity)
                .for_each(|piece| assert!(has.add(piece)));
            let data = Rc::clone(&torrent);
            let remote = Remote::join(&leech, parity as u8 + 1);
            let serve = remote.serve(has, move |block| data.data(block).to_vec());
            IoLoop::current().spawn(serve).detach();
        }
        completes(&leech).await;
    });
}

#[test]
fn every_piece_is_told_to_everybody() {
    ioloop::testing::run(async {
        let torrent = Torrent::new("have");
        let seed = torrent.seed(&Session::new(None, None));
        let leech = torrent.leech(&Session::new(None, None));
        let mut watcher = Remote::join(&leech, 9);
        connect(&seed, &leech, 1);
        let mut told = Bitfield::new(PIECES);
        while !told.is_full() {
            if let Message::Have(piece) = watcher.hear().await.unwrap() {
                assert!(told.add(piece), "twice");
                assert!(leech.storage.is_right(piece), "told before it is here");
            }
        }
    });
}

#[test]
fn a_liar_on_its_own_is_not_let_in_again() {
    ioloop::testing::run(async {
        let torrent = Torrent::new("liar");
        let session = Session::new(None, None);
        let leech = torrent.leech(&session);
        let liar = Remote::join(&leech, 66);
        let serve = liar.serve(torrent.all(), |block| vec![0; block.length as usize]);
        // How many more it sends meanwhile is a matter of how soon the first piece is hashed.
        assert!(serve.await >= torrent.layout.blocks(0));
        assert!(session.is_banned([10, 0, 0, 66].into()));
        assert!(Remote::join(&leech, 66).hear().await.is_err());
        connect(&torrent.seed(&Session::new(None, None)), &leech, 1);
        completes(&leech).await;
    });
}

#[test]
fn a_liar_among_honest_ones_is_found_and_nobody_else_is_blamed() {
    ioloop::testing::run(async {
        let torrent = Rc::new(Torrent::new("blame"));
        let session = Session::new(None, None);
        let leech = torrent.leech(&session);
        for number in [1, 2, 66] {
            let remote = Remote::join(&leech, number);
            let data = Rc::clone(&torrent);
            // One bit in each block of the liar's.
            let serve = remote.serve(torrent.all(), move |block| {
                let mut bytes = data.data(block).to_vec();
                bytes[5] ^= u8::from(number == 66);
                bytes
            });
            IoLoop::current().spawn(serve).detach();
        }
        completes(&leech).await;
        assert!(session.is_banned([10, 0, 0, 66].into()));
        assert!(
            !session.is_banned([10, 0, 0, 1].into()) && !session.is_banned([10, 0, 0, 2].into())
        );
        assert!(leech.state.borrow().wasted > 0);
    });
}

#[test]
fn who_lies_and_falls_silent_is_found_out_by_the_right_bytes() {
    ioloop::testing::run(async {
        let torrent = Rc::new(Torrent::new("silent-liar"));
        let session = Session::new(None, None);
        let leech = torrent.all_but_the_first(&session);
        let mut liar = Remote::join(&leech, 66);
        liar.say(&Message::Bitfield(torrent.all()));
        liar.say(&Message::Unchoke);
        let is_request = |message: &Message| matches!(message, Message::Request(_));
        let asked = liar.expect(is_request).await;
        let Message::Request(block) = asked else {
            unreachable!("it is one");
        };
        // Some of the piece from each, so that it is not known who has sent what is wrong in it.
        liar.say(&Message::Piece(block, vec![1; block.length as usize]));
        liar.say(&Message::Choke);
        let honest = Remote::join(&leech, 1);
        let data = Rc::clone(&torrent);
        let serve = honest.serve(torrent.all(), move |block| data.data(block).to_vec());
        IoLoop::current().spawn(serve).detach();
        completes(&leech).await;
        assert!(session.is_banned([10, 0, 0, 66].into()));
        assert!(!session.is_banned([10, 0, 0, 1].into()));
    });
}

#[test]
fn in_the_end_a_slow_seed_is_not_waited_for() {
    ioloop::testing::run(async {
        let torrent = Torrent::new("endgame");
        let leech = torrent.leech(&Session::new(None, None));
        let mut slow = Remote::join(&leech, 1);
        slow.say(&Message::Bitfield(torrent.all()));
        slow.say(&Message::Unchoke);
        slow.expect(|message| matches!(message, Message::Request(_)))
            .await;
        connect(&torrent.seed(&Session::new(None, None)), &leech, 2);
        let before = now();
        completes(&leech).await;
        assert!(now() - before < Duration::from_secs(1));
        slow.expect(|message| matches!(message, Message::Cancel(_)))
            .await;
    });
}

#[test]
fn a_limit_is_not_exceeded_and_is_shared_equally() {
    for count in [1, 4, 8] {
        ioloop::testing::run(async move {
            let torrent = Torrent::new(&format!("limit{count}"));
            let limit = 1_000_000;
            let seed = torrent.seed(&Session::new(Some(limit), None));
            let mut downloads = Vec::new();
            for number in 1..=count {
                let remote = Remote::join(&seed, number);
                downloads.push(IoLoop::current().spawn(take(remote, Duration::from_secs(20))));
            }
            let mut shares = Vec::new();
            for download in downloads {
                shares.push(download.await);
            }
            let total: u64 = shares.iter().sum();
            let expected = limit * 20;
            assert!(
                total.abs_diff(expected) < expected / 50,
                "{total} of {expected}"
            );
            let mean = total / u64::from(count);
            assert!(
                shares.iter().all(|share| share.abs_diff(mean) < mean / 50),
                "{shares:?}"
            );
        });
    }
}

/// Asks for blocks all the time; how many bytes have come in that time.
async fn take(mut remote: Remote, time: Duration) -> u64 {
    remote.say(&Message::Interested);
    remote.expect(|message| *message == Message::Unchoke).await;
    let request = |number: u32| {
        Message::Request(crate::layout::Block {
            piece: number / 4 % (PIECES - 1),
            begin: number % 4 * BLOCK,
            length: BLOCK,
        })
    };
    (0..16).for_each(|number| remote.say(&request(number)));
    let (end, mut bytes, mut next) = (now() + time, 0, 16);
    while let Ok(message) = timeout(end - now(), remote.hear()).await {
        if let Message::Piece(_, data) = message.unwrap() {
            bytes += 13 + data.len() as u64;
            remote.say(&request(next));
            next += 1;
        }
    }
    bytes
}

#[test]
fn a_download_limit_is_kept() {
    ioloop::testing::run(async {
        let torrent = Torrent::new("download-limit");
        let limit = 50_000;
        let seed = torrent.seed(&Session::new(None, None));
        let leech = torrent.leech(&Session::new(None, Some(limit)));
        connect(&seed, &leech, 1);
        let before = now();
        completes(&leech).await;
        let seconds = (now() - before).as_secs_f64();
        let ideal = torrent.layout.length() as f64 / limit as f64;
        assert!(
            (ideal..ideal * 1.05).contains(&seconds),
            "{seconds} instead of {ideal}"
        );
    });
}

#[test]
fn who_has_no_disk_does_not_go_on() {
    ioloop::testing::run(async {
        let torrent = Torrent::new("disk");
        let leech = torrent.leech(&Session::new(None, None));
        // Where a file should be is a folder by now.
        let path = leech.storage.paths().next().unwrap().to_owned();
        std::fs::create_dir_all(path).unwrap();
        connect(&torrent.seed(&Session::new(None, None)), &leech, 1);
        let failure = leech.failed().await;
        assert!(failure.contains("data: "), "{failure}");
        ioloop::sleep(Duration::from_secs(10)).await;
        assert!(leech.state.borrow().peers.is_empty());
    });
}

#[test]
fn a_seed_whose_files_are_gone_does_not_go_on() {
    ioloop::testing::run(async {
        let torrent = Torrent::new("gone");
        let seed = torrent.seed(&Session::new(None, None));
        for path in seed.storage.paths() {
            std::fs::remove_file(path).unwrap();
        }
        connect(&seed, &torrent.leech(&Session::new(None, None)), 1);
        let failure = seed.failed().await;
        assert!(failure.contains("data: "), "{failure}");
        ioloop::sleep(Duration::from_secs(10)).await;
        assert!(seed.state.borrow().peers.is_empty());
    });
}
