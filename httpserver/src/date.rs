//! The Date field, made once a second.

use std::cell::Cell;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A line with the date as RFC 9110 (5.6.7) wants it: `Date: Sun, 06 Nov 1994 08:49:37 GMT`, and
/// CR LF.
type Line = [u8; 37];

#[derive(Clone, Copy)]
struct Made {
    line: Line,
    /// On the loop's clock, from the first to just before the other.
    valid: (Instant, Instant),
}

thread_local! {
    static LAST: Cell<Option<Made>> = const { Cell::new(None) };
}

/// The field at `now`, which is the loop's.
pub(crate) fn date_line(now: Instant) -> Line {
    let last = LAST.get();
    match last.filter(|last| last.valid.0 <= now && now < last.valid.1) {
        Some(last) => last.line,
        None => {
            let made = make(now);
            LAST.set(Some(made));
            made.line
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the loop's clock does not know what day it is"
)]
fn make(now: Instant) -> Made {
    let time = SystemTime::now();
    let since_epoch = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let rest = Duration::from_secs(1) - Duration::from_nanos(since_epoch.subsec_nanos().into());
    let date = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(since_epoch.as_secs()));
    let line = format!("Date: {date}\r\n").as_bytes().try_into();
    Made {
        line: line.expect("dates have 29 characters until the year 9999"),
        valid: (now, now + rest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_kept_for_the_rest_of_its_second_and_no_longer() {
        let now = ioloop::IoLoop::current().now();
        let first = date_line(now);
        assert_eq!(date_line(now), first);
        let (from, until) = LAST.get().unwrap().valid;
        assert!(from == now && until - now <= Duration::from_secs(1));
        // A loop with a clock of its own does not get the other's.
        date_line(now - Duration::from_secs(1));
        assert!(LAST.get().unwrap().valid.0 < now);
        let line = std::str::from_utf8(&first).unwrap();
        let text = line.strip_prefix("Date: ").unwrap().trim_end();
        assert!(httpdate::parse_http_date(text).is_ok(), "{text}");
    }
}
