//! The tracker protocol over UDP (BEP 15): one packet, and what it is answered with.
//!
//! Longer packets are taken, so the options of BEP 41 may follow; there is one tracker here, and
//! they ask for none.

use std::net::SocketAddr;

use examples::info_hash::InfoHash;
use fastrand::Rng;

use crate::announce::{Announce, address, peers_wanted};
use crate::connection_id::ConnectionIds;
use crate::scrape::HASHES_MAX;
use crate::tracker::Tracker;

/// A packet that was received.
#[derive(Clone, Copy)]
pub(crate) struct Packet<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) source: SocketAddr,
    /// In seconds.
    pub(crate) now: u32,
}

/// What a packet asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Asked {
    Connect,
    Announce,
    Scrape,
    /// It is answered with an error.
    Refused,
}

/// Writes the answer to `out`, which is empty. `None` is silence: for what is too short, unknown,
/// or comes without an id that was given to its address. Nobody is answered with more bytes than
/// it sent before it has one.
pub(crate) fn answer(
    packet: Packet<'_>,
    tracker: &mut Tracker,
    ids: &ConnectionIds,
    random: &mut Rng,
    out: &mut Vec<u8>,
) -> Option<Asked> {
    let Packet { bytes, source, now } = packet;
    let connection = number(bytes, 0)?;
    let (action, transaction) = (number_32(bytes, 8)?, number_32(bytes, 12)?);
    let reply = |out: &mut Vec<u8>, action: u32| {
        out.extend_from_slice(&action.to_be_bytes());
        out.extend_from_slice(&transaction.to_be_bytes());
    };
    if action == CONNECT {
        if connection != PROTOCOL {
            return None;
        }
        reply(out, CONNECT);
        out.extend_from_slice(&ids.issue(source.ip(), now).to_be_bytes());
        return Some(Asked::Connect);
    }
    if !ids.accepts(connection, source.ip(), now) {
        return None;
    }
    match action {
        ANNOUNCE => {
            let announced = read_announce(bytes, source)?;
            reply(out, ANNOUNCE);
            let told = announced.and_then(|announce| tell(&announce, tracker, now, random, out));
            let Err(reason) = told else {
                return Some(Asked::Announce);
            };
            out.clear();
            reply(out, ERROR);
            out.extend_from_slice(reason.as_bytes());
            Some(Asked::Refused)
        }
        SCRAPE => {
            let (hashes, _) = bytes.get(16..)?.split_at((bytes.len() - 16) / 20 * 20);
            if hashes.is_empty() {
                return None;
            }
            reply(out, SCRAPE);
            for hash in hashes.chunks_exact(20).take(HASHES_MAX) {
                let hash = hash.try_into().expect("chunks of 20 are 20 long");
                let counts = tracker.scrape(&InfoHash(hash));
                for count in [
                    counts.seeds as u64,
                    counts.downloaded,
                    counts.leechers as u64,
                ] {
                    out.extend_from_slice(&clamped(count));
                }
            }
            Some(Asked::Scrape)
        }
        _ => None,
    }
}

/// `None` if it is too short; an error is a reason to tell.
fn read_announce(bytes: &[u8], source: SocketAddr) -> Option<Result<Announce, &'static str>> {
    let port = u16::from_be_bytes(part(bytes, 96)?);
    let event = number_32(bytes, 80)?;
    let wanted = i32::from_be_bytes(part(bytes, 92)?);
    let announce = Announce {
        info_hash: InfoHash(part(bytes, 16)?),
        peer_id: part(bytes, 36)?,
        address: address(source.ip(), port),
        key: number_32(bytes, 88)?,
        is_seed: number(bytes, 64)? == 0,
        is_leaving: event == STOPPED,
        wanted: peers_wanted(Some(wanted.into())),
    };
    Some(match announce {
        _ if port == 0 => Err("port must not be 0"),
        _ if event > STOPPED => Err("unknown event"),
        announce => Ok(announce),
    })
}

/// Only addresses of the kind that the packet came from fit into an answer.
fn tell(
    announce: &Announce,
    tracker: &mut Tracker,
    now: u32,
    random: &mut Rng,
    out: &mut Vec<u8>,
) -> Result<(), &'static str> {
    let interval = tracker.settings.interval;
    let told = tracker.announce(announce, now, random);
    let told = told.map_err(|refusal| refusal.text())?;
    out.extend_from_slice(&interval.to_be_bytes());
    out.extend_from_slice(&clamped(told.counts.leechers as u64));
    out.extend_from_slice(&clamped(told.counts.seeds as u64));
    match announce.address {
        SocketAddr::V4(_) => told.v4.for_each(|(_, peer)| peer.endpoint.append_to(out)),
        SocketAddr::V6(_) => told
            .v6
            .take(V6_MAX)
            .for_each(|(_, peer)| peer.endpoint.append_to(out)),
    }
    Ok(())
}

fn part<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

fn number(bytes: &[u8], at: usize) -> Option<u64> {
    part(bytes, at).map(u64::from_be_bytes)
}

fn number_32(bytes: &[u8], at: usize) -> Option<u32> {
    part(bytes, at).map(u32::from_be_bytes)
}

fn clamped(count: u64) -> [u8; 4] {
    u32::try_from(count).unwrap_or(u32::MAX).to_be_bytes()
}

const PROTOCOL: u64 = 0x417_2710_1980;

const CONNECT: u32 = 0;
const ANNOUNCE: u32 = 1;
const SCRAPE: u32 = 2;
const ERROR: u32 = 3;

/// The last of the events.
const STOPPED: u32 = 3;

/// 1,352 bytes with the head: a packet that no network cuts into pieces.
const V6_MAX: usize = 74;
