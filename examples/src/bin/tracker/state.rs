//! The swarms as a file: one bencoded value after another, so that the first damage costs only what
//! lies behind it.

use examples::bencode::{Value, parse_first};
use examples::bencode_write::dictionary;
use examples::info_hash::InfoHash;

use crate::endpoint::{Endpoint, Ip};
use crate::peers::{Peer, Peers};
use crate::swarm::Swarm;
use crate::tracker::Tracker;

/// What a file begins with.
pub(crate) fn begin(out: &mut Vec<u8>) {
    dictionary(out, |head| head.integer("squall tracker", VERSION));
}

/// Appends a swarm.
pub(crate) fn append(out: &mut Vec<u8>, info_hash: &InfoHash, swarm: &Swarm, now: u32) {
    dictionary(out, |entry| {
        entry.integer("downloaded", swarm.downloaded);
        entry.bytes("info_hash", info_hash.0);
        entry.bytes("leechers", records(&swarm.v4, false, now));
        entry.bytes("leechers6", records(&swarm.v6, false, now));
        entry.bytes("seeds", records(&swarm.v4, true, now));
        entry.bytes("seeds6", records(&swarm.v6, true, now));
    });
}

/// Puts the swarms of a file back, and says what ended that if it was not the end of the file.
pub(crate) fn restore(file: &[u8], tracker: &mut Tracker, now: u32) -> Result<(), String> {
    let (head, mut rest) = parse_first(file).map_err(|error| error.to_string())?;
    if head.get("squall tracker").and_then(Value::integer) != Some(VERSION) {
        return Err("not the state of a tracker of this version".to_owned());
    }
    while !rest.is_empty() {
        let behind = file.len() - rest.len();
        let parsed = parse_first(rest).map_err(|error| format!("{error} after byte {behind}"))?;
        let latest = now.saturating_add(tracker.lifetime());
        let swarm = read(&parsed.0, now, latest);
        let (info_hash, swarm) = swarm.ok_or(format!("not a swarm at byte {behind}"))?;
        tracker.restore(info_hash, swarm);
        rest = parsed.1;
    }
    Ok(())
}

fn read(entry: &Value<'_>, now: u32, latest: u32) -> Option<(InfoHash, Swarm)> {
    let info_hash = entry.get("info_hash")?.bytes()?.try_into().ok()?;
    let mut swarm = Swarm {
        // More than anybody counts is damage, and a sum of such must not overflow.
        downloaded: entry.get("downloaded")?.integer::<u32>()?.into(),
        ..Swarm::default()
    };
    let times = Times { now, latest };
    times.read(entry.get("leechers")?.bytes()?, false, &mut swarm.v4)?;
    times.read(entry.get("leechers6")?.bytes()?, false, &mut swarm.v6)?;
    times.read(entry.get("seeds")?.bytes()?, true, &mut swarm.v4)?;
    times.read(entry.get("seeds6")?.bytes()?, true, &mut swarm.v6)?;
    Some((InfoHash(info_hash), swarm))
}

/// Id, address, port, key, and how many seconds are left.
fn records<A: Ip>(peers: &Peers<A>, of_seeds: bool, now: u32) -> Vec<u8> {
    let mut out = Vec::new();
    for (id, peer, is_seed) in peers.iter() {
        if is_seed == of_seeds {
            out.extend_from_slice(id);
            peer.endpoint.append_to(&mut out);
            out.extend_from_slice(&peer.key.to_be_bytes());
            out.extend_from_slice(&peer.expires.saturating_sub(now).to_be_bytes());
        }
    }
    out
}

struct Times {
    now: u32,
    /// Nobody stays longer than who announces now, whatever the file says.
    latest: u32,
}

impl Times {
    fn read<A: Ip>(&self, records: &[u8], is_seed: bool, peers: &mut Peers<A>) -> Option<()> {
        let mut records = records.chunks_exact(20 + A::LENGTH + 2 + 4 + 4);
        for record in &mut records {
            let (id, rest) = record.split_first_chunk()?;
            let (ip, rest) = rest.split_at(A::LENGTH);
            let (port, rest) = rest.split_first_chunk()?;
            let (key, left) = rest.split_first_chunk()?;
            let left = u32::from_be_bytes(left.try_into().ok()?);
            let peer = Peer {
                endpoint: Endpoint {
                    ip: A::read(ip)?,
                    port: *port,
                },
                key: u32::from_be_bytes(*key),
                expires: self.now.saturating_add(left).min(self.latest),
            };
            // Twice in one file is damage, too; the first one is as good as the second.
            let _ = peers.enter(*id, peer, is_seed);
        }
        records.remainder().is_empty().then_some(())
    }
}

const VERSION: u32 = 1;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::Catalogue;
    use crate::tracker::SETTINGS;
    use crate::tracker::testing::announce;

    fn tracker() -> Tracker {
        Tracker::new(SETTINGS, Catalogue::default())
    }

    /// Three swarms, with peers of both families, leechers and seeds, and a download.
    fn filled() -> Tracker {
        let mut tracker = tracker();
        let mut random = fastrand::Rng::with_seed(1);
        for swarm in 0..3 {
            for peer in 0..5 {
                let mut announce = announce(swarm, peer, peer % 2 == 0);
                announce.key = u32::from(peer);
                if peer == 4 {
                    announce.address = "[::1]:7".parse().unwrap();
                }
                tracker.announce(&announce, 100, &mut random).unwrap();
            }
        }
        let mut completed = announce(1, 1, true);
        completed.key = 1;
        tracker.announce(&completed, 100, &mut random).unwrap();
        tracker
    }

    fn saved(tracker: &Tracker, now: u32) -> Vec<u8> {
        let mut file = Vec::new();
        begin(&mut file);
        tracker
            .swarms()
            .for_each(|(hash, swarm)| append(&mut file, hash, swarm, now));
        file
    }

    #[test]
    fn nothing_is_lost_on_the_way() {
        let before = filled();
        let mut after = tracker();
        restore(&saved(&before, 160), &mut after, 0).unwrap();
        assert_eq!(after.total(), before.total());
        // The seconds that were left are left, counted from another start.
        assert_eq!(saved(&after, 0), saved(&before, 160));
        let peer = |tracker: &Tracker| {
            let (_, swarm) = tracker.swarm_at(0).unwrap();
            swarm.v4.iter().next().map(|(_, peer, _)| *peer)
        };
        let (before, after) = (peer(&before).unwrap(), peer(&after).unwrap());
        assert_eq!(after.expires + 160, before.expires);
        assert_eq!((after.endpoint, after.key), (before.endpoint, before.key));
    }

    #[test]
    fn a_file_that_ends_early_costs_only_what_is_missing() {
        let file = saved(&filled(), 100);
        let mut whole = 0;
        for end in 0..file.len() {
            let mut tracker = tracker();
            let result = restore(&file[..end], &mut tracker, 0);
            assert!(tracker.swarm_count() >= whole, "{end}");
            whole = tracker.swarm_count();
            assert_eq!(result.is_ok(), saved(&tracker, 0).len() == end, "{end}");
        }
        assert_eq!(whole, 2);
    }

    #[test]
    fn no_damage_does_more_than_that() {
        let file = saved(&filled(), 100);
        let mut random = fastrand::Rng::with_seed(9);
        let mut refused = 0;
        for _ in 0..3000 {
            let mut damaged = file.clone();
            for _ in 0..random.usize(1..4) {
                damaged[random.usize(..file.len())] = random.u8(..);
            }
            let mut tracker = tracker();
            refused += usize::from(restore(&damaged, &mut tracker, 0).is_err());
            assert!(tracker.total().peers() <= 15);
            for (_, swarm) in tracker.swarms() {
                let latest = tracker.lifetime();
                assert!(swarm.v4.iter().all(|(_, peer, _)| peer.expires <= latest));
            }
        }
        assert!(refused > 100 && refused < 2900, "{refused}");
    }

    #[test]
    fn a_count_that_nobody_has_reached_is_not_believed() {
        let mut file = Vec::new();
        begin(&mut file);
        let swarm = Swarm {
            downloaded: u64::MAX,
            ..Swarm::default()
        };
        append(&mut file, &InfoHash([1; 20]), &swarm, 0);
        assert!(restore(&file, &mut tracker(), 0).is_err());
    }

    #[test]
    fn something_else_is_not_taken_for_a_state() {
        for other in ["", "d4:infodee", "i1e", "d14:squall trackeri2ee", "GIF89a"] {
            assert!(
                restore(other.as_bytes(), &mut tracker(), 0).is_err(),
                "{other}"
            );
        }
    }
}
