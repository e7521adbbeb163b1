//! What bad input from peers gets. Each row has a test; where it is not here, its file is named.
//!
//! | what comes | what becomes of it | test |
//! |---|---|---|
//! | another first byte or protocol, an unknown torrent | closed without a reply | `a_handshake_that_is_none_is_not_answered_nor_waited_for` |
//! | our own name | closed | `we_do_not_talk_to_ourselves_nor_to_anybody_three_times` |
//! | a wrong length, an unknown kind, what does not exist, spare bits | closed, as early as the bytes show it | `what_is_wrong_is_not_waited_for` and `what_does_not_exist_is_not_a_message` in `wire.rs`, `what_a_peer_may_not_say_is_not_heard_out` |
//! | a request for more than 128 KiB | closed | `a_request_for_too_much_is_not_heard_out` |
//! | a bitfield that is not first | taken for what it says, as aria2 sends some | `a_bitfield_in_place_of_many_messages_is_not_an_error` |
//! | a request while choked | ignored | `nobody_gets_blocks_who_may_not_ask_and_nobody_is_cut_for_asking` in `behaviour.rs` |
//! | more requests than anybody makes | closed | `a_flood_of_requests_does_not_grow_without_bound` |
//! | a block that was not asked for | thrown away, counted | `a_block_that_nobody_asked_for_is_not_taken` |
//! | more peers than are of use, or from one address | closed | `there_are_not_more_peers_than_are_of_use` |
//! | nothing is taken any more | cut off | `what_waits_for_the_end_of_a_block_does_not_grow_without_bound` |

use std::time::Duration;

use super::behaviour::block;
use super::support::{PIECES, Remote, Torrent, greeting, knock, now};
use crate::bitfield::Bitfield;
use crate::layout::{BLOCK, Block};
use crate::session::Session;
use crate::wire::Message;

#[test]
fn a_handshake_that_is_none_is_not_answered_nor_waited_for() {
    ioloop::testing::run(async {
        let torrent = Torrent::new("handshake");
        let session = Session::new(None, None);
        let swarm = torrent.seed(&session);
        let good = greeting(&swarm);
        let mut another_torrent = good.clone();
        another_torrent[30] ^= 1;
        for bad in [
            &b"\x14"[..],
            b"GET / HTTP/1.0\r\n\r\n",
            b"\x13Bittorrent",
            &another_torrent,
        ] {
            let before = now();
            let mut client = knock(&session, bad).await;
            assert_eq!(client.read_until_close(100).await.unwrap(), b"", "{bad:?}");
            assert_eq!(now(), before);
        }
    });
}

#[test]
fn we_do_not_talk_to_ourselves_nor_to_anybody_three_times() {
    ioloop::testing::run(async {
        let torrent = Torrent::new("ourselves");
        let session = Session::new(None, None);
        let swarm = torrent.seed(&session);
        let mut ours = greeting(&swarm);
        ours[48..].copy_from_slice(&session.peer_id);
        let mut client = knock(&session, &ours).await;
        assert_eq!(client.read_until_close(1_000).await.unwrap().len(), 68);
        let mut one = Remote::join(&swarm, 1);
        one.hear().await.unwrap();
        let mut again = Remote::join(&swarm, 1);
        assert!(again.hear().await.is_err());
    });
}

#[test]
fn what_a_peer_may_not_say_is_not_heard_out() {
    ioloop::testing::run(async {
        let torrent = Torrent::new("forbidden");
        let session = Session::new(None, None);
        let swarm = torrent.leech(&session);
        let mut number = 0;
        for bad in [
            &[0, 0, 0, 1, 99][..],
            &[0x7f, 0xff, 0xff, 0xff],
            &[0, 0, 0, 5, 4, 0, 0, 0, PIECES as u8],
            &[0, 0, 0, 2, 5, 0xff],
            &[0, 0, 0, 3, 5, 0xff, 0xff],
            // We have nothing, so nothing can be asked for.
            &Message::Request(block(0, 0)).encode(),
        ] {
            number += 1;
            let mut remote = Remote::join(&swarm, number);
            remote.say(&Message::KeepAlive);
            remote.stream.queue(bad).unwrap();
            let before = now();
            assert!(remote.rest().await.is_empty(), "{bad:?}");
            assert_eq!(now(), before, "{bad:?}");
        }
        assert!(swarm.state.borrow().peers.is_empty());
    });
}

#[test]
fn a_request_for_too_much_is_not_heard_out() {
    ioloop::testing::run(async {
        let torrent = Torrent::with_piece_length("too-much", 16 * BLOCK);
        let swarm = torrent.seed(&Session::new(None, None));
        let mut remote = Remote::join(&swarm, 1);
        remote.say(&Message::Interested);
        remote.expect(|message| *message == Message::Unchoke).await;
        let most = Block {
            length: 8 * BLOCK,
            ..block(0, 0)
        };
        remote.say(&Message::Request(most));
        // As long as that, no message is one that we would take.
        let answer = remote.stream.read_bytes(13 + most.length as usize);
        assert_eq!(answer.await.unwrap()[13..], *torrent.data(most));
        remote.say(&Message::Request(Block {
            length: most.length + 1,
            ..most
        }));
        assert!(remote.rest().await.is_empty());
        assert!(swarm.state.borrow().peers.is_empty());
    });
}

#[test]
fn a_bitfield_in_place_of_many_messages_is_not_an_error() {
    ioloop::testing::run(async {
        let torrent = Torrent::new("bitfields");
        let swarm = torrent.leech(&Session::new(None, None));
        let mut remote = Remote::join(&swarm, 1);
        remote.say(&Message::Have(3));
        let mut some = Bitfield::new(PIECES);
        [3, 5, 7]
            .into_iter()
            .for_each(|piece| assert!(some.add(piece)));
        remote.say(&Message::Bitfield(some.clone()));
        remote.say(&Message::Bitfield(some.clone()));
        remote
            .expect(|message| *message == Message::Interested)
            .await;
        ioloop::sleep(Duration::from_secs(1)).await;
        let state = swarm.state.borrow();
        let peer = state.peers.values().next().unwrap();
        assert_eq!((&peer.has, peer.useful), (&some, 3));
    });
}

#[test]
fn a_flood_of_requests_does_not_grow_without_bound() {
    ioloop::testing::run(async {
        let torrent = Torrent::new("flood");
        let swarm = torrent.seed(&Session::new(Some(15_000), None));
        let mut remote = Remote::join(&swarm, 1);
        remote.say(&Message::Interested);
        remote.expect(|message| *message == Message::Unchoke).await;
        for number in 0..1_100 {
            remote.say(&Message::Request(block(number % 10, 0)));
        }
        remote.rest().await;
        assert!(swarm.state.borrow().peers.is_empty());
    });
}

#[test]
fn a_block_that_nobody_asked_for_is_not_taken() {
    ioloop::testing::run(async {
        let torrent = Torrent::new("unasked");
        let swarm = torrent.leech(&Session::new(None, None));
        let remote = Remote::join(&swarm, 1);
        for number in 0..torrent.layout.blocks(0) {
            let block = block(0, number);
            remote.say(&Message::Piece(block, torrent.data(block).to_vec()));
        }
        ioloop::sleep(Duration::from_secs(1)).await;
        assert_eq!(swarm.state.borrow().peers.len(), 1);
        let length = torrent.layout.piece_length(0);
        assert_eq!(swarm.state.borrow().wasted, u64::from(length));
        assert_eq!(swarm.left(), torrent.layout.length());
    });
}

#[test]
fn there_are_not_more_peers_than_are_of_use() {
    ioloop::testing::run(async {
        let torrent = Torrent::new("many");
        let swarm = torrent.seed(&Session::new(None, None));
        let mut remotes: Vec<Remote> = (1..=99)
            .map(|number| Remote::join(&swarm, number))
            .collect();
        let again = |id| Remote::join_as(&swarm, 1, [id; 20]);
        let (mut twice, mut thrice) = (again(100), again(101));
        twice.hear().await.unwrap();
        assert!(thrice.hear().await.is_err(), "from one address");
        assert!(Remote::join(&swarm, 101).hear().await.is_err(), "in all");
        // Who leaves makes room.
        remotes.pop();
        ioloop::sleep(Duration::from_secs(1)).await;
        Remote::join(&swarm, 102).hear().await.unwrap();
    });
}

#[test]
fn what_waits_for_the_end_of_a_block_does_not_grow_without_bound() {
    ioloop::testing::run(async {
        let torrent = Torrent::new("held");
        let swarm = torrent.leech(&Session::new(None, None));
        let mut remote = Remote::join(&swarm, 1);
        ioloop::sleep(Duration::from_secs(1)).await;
        let link = {
            let state = swarm.state.borrow();
            state.peers.values().next().unwrap().link.clone()
        };
        link.begin_block();
        (0..256 * 1024 / 9).for_each(|_| link.send(&Message::Have(0)));
        ioloop::sleep(Duration::from_secs(1)).await;
        assert_eq!(swarm.state.borrow().peers.len(), 1);
        (0..2).for_each(|_| link.send(&Message::Have(0)));
        assert!(remote.hear().await.is_err());
        ioloop::sleep(Duration::from_secs(1)).await;
        assert!(swarm.state.borrow().peers.is_empty());
    });
}
