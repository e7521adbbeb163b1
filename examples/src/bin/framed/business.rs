//! What a request is answered with: the place for a function of your own.

use std::thread;
use std::time::Duration;

/// A reply, or how to come by it.
pub(crate) enum Answer {
    Now(Vec<u8>),
    /// What would hold the loop: it runs on another thread.
    Later(Box<dyn FnOnce() -> Vec<u8> + Send>),
}

/// Answers one request, which is not empty.
pub(crate) fn answer(request: Vec<u8>) -> Answer {
    if let Some(duration) = request.strip_prefix(b"sleep ").and_then(milliseconds) {
        return Answer::Later(Box::new(move || sleep(duration)));
    }
    if let Some((count, byte)) = request.strip_prefix(b"repeat ").and_then(repetition) {
        return Answer::Later(Box::new(move || vec![byte; count]));
    }
    if request == b"fail" {
        return Answer::Later(Box::new(|| panic!("as a function of yours may")));
    }
    Answer::Now(request)
}

fn milliseconds(text: &[u8]) -> Option<Duration> {
    number(text).map(|count| Duration::from_millis(count as u64))
}

/// A number that is not too large, a blank, a byte.
fn repetition(text: &[u8]) -> Option<(usize, u8)> {
    match text {
        [digits @ .., b' ', byte] => {
            let count = number(digits).filter(|count| *count <= REPEAT_MAX)?;
            Some((count, *byte))
        }
        _ => None,
    }
}

fn number(text: &[u8]) -> Option<usize> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

#[expect(
    clippy::disallowed_methods,
    reason = "it stands for work, and the thread is one of the pool's"
)]
fn sleep(duration: Duration) -> Vec<u8> {
    thread::sleep(duration);
    Vec::new()
}

/// Whoever asks costs us so much memory.
const REPEAT_MAX: usize = 100_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(request: &[u8]) -> Vec<u8> {
        match answer(request.to_vec()) {
            Answer::Now(reply) => reply,
            Answer::Later(work) => work(),
        }
    }

    #[test]
    fn what_is_not_a_command_does_not_come_back_changed() {
        for request in [
            &b"hello"[..],
            b"\0\xff",
            b"sleep",
            b"sleep ",
            b"sleep soon",
            b"repeat 3",
            b"repeat -3 x",
            b"repeat 100000001 x",
            b"repeat 3 xy",
            b"failure",
        ] {
            assert!(matches!(answer(request.to_vec()), Answer::Now(reply) if reply == request));
        }
    }

    #[test]
    fn what_takes_time_is_not_done_at_once() {
        for (request, expected) in [
            (&b"sleep 1"[..], &b""[..]),
            (b"repeat 0 x", b""),
            (b"repeat 3 x", b"xxx"),
            (b"repeat 2  ", b"  "),
        ] {
            assert!(matches!(answer(request.to_vec()), Answer::Later(_)));
            assert_eq!(reply(request), expected);
        }
    }
}
