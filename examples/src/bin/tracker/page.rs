//! The page at `/`: what is going on, and the swarms with most peers. It works without its script,
//! which only fetches it again and again.

use std::cell::RefCell;
use std::cmp::Reverse;
use std::fmt::Write;
use std::time::{Duration, Instant};

use examples::content_policy;
use examples::info_hash::InfoHash;
use httpserver::{Bytes, Error, Response};
use ioloop::IoLoop;

use crate::app::App;
use crate::swarm::Counts;
use crate::tracker::Tracker;

pub(crate) struct Page {
    policy: String,
    made: RefCell<Option<Made>>,
}

/// A page that is good for a while.
struct Made {
    page: Bytes,
    until: Instant,
}

impl Page {
    pub(crate) fn new() -> Page {
        Page {
            policy: content_policy(SCRIPT, STYLE),
            made: RefCell::new(None),
        }
    }

    pub(crate) fn home(&self, app: &App) -> Result<Response, Error> {
        let now = IoLoop::current().now();
        let mut made = self.made.borrow_mut();
        let made = match &mut *made {
            Some(made) if now < made.until => made,
            outdated => {
                let tracker = app.tracker.borrow();
                let page = render(&tracker, app.counters.announces()).into();
                // Looking through all swarms takes a while; it must not take all the time.
                let pace = Duration::from_micros(10) * tracker.swarm_count() as u32;
                let until = now + pace.max(MADE_ANEW_AFTER);
                outdated.insert(Made { page, until })
            }
        };
        Response::html(made.page.clone())
            .with_header("Content-Security-Policy", &self.policy)?
            .with_header("Referrer-Policy", "no-referrer")?
            .with_header("Cache-Control", "no-cache")
    }
}

fn render(tracker: &Tracker, announces: u64) -> String {
    let total = tracker.total();
    let swarms = largest(tracker);
    let rows: String = swarms
        .iter()
        .map(|(hash, counts)| row(tracker, hash, counts))
        .collect();
    let shown = match (tracker.swarm_count(), tracker.catalogue.len()) {
        (0, _) => "No swarms yet.".to_owned(),
        (count, _) if count > SHOWN_MAX => {
            format!(
                "The {SHOWN_MAX} swarms with most peers, of {}.",
                grouped(count as u64)
            )
        }
        (_, Some(listed)) => format!("{} torrents are allowed here.", grouped(listed as u64)),
        _ => "Every torrent is allowed here.".to_owned(),
    };
    format!(
        include_str!("page.html"),
        style = STYLE,
        script = SCRIPT,
        swarms = grouped(tracker.swarm_count() as u64),
        seeds = grouped(total.seeds as u64),
        leechers = grouped(total.leechers as u64),
        downloaded = grouped(total.downloaded),
        announces = grouped(announces),
        shown = shown,
        rows = rows,
    )
}

fn row(tracker: &Tracker, hash: &InfoHash, counts: &Counts) -> String {
    let listed = tracker.catalogue.get(hash);
    let name = listed
        .map(|listed| escaped(&listed.name))
        .unwrap_or_default();
    let file = listed.is_some_and(|listed| listed.file.is_some());
    let mut title = if name.is_empty() {
        String::new()
    } else {
        format!("<b>{name}</b>")
    };
    if file {
        let query: String = hash.0.iter().map(|byte| format!("%{byte:02x}")).collect();
        title = format!("<a href=\"/file?info_hash={query}\">{title}</a>");
    }
    format!(
        "<tr><th scope=\"row\">{title} <code>{hash}</code></th><td>{}</td><td>{}</td><td>{}</td></tr>\n",
        grouped(counts.seeds as u64),
        grouped(counts.leechers as u64),
        grouped(counts.downloaded),
    )
}

/// The swarms with most peers, in that order.
fn largest(tracker: &Tracker) -> Vec<(InfoHash, Counts)> {
    let mut swarms: Vec<_> = tracker
        .swarms()
        .map(|(hash, swarm)| (*hash, swarm.counts()))
        .collect();
    let order = |(hash, counts): &(InfoHash, Counts)| (Reverse(counts.peers()), *hash);
    if swarms.len() > SHOWN_MAX {
        swarms.select_nth_unstable_by_key(SHOWN_MAX, order);
        swarms.truncate(SHOWN_MAX);
    }
    swarms.sort_unstable_by_key(order);
    swarms
}

/// With a thin space between thousands.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place) % 3 == 0 {
            grouped.push('\u{2009}');
        }
        grouped.push(digit);
    }
    grouped
}

/// A name as a browser shows it, whatever it is made of.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for character in text.chars() {
        if matches!(character, '&' | '<' | '>' | '"' | '\'') {
            write!(escaped, "&#{};", u32::from(character)).expect("a String takes everything");
        } else {
            escaped.push(character);
        }
    }
    escaped
}

const STYLE: &str = concat!(include_str!("../../page.css"), include_str!("page.css"));
const SCRIPT: &str = include_str!("page.js");

/// More than anybody reads, and little enough to be fetched every other second.
const SHOWN_MAX: usize = 100;
/// However many look at it.
const MADE_ANEW_AFTER: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::Catalogue;
    use crate::tracker::SETTINGS;
    use crate::tracker::testing::announce;

    #[test]
    fn what_a_torrent_is_called_does_not_become_markup() {
        let name = "<script>alert('1')</script>&\"";
        assert!(!escaped(name).contains(['<', '>', '"', '\'']));
        assert!(escaped(name).starts_with("&#60;script&#62;"));
    }

    #[test]
    fn the_swarms_with_most_peers_come_first() {
        let mut tracker = Tracker::new(SETTINGS, Catalogue::default());
        for swarm in 0..200 {
            for peer in 0..=swarm {
                let announce = announce(swarm, peer, false);
                tracker
                    .announce(&announce, 0, &mut fastrand::Rng::with_seed(1))
                    .unwrap();
            }
        }
        let largest = largest(&tracker);
        let peers: Vec<usize> = largest.iter().map(|(_, counts)| counts.peers()).collect();
        assert_eq!(peers, (101..=200).rev().collect::<Vec<_>>());
        let page = render(&tracker, 1234);
        assert!(page.contains("of 200.") && page.contains("1\u{2009}234"));
        assert_eq!(page.matches("<tr><th scope=\"row\">").count(), 100);
    }

    #[test]
    fn the_page_has_exactly_what_the_policy_allows() {
        let page = render(&Tracker::new(SETTINGS, Catalogue::default()), 0);
        assert!(page.contains(&format!("<style>{STYLE}</style>")));
        assert!(page.contains(&format!("<script>{SCRIPT}</script>")));
        for forbidden in [" style=", " onclick=", " src=", "https://"] {
            assert!(!page.contains(forbidden), "{forbidden}");
        }
        assert!(!SCRIPT.contains("</") && !SCRIPT.contains("<!--") && !STYLE.contains("</"));
    }
}
