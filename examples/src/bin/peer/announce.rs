//! What trackers are asked over HTTP (BEP 3), and what they answer.

use std::fmt::Write;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use examples::bencode::{self, Value};
use examples::info_hash::InfoHash;

use crate::handshake::PeerId;

/// What a tracker is told.
#[derive(Clone, Debug)]
pub(crate) struct Announce {
    pub(crate) info_hash: InfoHash,
    pub(crate) peer_id: PeerId,
    pub(crate) port: u16,
    pub(crate) uploaded: u64,
    pub(crate) downloaded: u64,
    pub(crate) left: u64,
    pub(crate) event: Option<Event>,
    pub(crate) numwant: usize,
    /// Proves to the tracker that it is still us, from whatever address.
    pub(crate) key: u32,
    /// What the tracker has asked us to repeat.
    pub(crate) tracker_id: Vec<u8>,
}

/// What has happened since the last announce.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Event {
    Started,
    Completed,
    Stopped,
}

/// What a tracker has answered.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Reply {
    pub(crate) peers: Vec<SocketAddr>,
    pub(crate) warning: Option<String>,
    pub(crate) tracker_id: Vec<u8>,
    interval: Duration,
    min_interval: Duration,
}

impl Announce {
    /// The address to ask.
    pub(crate) fn url(&self, tracker: &str) -> String {
        let separator = if tracker.contains('?') { '&' } else { '?' };
        let mut url = format!(
            "{tracker}{separator}info_hash={}&peer_id={}&port={}&uploaded={}&downloaded={}&left={}\
             &compact=1&numwant={}&key={:08x}",
            escaped(&self.info_hash.0),
            escaped(&self.peer_id),
            self.port,
            self.uploaded,
            self.downloaded,
            self.left,
            self.numwant,
            self.key,
        );
        if let Some(event) = self.event {
            url.push_str(match event {
                Event::Started => "&event=started",
                Event::Completed => "&event=completed",
                Event::Stopped => "&event=stopped",
            });
        }
        if !self.tracker_id.is_empty() {
            url.push_str("&trackerid=");
            url.push_str(&escaped(&self.tracker_id));
        }
        url
    }
}

impl Reply {
    /// Reads an answer.
    ///
    /// # Errors
    /// What the tracker says it cannot do, or what is wrong with what it says.
    pub(crate) fn parse(body: &[u8]) -> Result<Reply, String> {
        let reply =
            bencode::parse(body).map_err(|error| format!("the tracker's answer is {error}"))?;
        let text = |key: &str| {
            let bytes = reply.get(key).and_then(Value::bytes);
            bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned())
        };
        if let Some(reason) = text("failure reason") {
            return Err(format!("the tracker says: {reason}"));
        }
        let seconds = |key: &str| reply.get(key).and_then(Value::integer::<u32>);
        let interval = seconds("interval").ok_or("the tracker does not say when to come back")?;
        let mut peers = reply.get("peers").map(peers).unwrap_or_default();
        let peers6 = reply.get("peers6").and_then(Value::bytes);
        peers.extend(peers6.into_iter().flat_map(compact6));
        Ok(Reply {
            peers,
            warning: text("warning message"),
            tracker_id: reply
                .get("tracker id")
                .and_then(Value::bytes)
                .unwrap_or_default()
                .to_vec(),
            interval: Duration::from_secs(interval.into()).clamp(INTERVAL_MIN, INTERVAL_MAX),
            min_interval: Duration::from_secs(seconds("min interval").unwrap_or(0).into()),
        })
    }

    /// When to ask again: sooner if there are few peers to get something from.
    pub(crate) fn pause(&self, needs_peers: bool) -> Duration {
        let soon = self.min_interval.max(SOON);
        if needs_peers {
            self.interval.min(soon)
        } else {
            self.interval
        }
    }
}

/// In either of the forms: six bytes each, or a dictionary.
fn peers(value: &Value<'_>) -> Vec<SocketAddr> {
    if let Some(bytes) = value.bytes() {
        return bytes.chunks_exact(6).map(compact).collect();
    }
    let entries = value.list().unwrap_or_default().iter();
    let peer = |entry: &Value<'_>| {
        let ip: IpAddr = entry.get("ip")?.text()?.parse().ok()?;
        Some(SocketAddr::new(ip, entry.get("port")?.integer()?))
    };
    entries.filter_map(peer).collect()
}

fn compact(bytes: &[u8]) -> SocketAddr {
    let (ip, port) = bytes.split_at(4);
    let ip: [u8; 4] = ip.try_into().unwrap_or_default();
    SocketAddr::from((ip, port_of(port)))
}

fn compact6(bytes: &[u8]) -> impl Iterator<Item = SocketAddr> {
    bytes.chunks_exact(18).map(|bytes| {
        let (ip, port) = bytes.split_at(16);
        let ip: [u8; 16] = ip.try_into().unwrap_or_default();
        SocketAddr::from((Ipv6Addr::from(ip), port_of(port)))
    })
}

fn port_of(bytes: &[u8]) -> u16 {
    u16::from_be_bytes(bytes.try_into().unwrap_or_default())
}

/// Every byte but the harmless ones as `%xx`.
fn escaped(bytes: &[u8]) -> String {
    let mut escaped = String::new();
    for byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) {
            escaped.push(char::from(*byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(escaped, "%{byte:02X}");
        }
    }
    escaped
}

/// A tracker that asks to be asked more often is broken.
const INTERVAL_MIN: Duration = Duration::from_secs(10);

/// Longer than any tracker keeps a peer that does not come back.
const INTERVAL_MAX: Duration = Duration::from_secs(3_600);

/// How often is asked by who needs peers, unless the tracker minds.
const SOON: Duration = Duration::from_secs(300);

#[cfg(test)]
mod tests {
    use super::*;

    fn announce() -> Announce {
        let mut hash = *b"abcdefghijklmnopqrst";
        hash[..4].copy_from_slice(&[0, 0xff, b' ', b'%']);
        Announce {
            info_hash: InfoHash(hash),
            peer_id: *b"-SQ0100-abcdefghijkl",
            port: 6881,
            uploaded: 1,
            downloaded: 2,
            left: 3,
            event: None,
            numwant: 50,
            key: 0xab,
            tracker_id: Vec::new(),
        }
    }

    #[test]
    fn what_is_announced_is_not_changed_by_its_escapes() {
        assert_eq!(
            announce().url("http://t/announce"),
            "http://t/announce?info_hash=%00%FF%20%25efghijklmnopqrst&peer_id=-SQ0100-abcdefghijkl\
             &port=6881&uploaded=1&downloaded=2&left=3&compact=1&numwant=50&key=000000ab"
        );
        let last = Announce {
            event: Some(Event::Stopped),
            tracker_id: b"a&b".to_vec(),
            ..announce()
        };
        let url = last.url("http://t/announce?passkey=x");
        assert!(url.starts_with("http://t/announce?passkey=x&info_hash="));
        assert!(url.ends_with("&event=stopped&trackerid=a%26b"), "{url}");
    }

    #[test]
    fn neither_form_of_a_list_of_peers_is_misread() {
        let one = SocketAddr::from(([127, 0, 0, 1], 6881));
        let reply = Reply::parse(b"d8:intervali1800e5:peers6:\x7f\0\0\x01\x1a\xe1e").unwrap();
        assert_eq!(reply.peers, [one]);
        let list =
            b"d8:intervali1800e5:peersld2:ip9:127.0.0.17:peer id2:xx4:porti6881eed2:ip1:xeee";
        assert_eq!(Reply::parse(list).unwrap().peers, [one]);
        let mut both = b"d8:intervali1800e5:peers0:6:peers618:".to_vec();
        both.extend([&[0; 15][..], &[1, 0x1a, 0xe1], b"e"].concat());
        let six = Reply::parse(&both).unwrap().peers;
        assert_eq!(six, ["[::1]:6881".parse().unwrap()]);
        assert!(
            Reply::parse(b"d8:intervali1800ee")
                .unwrap()
                .peers
                .is_empty()
        );
    }

    #[test]
    fn a_failure_is_not_taken_for_an_answer() {
        let error = |body: &[u8]| Reply::parse(body).unwrap_err();
        assert_eq!(error(b"d14:failure reason3:no.e"), "the tracker says: no.");
        assert!(error(b"<html>").contains("not bencode"));
        assert!(error(b"d5:peers0:e").contains("when to come back"));
    }

    #[test]
    fn neither_a_hasty_nor_a_patient_tracker_is_taken_at_its_word() {
        let pause =
            |body: &[u8], needs_peers| Reply::parse(body).unwrap().pause(needs_peers).as_secs();
        assert_eq!(pause(b"d8:intervali0ee", false), 10);
        assert_eq!(pause(b"d8:intervali4000000000ee", false), 3_600);
        assert_eq!(pause(b"d8:intervali1800ee", true), 300);
        assert_eq!(pause(b"d8:intervali1800ee", false), 1_800);
        assert_eq!(pause(b"d8:intervali1800e12:min intervali900ee", true), 900);
        assert_eq!(pause(b"d8:intervali60ee", true), 60);
    }
}
