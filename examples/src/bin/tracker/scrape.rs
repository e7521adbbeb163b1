//! Scrapes over HTTP: how many there are, without announcing.

use examples::bencode_write::dictionary;
use examples::info_hash::InfoHash;

use crate::query::{items, twenty};
use crate::tracker::Tracker;

/// The torrents that a query asks about, in order and each once.
///
/// # Errors
/// What the client is told. Asking for all at once is refused: there may be too many.
pub(crate) fn parse(query: &str) -> Result<Vec<InfoHash>, &'static str> {
    let hashes = items(query).filter(|(name, _)| *name == "info_hash");
    let hashes = hashes.map(|(_, value)| twenty(value).map(InfoHash));
    let hashes = hashes.take(HASHES_MAX + 1).collect::<Option<Vec<_>>>();
    let mut hashes = hashes.ok_or("info_hash must be 20 bytes")?;
    if hashes.is_empty() || hashes.len() > HASHES_MAX {
        return Err("ask about 1 to 74 torrents by info_hash");
    }
    hashes.sort_unstable();
    hashes.dedup();
    Ok(hashes)
}

/// What a client is told, in bencode. Of a torrent that is not known, noughts: as over UDP, which
/// can leave none out.
pub(crate) fn answer(hashes: &[InfoHash], tracker: &Tracker) -> Vec<u8> {
    let mut out = Vec::new();
    dictionary(&mut out, |reply| {
        reply.entry("files", |out| {
            dictionary(out, |files| {
                for hash in hashes {
                    let counts = tracker.scrape(hash);
                    files.entry(hash.0, |out| {
                        dictionary(out, |file| {
                            file.integer("complete", counts.seeds);
                            file.integer("downloaded", counts.downloaded);
                            file.integer("incomplete", counts.leechers);
                        });
                    });
                }
            });
        });
    });
    out
}

/// As many as fit into a packet over UDP.
pub(crate) const HASHES_MAX: usize = 74;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::Catalogue;
    use crate::tracker::SETTINGS;

    #[test]
    fn a_scrape_asks_about_some_torrents_but_not_too_many() {
        let hash = |byte: char| format!("info_hash={}", byte.to_string().repeat(20));
        let parsed = parse(&format!("{}&x=1&{}&{}", hash('b'), hash('a'), hash('b')));
        assert_eq!(parsed, Ok(vec![InfoHash([b'a'; 20]), InfoHash([b'b'; 20])]));
        assert!(parse("").is_err() && parse("info_hash=short").is_err());
        assert!(parse(&vec![hash('a'); 74].join("&")).is_ok());
        assert!(parse(&vec![hash('a'); 75].join("&")).is_err());
    }

    #[test]
    fn what_is_not_known_has_noughts_and_is_not_created() {
        let tracker = Tracker::new(SETTINGS, Catalogue::default());
        let answer = answer(&[InfoHash([b'a'; 20]), InfoHash([b'b'; 20])], &tracker);
        let counts = "d8:completei0e10:downloadedi0e10:incompletei0ee";
        let (a, b) = ("a".repeat(20), "b".repeat(20));
        let expected = format!("d5:filesd20:{a}{counts}20:{b}{counts}ee");
        assert_eq!(String::from_utf8(answer).unwrap(), expected);
        assert_eq!(tracker.swarm_count(), 0);
    }
}
