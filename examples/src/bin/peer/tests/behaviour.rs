//! What one peer may do to us, and what it may not.

use std::time::Duration;

use ioloop::IoLoop;

use super::support::{PIECES, Remote, Torrent, greeting, knock, now};
use crate::layout::{BLOCK, Block};
use crate::session::{HANDSHAKE_TIMEOUT, Session};
use crate::wire::Message;

pub(super) fn block(piece: u32, number: u32) -> Block {
    Block {
        piece,
        begin: number * BLOCK,
        length: BLOCK,
    }
}

#[test]
fn whether_we_are_here_can_be_found_out_without_a_name() {
    ioloop::testing::run(async {
        let torrent = Torrent::new("probe");
        let session = Session::new(None, None);
        let swarm = torrent.seed(&session);
        let mut client = knock(&session, &greeting(&swarm)[..48]).await;
        let answer = client.read_bytes(68).await.unwrap();
        assert_eq!(answer[28..48], swarm.info_hash.0);
        assert_eq!(answer[48..], session.peer_id);
        // But nobody waits for the name for ever.
        let before = now();
        assert_eq!(client.read_until_close(100).await.unwrap(), b"");
        assert_eq!(now() - before, HANDSHAKE_TIMEOUT);
    });
}

#[test]
fn nobody_gets_blocks_who_may_not_ask_and_nobody_is_cut_for_asking() {
    ioloop::testing::run(async {
        let torrent = Torrent::new("choked");
        let swarm = torrent.seed(&Session::new(None, None));
        let mut remote = Remote::join(&swarm, 1);
        remote.say(&Message::Request(block(0, 0)));
        assert_eq!(
            remote.hear().await.unwrap(),
            Message::Bitfield(torrent.all())
        );
        remote.say(&Message::Interested);
        assert_eq!(remote.hear().await.unwrap(), Message::Unchoke);
        remote.say(&Message::Request(block(3, 2)));
        let data = torrent.data(block(3, 2)).to_vec();
        assert_eq!(
            remote.hear().await.unwrap(),
            Message::Piece(block(3, 2), data)
        );
        remote.say(&Message::NotInterested);
        remote.say(&Message::Request(block(0, 0)));
        assert_eq!(
            remote.hear_for(Duration::from_secs(5)).await,
            [Message::Choke]
        );
    });
}

#[test]
fn a_cancelled_block_is_not_sent() {
    ioloop::testing::run(async {
        let torrent = Torrent::new("cancel");
        let swarm = torrent.seed(&Session::new(Some(100_000), None));
        let mut remote = Remote::join(&swarm, 1);
        remote.say(&Message::Interested);
        for number in 0..3 {
            remote.say(&Message::Request(block(0, number)));
        }
        remote
            .expect(|message| matches!(message, Message::Piece(sent, _) if sent.begin == 0))
            .await;
        remote.say(&Message::Cancel(block(0, 2)));
        let heard = remote.hear_for(Duration::from_secs(5)).await;
        assert_eq!(heard.len(), 1, "{heard:?}");
        assert!(matches!(&heard[0], Message::Piece(sent, _) if *sent == block(0, 1)));
    });
}

#[test]
fn a_block_that_waits_for_its_turn_is_not_sent_when_it_is_cancelled_or_choked_then() {
    for is_choked in [false, true] {
        ioloop::testing::run(async move {
            let torrent = Torrent::new(&format!("turn-{is_choked}"));
            let swarm = torrent.seed(&Session::new(Some(15_000), None));
            let mut remote = Remote::join(&swarm, 1);
            remote.say(&Message::Interested);
            remote.expect(|message| *message == Message::Unchoke).await;
            remote.say(&Message::Request(block(0, 0)));
            remote.say(&Message::Request(block(0, 1)));
            remote
                .expect(|message| matches!(message, Message::Piece(..)))
                .await;
            // The next one cannot go before the last bytes of this one are paid.
            if is_choked {
                remote.say(&Message::NotInterested);
            } else {
                remote.say(&Message::Cancel(block(0, 1)));
            }
            let heard = remote.hear_for(Duration::from_secs(5)).await;
            let is_block = |message: &Message| matches!(message, Message::Piece(..));
            assert!(!heard.iter().any(is_block));
        });
    }
}

#[test]
fn a_block_is_not_cut_by_other_messages_however_slowly_it_goes() {
    ioloop::testing::run(async {
        let torrent = Torrent::new("whole");
        // A block takes more than a second, in a dozen turns.
        let swarm = torrent.seed(&Session::new(Some(15_000), None));
        let mut remote = Remote::join(&swarm, 1);
        remote.say(&Message::Interested);
        remote.expect(|message| *message == Message::Unchoke).await;
        for number in 0..4 {
            remote.say(&Message::Request(block(0, number)));
        }
        let chatty = swarm.clone();
        let talking = IoLoop::current().spawn(async move {
            for piece in 0..PIECES {
                let link = chatty
                    .state
                    .borrow()
                    .peers
                    .values()
                    .next()
                    .unwrap()
                    .link
                    .clone();
                link.send(&Message::Have(piece));
                ioloop::sleep(Duration::from_millis(300)).await;
            }
        });
        let (mut blocks, mut others) = (0, 0);
        while blocks < 4 || others < PIECES {
            match remote.hear().await.unwrap() {
                Message::Piece(sent, data) => {
                    assert_eq!(sent, block(0, blocks));
                    assert_eq!(data, torrent.data(sent));
                    blocks += 1;
                }
                Message::Have(piece) => {
                    assert_eq!(piece, others);
                    others += 1;
                }
                other => panic!("{other:?}"),
            }
        }
        talking.await;
    });
}

#[test]
fn a_choke_does_not_cut_the_block_that_goes_out_and_drops_the_others() {
    ioloop::testing::run(async {
        let torrent = Torrent::new("choke");
        let swarm = torrent.seed(&Session::new(Some(15_000), None));
        let mut remote = Remote::join(&swarm, 1);
        remote.say(&Message::Interested);
        remote.expect(|message| *message == Message::Unchoke).await;
        for number in 0..4 {
            remote.say(&Message::Request(block(0, number)));
        }
        ioloop::sleep(Duration::from_millis(500)).await;
        let link = swarm
            .state
            .borrow()
            .peers
            .values()
            .next()
            .unwrap()
            .link
            .clone();
        link.set_unchoked(false);
        let heard = remote.hear_for(Duration::from_secs(10)).await;
        assert!(matches!(&heard[0], Message::Piece(sent, _) if *sent == block(0, 0)));
        assert_eq!(heard[1..], [Message::Choke]);
    });
}

#[test]
fn a_peer_that_says_nothing_is_not_kept_and_one_that_hears_nothing_is_told() {
    ioloop::testing::run(async {
        let torrent = Torrent::new("silence");
        let swarm = torrent.leech(&Session::new(None, None));
        IoLoop::current().spawn(swarm.clone().run_rounds()).detach();
        let mut remote = Remote::join(&swarm, 1);
        let before = now();
        assert_eq!(remote.rest().await, [Message::KeepAlive]);
        assert_eq!(now() - before, Duration::from_secs(180));
    });
}

#[test]
fn who_owes_blocks_is_not_waited_for_longer_than_thirty_seconds() {
    ioloop::testing::run(async {
        let torrent = Torrent::new("snub");
        let swarm = torrent.leech(&Session::new(None, None));
        IoLoop::current().spawn(swarm.clone().run_rounds()).detach();
        let mut lazy = Remote::join(&swarm, 1);
        lazy.say(&Message::Bitfield(torrent.all()));
        lazy.say(&Message::Unchoke);
        let asked = lazy.hear_for(Duration::from_secs(25)).await;
        let owed = asked
            .iter()
            .filter(|message| matches!(message, Message::Request(_)))
            .count();
        assert!(owed > 0);
        let then = lazy.hear_for(Duration::from_secs(16)).await;
        let taken_back = then
            .iter()
            .filter(|message| matches!(message, Message::Cancel(_)));
        assert_eq!(taken_back.count(), owed);
        let asked_again = then
            .iter()
            .filter(|message| matches!(message, Message::Request(_)));
        assert_eq!(asked_again.count(), 1, "one is asked for, to see");
    });
}

#[test]
fn who_hears_of_a_slot_does_not_wait_for_the_next_round_if_one_is_free() {
    ioloop::testing::run(async {
        let torrent = Torrent::new("slots");
        // Two slots.
        let swarm = torrent.seed(&Session::new(Some(5_000), None));
        IoLoop::current().spawn(swarm.clone().run_rounds()).detach();
        let mut remotes: Vec<Remote> = (1..=3).map(|number| Remote::join(&swarm, number)).collect();
        let before = now();
        for remote in &mut remotes[..2] {
            remote.say(&Message::Interested);
            remote.expect(|message| *message == Message::Unchoke).await;
        }
        assert_eq!(now(), before);
        let [first, _, third] = &mut remotes[..] else {
            unreachable!("there are three");
        };
        third.say(&Message::Interested);
        first.expect(|message| *message == Message::Choke).await;
        third.expect(|message| *message == Message::Unchoke).await;
        assert!(now() - before <= 4 * crate::choker::ROUND);
    });
}
