//! All swarms together, second by second.

use super::testing::announce;
use super::*;

fn tracker(settings: Settings) -> Tracker {
    Tracker::new(settings, Catalogue::default())
}

fn random() -> Rng {
    Rng::with_seed(1)
}

/// The peers that one is told of.
fn told(tracker: &mut Tracker, announce: &Announce) -> Result<Vec<u8>, Refusal> {
    let answer = tracker.announce(announce, 0, &mut random())?;
    let mut told: Vec<u8> = answer.v4.map(|(id, _)| id[0]).collect();
    told.extend(answer.v6.map(|(id, _)| id[0]));
    told.sort_unstable();
    Ok(told)
}

fn leaving(announce: Announce) -> Announce {
    Announce {
        is_leaving: true,
        ..announce
    }
}

#[test]
fn swarms_are_not_mixed_up() {
    let mut tracker = tracker(SETTINGS);
    assert_eq!(told(&mut tracker, &announce(1, 1, false)), Ok(vec![]));
    assert_eq!(told(&mut tracker, &announce(1, 2, true)), Ok(vec![1]));
    assert_eq!(told(&mut tracker, &announce(1, 3, false)), Ok(vec![1, 2]));
    assert_eq!(told(&mut tracker, &announce(1, 4, true)), Ok(vec![1, 3]));
    assert_eq!(told(&mut tracker, &announce(2, 3, false)), Ok(vec![]));
    let counts = Counts {
        seeds: 2,
        leechers: 2,
        downloaded: 0,
    };
    assert_eq!(tracker.scrape(&InfoHash([1; 20])), counts);
    assert_eq!(tracker.total().peers(), 5);
}

#[test]
fn who_leaves_is_gone_and_who_was_never_here_leaves_nothing() {
    let mut tracker = tracker(SETTINGS);
    assert_eq!(
        told(&mut tracker, &leaving(announce(1, 1, false))),
        Ok(vec![])
    );
    assert_eq!(tracker.swarm_count(), 0);
    told(&mut tracker, &announce(1, 1, false)).unwrap();
    told(&mut tracker, &announce(1, 2, false)).unwrap();
    // And is told of nobody.
    assert_eq!(
        told(&mut tracker, &leaving(announce(1, 3, false))),
        Ok(vec![])
    );
    assert_eq!(
        told(&mut tracker, &leaving(announce(1, 2, false))),
        Ok(vec![])
    );
    assert_eq!(told(&mut tracker, &announce(1, 1, false)), Ok(vec![]));
    assert_eq!(tracker.total().leechers, 1);
}

#[test]
fn a_download_counts_once_and_also_when_nobody_says_so() {
    let mut tracker = tracker(SETTINGS);
    let downloaded = |tracker: &Tracker| tracker.scrape(&InfoHash([1; 20])).downloaded;
    for announce in [
        announce(1, 1, true),
        announce(1, 2, false),
        announce(1, 2, true),
        announce(1, 2, true),
    ] {
        told(&mut tracker, &announce).unwrap();
    }
    assert_eq!(downloaded(&tracker), 1);
    // It goes with nothing left, as aria2 does.
    told(&mut tracker, &announce(1, 3, false)).unwrap();
    told(&mut tracker, &leaving(announce(1, 3, true))).unwrap();
    assert_eq!((downloaded(&tracker), tracker.total().downloaded), (2, 2));
}

#[test]
fn a_client_that_was_started_again_is_not_told_of_itself() {
    let mut tracker = tracker(SETTINGS);
    told(&mut tracker, &announce(1, 1, false)).unwrap();
    let again = Announce {
        peer_id: [9; 20],
        ..announce(1, 1, false)
    };
    assert_eq!(told(&mut tracker, &again), Ok(vec![]));
}

#[test]
fn families_are_told_of_one_another_but_of_their_own_first() {
    let mut tracker = tracker(SETTINGS);
    for peer in 1..=3 {
        told(&mut tracker, &announce(1, peer, false)).unwrap();
    }
    let mut v6 = Announce {
        address: "[::1]:6881".parse().unwrap(),
        ..announce(1, 9, false)
    };
    assert_eq!(told(&mut tracker, &v6), Ok(vec![1, 2, 3]));
    assert_eq!(
        told(&mut tracker, &announce(1, 1, false)),
        Ok(vec![2, 3, 9])
    );
    let few = Announce {
        wanted: 2,
        ..announce(1, 1, false)
    };
    assert_eq!(told(&mut tracker, &few), Ok(vec![2, 3]));
    v6.is_seed = true;
    told(&mut tracker, &v6).unwrap();
    assert_eq!((tracker.total().seeds, tracker.total().downloaded), (1, 1));
}

#[test]
fn a_wrong_key_changes_nothing() {
    let mut tracker = tracker(SETTINGS);
    let with_key = |key| Announce {
        key,
        ..announce(1, 1, false)
    };
    told(&mut tracker, &with_key(7)).unwrap();
    assert_eq!(told(&mut tracker, &with_key(8)), Err(Refusal::WrongKey));
    assert_eq!(
        told(&mut tracker, &leaving(with_key(8))),
        Err(Refusal::WrongKey)
    );
    assert_eq!(tracker.total().leechers, 1);
}

#[test]
fn swarms_and_peers_have_a_limit_and_those_who_are_here_stay() {
    let mut tracker = tracker(Settings {
        swarms_max: 2,
        peers_max: 3,
        ..SETTINGS
    });
    told(&mut tracker, &announce(1, 1, false)).unwrap();
    told(&mut tracker, &announce(2, 1, false)).unwrap();
    assert_eq!(
        told(&mut tracker, &announce(3, 1, false)),
        Err(Refusal::Full)
    );
    told(&mut tracker, &announce(2, 2, false)).unwrap();
    assert_eq!(
        told(&mut tracker, &announce(2, 3, false)),
        Err(Refusal::Full)
    );
    assert_eq!(told(&mut tracker, &announce(2, 1, true)), Ok(vec![2]));
    assert_eq!(
        told(&mut tracker, &leaving(announce(2, 3, false))),
        Ok(vec![])
    );
    told(&mut tracker, &leaving(announce(1, 1, false))).unwrap();
    told(&mut tracker, &announce(2, 3, false)).unwrap();
    assert_eq!((tracker.swarm_count(), tracker.total().peers()), (2, 3));
}

/// The whole of a minute, second by second: who announced at 10 with an interval of 20 is here
/// for one and a half of them, and gone after two.
#[test]
fn who_says_nothing_is_gone_after_one_and_a_half_intervals_to_two() {
    for peers in [1, 200] {
        let mut tracker = tracker(Settings {
            interval: 20,
            ..SETTINGS
        });
        for now in 0..=60 {
            if now == 10 {
                for peer in 0..peers {
                    tracker
                        .announce(&announce(peer % 7, peer, false), now, &mut random())
                        .unwrap();
                }
            }
            tracker.sweep(now);
            let are_here = (10..=41).contains(&now);
            let may_be_here = (10..50).contains(&now);
            let here = tracker.total().peers() == usize::from(peers);
            assert!(here || !are_here, "second {now}");
            assert!(may_be_here || tracker.total().peers() == 0, "second {now}");
        }
        assert_eq!(
            (tracker.swarm_count(), tracker.expired()),
            (0, peers.into())
        );
    }
}

/// More than one call looks at: what comes and goes between does not hide anybody for long.
#[test]
fn a_large_tracker_is_swept_in_shares() {
    let mut tracker = tracker(Settings {
        interval: 20,
        ..SETTINGS
    });
    let mut random = random();
    let number = |number: u32| Announce {
        info_hash: InfoHash([(number % 50) as u8; 20]),
        peer_id: {
            let mut id = [0; 20];
            id[..4].copy_from_slice(&number.to_be_bytes());
            id
        },
        ..announce(0, 1, false)
    };
    for peer in 0..50_000 {
        tracker.announce(&number(peer), 0, &mut random).unwrap();
    }
    let mut longest = 0;
    for now in 1..=40 {
        for peer in 0..1000 {
            tracker.announce(&number(peer), now, &mut random).unwrap();
        }
        let before = tracker.total().peers();
        tracker.sweep(now);
        longest = longest.max(before - tracker.total().peers());
    }
    assert_eq!((tracker.total().peers(), tracker.swarm_count()), (1000, 50));
    assert!(longest <= 11_000, "{longest} in one call");
}

#[test]
fn a_swarm_that_was_saved_comes_back_within_the_limits() {
    let mut tracker = tracker(Settings {
        swarms_max: 1,
        ..SETTINGS
    });
    let swarm = |peer| {
        let mut swarm = Swarm::default();
        let random = &mut random();
        swarm
            .announce(&announce(1, peer, false), 10, random)
            .unwrap();
        swarm
    };
    tracker.restore(InfoHash([1; 20]), swarm(1));
    tracker.restore(InfoHash([2; 20]), swarm(1));
    tracker.restore(InfoHash([3; 20]), Swarm::default());
    assert_eq!((tracker.swarm_count(), tracker.total().peers()), (1, 1));
}
