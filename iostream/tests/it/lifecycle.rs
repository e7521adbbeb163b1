//! Random lives of two connected streams: whatever they do, nothing is lost, invented or left
//! behind.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use fastrand::Rng;
use futures_lite::future::zip;
use futures_lite::{AsyncBufRead, AsyncBufReadExt, AsyncWriteExt};
use ioloop::{IoLoop, sleep, timeout};
use iostream::{CloseReason, Error, IoStream, ReadHalf, WriteHalf};

use crate::support::{Closes, on_loop, on_virtual_loop, turns};
use crate::transports::Kind;

/// One of the two, with its handles, and what both sides know of each other.
struct Side {
    random: Rng,
    reader: Option<ReadHalf>,
    writers: Vec<WriteHalf>,
    /// Everything that our stream has taken.
    sent: Rc<RefCell<Vec<u8>>>,
    /// Everything that the peer's stream has taken.
    expected: Rc<RefCell<Vec<u8>>>,
    received: usize,
    /// Somebody threw bytes away.
    was_aborted: Rc<Cell<bool>>,
    /// In milliseconds.
    patience_max: u64,
}

impl Side {
    async fn live(mut self) {
        for _ in 0..self.random.usize(3..40) {
            self.step().await;
            turns(self.random.usize(..3)).await;
        }
        // Whoever still can, hears the other side out, with or without a word of its own left.
        if self.random.bool() {
            self.writers.clear();
        }
        while self.reader.is_some() && self.random.u8(..50) > 0 {
            self.read().await;
        }
    }

    async fn step(&mut self) {
        match self.random.u8(..20) {
            0..6 => self.write().await,
            6..12 => self.read().await,
            12 => self.writers.extend(self.writers.first().cloned()),
            13 => drop(self.writers.pop()),
            14 if self.random.u8(..4) == 0 => self.reader = None,
            15 => {
                if let Some(writer) = self.writers.first() {
                    let _ = timeout(self.patience(), writer.flush()).await;
                }
            }
            16 if self.random.u8(..4) == 0 => self.close().await,
            17 if self.random.u8(..8) == 0 => self.abort(),
            18 => {
                if let Some(reader) = &self.reader {
                    let _ = timeout(self.patience(), reader.peer_closed()).await;
                }
            }
            _ => sleep(self.patience()).await,
        }
    }

    fn patience(&self) -> Duration {
        Duration::from_millis(self.random.clone().u64(..self.patience_max))
    }

    async fn write(&mut self) {
        let Some(writer) = self.writers.last() else {
            return;
        };
        let most = if self.random.bool() { 100 } else { 60_000 };
        let mut bytes = vec![0; self.random.usize(..most)];
        self.random.fill(&mut bytes);
        // Either all of it was taken or nothing, also if the write is dropped.
        let taken = match self.random.bool() {
            true => matches!(
                timeout(self.patience(), writer.write(&bytes)).await,
                Ok(Ok(()))
            ),
            false => writer.queue(&bytes).is_ok(),
        };
        if taken {
            self.sent.borrow_mut().extend(bytes);
        }
    }

    async fn read(&mut self) {
        let (patience, count) = (self.patience(), self.random.usize(1..20_000));
        let Some(reader) = &mut self.reader else {
            return;
        };
        let result = match self.random.u8(..4) {
            0 => timeout(patience, reader.read_bytes(count)).await,
            1 => timeout(patience, reader.read_until(b"ab", count)).await,
            2 => {
                let shown = timeout(patience, reader.fill_buf()).await;
                let Ok(Ok(shown)) = shown else { return };
                let some = shown[..shown.len().min(count)].to_vec();
                std::pin::Pin::new(reader).consume(some.len());
                Ok(Ok(some))
            }
            _ => timeout(patience, reader.read_some(count)).await,
        };
        match result {
            Ok(Ok(bytes)) => {
                // The write may be taken and under way before its future has told us.
                turns(1).await;
                let end = self.received + bytes.len();
                let expected = self.expected.borrow();
                let expected = expected.get(self.received..end);
                assert!(expected == Some(&bytes[..]), "not what was sent");
                self.received = end;
            }
            Ok(Err(Error::Closed { reason, unread: 0 })) => {
                if reason == CloseReason::EndOfStream && !self.was_aborted.get() {
                    assert_eq!(
                        self.received,
                        self.expected.borrow().len(),
                        "bytes were lost"
                    );
                }
                self.reader = None;
            }
            _ => {}
        }
    }

    async fn close(&mut self) {
        let patience = self.patience();
        if let Some(writer) = self.writers.first_mut() {
            if let Ok(Ok(())) = timeout(patience, writer.close()).await {
                assert!(writer.queue(b"x").is_err());
            }
        }
    }

    fn abort(&mut self) {
        if let Some(writer) = self.writers.first() {
            self.was_aborted.set(true);
            writer.abort();
        }
    }
}

async fn two_lives(kind: Kind, seed: u64, patience_max: u64) {
    let mut random = Rng::with_seed(seed);
    let (one, other) = kind.streams();
    let closes = [&one, &other].map(|stream| {
        let closes = Closes::new();
        stream.on_close(closes.clone());
        stream.set_linger_timeout(Duration::from_millis(10 * patience_max));
        stream.set_max_write_buffer_size(random.usize(..200_000));
        closes
    });
    let (there, back) = (Rc::default(), Rc::default());
    let was_aborted = Rc::new(Cell::new(false));
    let side = |stream: IoStream, sent: &Rc<_>, expected: &Rc<_>, random: Rng| {
        let (reader, writer) = stream.split();
        Side {
            random,
            reader: Some(reader),
            writers: vec![writer],
            sent: Rc::clone(sent),
            expected: Rc::clone(expected),
            received: 0,
            was_aborted: was_aborted.clone(),
            patience_max,
        }
    };
    let one = side(one, &there, &back, random.fork());
    let other = side(other, &back, &there, random.fork());
    zip(one.live(), other.live()).await;

    // Nobody holds a handle: after the linger timeout, or a minute without progress, it is over.
    while closes.iter().any(|closes| closes.count() == 0) {
        sleep(Duration::from_millis(patience_max)).await;
    }
    if matches!(kind, Kind::Cut(_)) {
        // Those below have a linger timeout of their own.
        sleep(Duration::from_secs(100)).await;
    }
    let metrics = IoLoop::current().metrics();
    assert_eq!(closes.map(|closes| closes.count()), [1, 1]);
    assert_eq!((metrics.live_handlers, metrics.live_tasks), (0, 1));
}

#[test]
fn no_life_of_a_stream_loses_bytes_or_leaves_anything_behind() {
    for kind in [Kind::Unix, Kind::Memory, Kind::Cut(1000)] {
        for seed in 0..60 {
            println!("over {kind:?}, seed {seed}");
            on_virtual_loop(two_lives(kind, seed, 500));
        }
    }
}

#[test]
fn nor_does_one_over_tcp_whose_kernel_has_its_own_time() {
    for seed in 0..60 {
        println!("seed {seed}");
        on_loop(two_lives(Kind::Tcp, seed, 3));
    }
}

#[test]
#[should_panic(expected = "different streams")]
fn halves_of_two_streams_do_not_make_one() {
    on_loop(async {
        let (one, other) = IoStream::pair();
        let (reader, _) = one.split();
        let (_, writer) = other.split();
        reader.unsplit(writer);
    });
}
