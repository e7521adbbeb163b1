//! What rate-limited senders share: the command line, and a log of what they have sent when.

use std::cell::RefCell;
use std::error::Error;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// How a sender was called: `--rate BYTES --address A --port P --log true`.
///
/// A client says in a line how many bytes are to be written at a time, and gets them for ever. If
/// that is none, it gets the log instead.
pub struct Arguments {
    /// Bytes per second; 0 is no limit.
    pub rate: u64,
    pub address: SocketAddr,
    /// Whether there is a log.
    pub is_logged: bool,
}

impl Arguments {
    pub fn parse() -> Result<Arguments, Box<dyn Error>> {
        let (mut rate, mut is_logged) = (0, false);
        let (mut address, mut port) = ("127.0.0.1".to_string(), 0_u16);
        let words: Vec<String> = std::env::args().skip(1).collect();
        for pair in words.chunks(2) {
            match pair {
                [flag, value] if flag == "--rate" => rate = value.parse()?,
                [flag, value] if flag == "--address" => address = value.clone(),
                [flag, value] if flag == "--port" => port = value.parse()?,
                [flag, value] if flag == "--log" => is_logged = value.parse()?,
                _ => {
                    return Err(
                        "usage: [--rate BYTES] [--address A] [--port P] [--log true]".into(),
                    );
                }
            }
        }
        Ok(Arguments {
            rate,
            address: SocketAddr::new(address.parse()?, port),
            is_logged,
        })
    }
}

/// What went out when, by the clock of the sender. It is kept in memory, so that keeping it does
/// not hold the sender up.
pub struct Log {
    sent: RefCell<Vec<(Instant, usize)>>,
    is_kept: bool,
}

/// When something went out after the first, and how many bytes.
pub type Sent = (Duration, usize);

impl Log {
    pub fn new(is_kept: bool) -> Log {
        Log {
            sent: RefCell::new(Vec::new()),
            is_kept,
        }
    }

    /// So many bytes go out now.
    pub fn note(&self, bytes: usize) {
        if self.is_kept {
            self.sent.borrow_mut().push((Instant::now(), bytes));
        }
    }

    /// A line for each write: nanoseconds since the first, and bytes.
    pub fn text(&self) -> String {
        let sent = self.sent.borrow();
        let first = sent.first().map(|(at, _)| *at);
        let line = |(at, bytes): &(Instant, usize)| {
            let since = first.map_or(Duration::ZERO, |first| *at - first);
            format!("{} {bytes}\n", since.as_nanos())
        };
        sent.iter().map(line).collect()
    }

    pub fn parse(text: &str) -> Result<Vec<Sent>, Box<dyn Error>> {
        let parse = |line: &str| -> Result<Sent, Box<dyn Error>> {
            let (since, bytes) = line.split_once(' ').ok_or("no line of a log")?;
            Ok((Duration::from_nanos(since.parse()?), bytes.parse()?))
        };
        text.lines().map(parse).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_noted_is_read() {
        let log = Log::new(true);
        log.note(1000);
        log.note(380);
        let sent = Log::parse(&log.text()).unwrap();
        assert_eq!(sent[0], (Duration::ZERO, 1000));
        assert_eq!((sent[1].1, sent.len()), (380, 2));
        assert!(Log::parse("gibberish").is_err());
    }
}
