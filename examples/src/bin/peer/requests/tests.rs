//! What is asked for, when, and of whom.

use super::*;
use crate::layout::BLOCK;

const PIECES: u32 = 10;
const ANNA: PeerKey = 1;
const BERT: PeerKey = 2;

fn requests() -> Requests {
    let layout = Layout::new(u64::from(PIECES * 4 * BLOCK) - 5, (4 * BLOCK).into()).unwrap();
    Requests::new(layout, Bitfield::new(PIECES), Rng::with_seed(1))
}

fn all() -> Bitfield {
    some(0..PIECES)
}

fn some(pieces: impl IntoIterator<Item = u32>) -> Bitfield {
    let mut some = Bitfield::new(PIECES);
    pieces
        .into_iter()
        .for_each(|piece| assert!(some.add(piece)));
    some
}

fn send(requests: &mut Requests, peer: PeerKey, block: Block) -> Arrival {
    let sender = IpAddr::from([127, 0, 0, peer as u8]);
    requests.received(peer, sender, block, vec![peer as u8; block.length as usize])
}

#[test]
fn nothing_is_asked_twice_before_everything_was_asked_once() {
    let mut requests = requests();
    let mut asked = Vec::new();
    for round in 0..PIECES * 4 {
        assert!(!requests.is_endgame());
        let peer = PeerKey::from(round % 3);
        asked.extend(requests.next(peer, &all(), 1));
    }
    assert!(requests.is_endgame());
    asked.sort();
    asked.dedup();
    assert_eq!(asked.len(), (PIECES * 4) as usize);
    assert_eq!(asked.last().unwrap().length, BLOCK - 5);
}

#[test]
fn a_second_piece_is_not_begun_while_the_first_has_unasked_blocks() {
    let mut requests = requests();
    let first = requests.next(ANNA, &all(), 3)[0].piece;
    let then = requests.next(BERT, &all(), 2);
    assert_eq!(then[0].piece, first);
    assert_ne!(then[1].piece, first);
    let elsewhere = some((0..PIECES).filter(|piece| *piece != then[1].piece));
    assert!(
        requests
            .next(3, &elsewhere, 5)
            .iter()
            .all(|block| block.piece != first)
    );
}

#[test]
fn the_rarest_piece_is_not_left_for_later_once_there_is_something_to_exchange() {
    let layout = requests().layout;
    let mut requests = Requests::new(layout, some(0..4), Rng::with_seed(1));
    for piece in 4..PIECES {
        (0..=PIECES - piece).for_each(|_| requests.gained(piece));
    }
    let asked = requests.next(ANNA, &all(), 8);
    assert!(asked[..4].iter().all(|block| block.piece == 9));
    assert!(asked[4..].iter().all(|block| block.piece == 8));
}

#[test]
fn what_nobody_asked_for_is_not_taken() {
    let mut requests = requests();
    let block = requests.next(ANNA, &all(), 1)[0];
    assert!(matches!(send(&mut requests, BERT, block), Arrival::Unasked));
    let shorter = Block { length: 5, ..block };
    assert!(matches!(
        send(&mut requests, ANNA, shorter),
        Arrival::Unasked
    ));
    assert!(matches!(
        send(&mut requests, ANNA, block),
        Arrival::Block(_)
    ));
    assert!(matches!(send(&mut requests, ANNA, block), Arrival::Unasked));
}

#[test]
fn a_piece_is_not_whole_before_its_last_block_and_not_out_of_order() {
    let mut requests = requests();
    let mut blocks = requests.next(ANNA, &some([3]), 100);
    assert_eq!(blocks.len(), 4);
    blocks.reverse();
    for block in &blocks[..3] {
        assert!(matches!(
            send(&mut requests, ANNA, *block),
            Arrival::Block(_)
        ));
    }
    let Arrival::Piece(_, data) = send(&mut requests, ANNA, blocks[3]) else {
        panic!("four of four");
    };
    assert_eq!(data.len(), 4);
    assert!(!requests.have().has(3));
    assert!(requests.next(ANNA, &some([3]), 100).is_empty());
    requests.verified(3);
    assert!(requests.have().has(3));
    assert!(requests.next(ANNA, &some([3]), 100).is_empty());
}

#[test]
fn what_a_peer_that_left_was_asked_for_is_not_lost() {
    let mut requests = requests();
    let first = requests.next(ANNA, &some([3]), 4);
    assert!(matches!(
        send(&mut requests, ANNA, first[1]),
        Arrival::Block(_)
    ));
    assert_eq!(requests.owed_by(ANNA), 3);
    requests.release(ANNA);
    assert_eq!(requests.owed_by(ANNA), 0);
    assert!(matches!(
        send(&mut requests, ANNA, first[0]),
        Arrival::Unasked
    ));
    let again = requests.next(BERT, &some([3]), 4);
    assert_eq!(again, [first[0], first[2], first[3]]);
}

#[test]
fn in_the_endgame_the_slow_one_is_not_waited_for_and_is_told() {
    let mut requests = requests();
    let slow = requests.next(ANNA, &all(), 40);
    assert_eq!(slow.len(), 40);
    let mut fast = requests.next(BERT, &all(), 100);
    assert_eq!(fast.len(), 40);
    assert!(requests.next(BERT, &all(), 100).is_empty());
    assert_ne!(fast, slow);
    fast.truncate(39);
    for block in fast {
        match send(&mut requests, BERT, block) {
            Arrival::Block(cancel) => assert_eq!(cancel, [ANNA]),
            Arrival::Piece(cancel, _) => {
                assert_eq!(cancel, [ANNA]);
                requests.verified(block.piece);
            }
            Arrival::Unasked => panic!("it was asked for"),
        }
        assert!(matches!(send(&mut requests, ANNA, block), Arrival::Unasked));
    }
    assert_eq!((requests.owed_by(ANNA), requests.owed_by(BERT)), (1, 1));
}

#[test]
fn a_piece_that_came_wrong_from_several_is_not_asked_of_several_again() {
    let mut requests = requests();
    let wrong = [
        requests.next(ANNA, &some([3]), 2),
        requests.next(BERT, &some([3]), 2),
    ];
    for (peer, blocks) in [ANNA, BERT].into_iter().zip(&wrong) {
        blocks
            .iter()
            .for_each(|block| drop(send(&mut requests, peer, *block)));
    }
    requests.failed(3, false);
    assert_eq!(requests.next(BERT, &some([3]), 1).len(), 1);
    assert!(requests.next(ANNA, &some([3]), 4).is_empty());
    let rest = requests.next(BERT, &some([3]), 4);
    assert_eq!(rest.len(), 3);
    // Who has begun it and stops does not leave halves to the next.
    assert!(matches!(
        send(&mut requests, BERT, rest[0]),
        Arrival::Block(_)
    ));
    requests.release(BERT);
    assert_eq!(requests.next(ANNA, &some([3]), 5).len(), 4);
}

#[test]
fn a_piece_whose_liar_is_known_is_not_lost() {
    let mut requests = requests();
    for block in requests.next(ANNA, &some([3]), 4) {
        send(&mut requests, ANNA, block);
    }
    requests.failed(3, true);
    assert_eq!(requests.next(BERT, &some([3]), 3).len(), 3);
    assert_eq!(requests.next(7, &some([3]), 3).len(), 1);
}

#[test]
fn pieces_that_nobody_has_any_more_do_not_fill_the_memory() {
    let piece_length = u64::try_from(MEMORY_MAX / 4).unwrap();
    let layout = Layout::new(piece_length * 10, piece_length).unwrap();
    let mut requests = Requests::new(layout, Bitfield::new(10), Rng::with_seed(1));
    let few = some(0..4);
    few.iter().for_each(|piece| requests.gained(piece));
    requests.gained(9);
    let blocks = layout.blocks(0) as usize;
    assert_eq!(requests.next(ANNA, &few, 5 * blocks).len(), 4 * blocks);
    assert!(requests.next(BERT, &some([9]), 1).is_empty());
    requests.left(ANNA, &few);
    assert_eq!(requests.next(BERT, &some([9]), 1).len(), 1);
}
