//! Announces over HTTP: what a query says, and what is answered.

use std::net::IpAddr;

use examples::bencode_write::dictionary;
use examples::info_hash::InfoHash;

use crate::announce::{Announce, PeerId, address, peers_wanted};
use crate::endpoint::Ip;
use crate::peers::{Chosen, Peer};
use crate::query::{decode, items, number, twenty};
use crate::swarm::Answer;

/// How the peers of an answer are written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Format {
    /// Addresses and ports behind one another: what everybody asks for, and the default (BEP 23).
    Compact,
    /// A list of dictionaries.
    List { with_id: bool },
}

/// Reads the query of an announce that came from `source`. Parameters that are not known are passed
/// over, and of one that comes several times the last counts. `ip` is not believed.
///
/// # Errors
/// What the client is told.
pub(crate) fn parse(query: &str, source: IpAddr) -> Result<(Announce, Format), &'static str> {
    let mut fields = Fields::default();
    for (name, value) in items(query) {
        match name {
            "info_hash" => fields.info_hash = Some(value),
            "peer_id" => fields.peer_id = Some(value),
            "port" => fields.port = Some(value),
            "left" => fields.left = Some(value),
            "event" => fields.event = value,
            "numwant" => fields.wanted = value,
            "key" => fields.key = value,
            "compact" => fields.is_list = value == "0",
            "no_peer_id" => fields.without_id = value != "0",
            _ => {}
        }
    }
    fields.check(source)
}

/// What came, unchecked.
#[derive(Default)]
struct Fields<'a> {
    info_hash: Option<&'a str>,
    peer_id: Option<&'a str>,
    port: Option<&'a str>,
    left: Option<&'a str>,
    event: &'a str,
    wanted: &'a str,
    key: &'a str,
    is_list: bool,
    without_id: bool,
}

impl Fields<'_> {
    fn check(self, source: IpAddr) -> Result<(Announce, Format), &'static str> {
        let info_hash = self.info_hash.and_then(twenty);
        let info_hash = info_hash.ok_or("info_hash must be 20 bytes")?;
        let peer_id = self.peer_id.and_then(twenty);
        let peer_id = peer_id.ok_or("peer_id must be 20 bytes")?;
        let port = self.port.and_then(number).filter(|port| *port != 0);
        let port = port.ok_or("port must be a number from 1 to 65535")?;
        let left: Option<u64> = self.left.and_then(number);
        let left = left.ok_or("left must be a number of bytes")?;
        let is_leaving = match self.event {
            "" | "started" | "completed" | "paused" => false,
            "stopped" => true,
            _ => return Err("event must be started, completed or stopped"),
        };
        let announce = Announce {
            info_hash: InfoHash(info_hash),
            peer_id,
            address: address(source, port),
            key: key(self.key).ok_or("key has a bad escape")?,
            is_seed: left == 0,
            is_leaving,
            wanted: peers_wanted(number(self.wanted)),
        };
        let format = if self.is_list {
            let with_id = !self.without_id;
            Format::List { with_id }
        } else {
            Format::Compact
        };
        Ok((announce, format))
    }
}

/// A key of eight hexadecimal digits is the number that the same client would send over UDP. Of
/// any other one a hash is kept: who wants to be taken for somebody else cannot see what to match.
fn key(value: &str) -> Option<u32> {
    if let (8, Ok(key)) = (value.len(), u32::from_str_radix(value, 16)) {
        return Some(key);
    }
    // FNV-1a.
    let mut hash = 0x811c_9dc5_u32;
    for byte in decode(value) {
        hash = (hash ^ u32::from(byte?)).wrapping_mul(0x0100_0193);
    }
    Some(if value.is_empty() { 0 } else { hash.max(1) })
}

/// What a client is told, in bencode.
pub(crate) fn answer(answer: Answer<'_>, format: Format, interval: u32) -> Vec<u8> {
    let Answer { counts, v4, v6 } = answer;
    let mut out = Vec::with_capacity(HEAD_MAX + v4.len() * 6 + v6.len() * 18);
    dictionary(&mut out, |reply| {
        reply.integer("complete", counts.seeds);
        reply.integer("downloaded", counts.downloaded);
        reply.integer("incomplete", counts.leechers);
        reply.integer("interval", interval);
        reply.integer("min interval", interval / 2);
        match format {
            Format::Compact => {
                reply.bytes("peers", compact(v4));
                let v6 = compact(v6);
                if !v6.is_empty() {
                    reply.bytes("peers6", v6);
                }
            }
            Format::List { with_id } => reply.entry("peers", |out| {
                out.push(b'l');
                v4.for_each(|(id, peer)| entry(out, with_id.then_some(id), peer));
                v6.for_each(|(id, peer)| entry(out, with_id.then_some(id), peer));
                out.push(b'e');
            }),
        }
    });
    out
}

/// Why a request was refused. Status 200 goes with it, as clients do not show others' bodies.
pub(crate) fn failure(reason: &str) -> Vec<u8> {
    let mut out = Vec::new();
    dictionary(&mut out, |reply| reply.bytes("failure reason", reason));
    out
}

fn compact<A: Ip>(chosen: Chosen<'_, A>) -> Vec<u8> {
    let mut out = Vec::with_capacity(chosen.len() * (A::LENGTH + 2));
    chosen.for_each(|(_, peer)| peer.endpoint.append_to(&mut out));
    out
}

fn entry<A: Ip>(out: &mut Vec<u8>, id: Option<&PeerId>, peer: &Peer<A>) {
    dictionary(out, |entry| {
        entry.bytes("ip", peer.endpoint.ip.to_string());
        if let Some(id) = id {
            entry.bytes("peer id", id);
        }
        entry.integer("port", u16::from_be_bytes(peer.endpoint.port));
    });
}

/// What is written beside the peers.
const HEAD_MAX: usize = 160;
