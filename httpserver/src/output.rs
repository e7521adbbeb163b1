//! Responses on their way out: gathered while there are more to come, sent in one piece.

use std::cell::Cell;
use std::future::poll_fn;
use std::io::IoSlice;
use std::mem;
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use iostream::{Error, WriteHalf};

/// The writing half of a connection, and what was not given to it yet.
///
/// Whatever is gathered leaves before anybody waits for anything else, and is not lost if the
/// exchange is dropped.
pub(crate) struct Output {
    stream: WriteHalf,
    /// On loan from the thread while it is not empty.
    gathered: Vec<u8>,
    /// The stream was given bytes that nobody has waited for.
    is_queued: bool,
    /// How long the client may take nothing of what it is owed.
    timeout: Duration,
}

thread_local! {
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

impl Output {
    pub(crate) fn new(stream: WriteHalf, timeout: Duration) -> Output {
        Output {
            stream,
            gathered: Vec::new(),
            is_queued: false,
            timeout,
        }
    }

    pub(crate) fn stream(&self) -> &WriteHalf {
        &self.stream
    }

    /// The loop's time.
    pub(crate) fn now(&self) -> Instant {
        self.stream.io_loop().now()
    }

    pub(crate) fn into_stream(self) -> WriteHalf {
        self.stream.clone()
    }

    /// Where to put what is to be sent next.
    pub(crate) fn gather(&mut self) -> &mut Vec<u8> {
        if self.gathered.capacity() == 0 {
            self.gathered = SPARE.try_with(Cell::take).unwrap_or_default();
        }
        &mut self.gathered
    }

    /// Has the loop send what was gathered, without waiting.
    pub(crate) fn queue(&mut self) {
        if self.gathered.is_empty() {
            return;
        }
        if let Err(error) = self.stream.queue(&self.gathered) {
            // It is bounded before, so the connection is broken, and whoever writes next hears it.
            tracing::debug!(%error, "could not send");
            self.stream.abort();
        }
        self.is_queued = true;
        self.give_back();
    }

    /// Waits for `future`; meanwhile nothing of what was gathered waits.
    pub(crate) async fn while_sending<F: Future>(&mut self, future: F) -> F::Output {
        let mut future = pin!(future);
        poll_fn(|context| self.or_queue(future.as_mut().poll(context))).await
    }

    /// Before somebody waits, what was gathered must leave.
    pub(crate) fn or_queue<T>(&mut self, polled: Poll<T>) -> Poll<T> {
        if polled.is_pending() {
            self.queue();
        }
        polled
    }

    /// Whether what was gathered should leave before there is more.
    pub(crate) fn is_much(&self) -> bool {
        self.gathered.len() >= GATHERED_MAX || self.is_queued
    }

    /// Sends what was gathered, and waits until the client has taken it.
    pub(crate) async fn send(&mut self) -> Result<(), Error> {
        match self.gathered.is_empty() && !self.is_queued {
            true => Ok(()),
            false => self.send_piece(&[]).await,
        }
    }

    /// As [`send`](Output::send), with something behind it that is too much to gather.
    pub(crate) async fn send_with(&mut self, data: &[u8]) -> Result<(), Error> {
        for piece in data.chunks(PIECE_MAX) {
            self.send_piece(piece).await?;
        }
        Ok(())
    }

    async fn send_piece(&mut self, piece: &[u8]) -> Result<(), Error> {
        let parts = [IoSlice::new(&self.gathered), IoSlice::new(piece)];
        let result = self.write(&parts).await;
        self.is_queued = false;
        self.give_back();
        result
    }

    /// Writes, and waits until the client has taken everything.
    async fn write(&self, parts: &[IoSlice<'_>]) -> Result<(), Error> {
        if self.stream.queued() > 0 {
            self.flush().await?;
        }
        // With nothing before it, this waits for nobody but the loop.
        self.stream.write_vectored(parts).await?;
        match self.stream.queued() {
            0 => Ok(()),
            _ => self.flush().await,
        }
    }

    /// Waits until the client has taken everything; each time that it takes something its time
    /// begins anew.
    async fn flush(&self) -> Result<(), Error> {
        let mut owed = self.stream.queued();
        self.set_deadline();
        let mut flushing = pin!(self.stream.flush());
        poll_fn(|context| {
            let polled = flushing.as_mut().poll(context);
            if polled.is_pending() && self.stream.queued() < owed {
                owed = self.stream.queued();
                self.set_deadline();
            }
            polled
        })
        .await
    }

    fn set_deadline(&self) {
        self.stream.set_deadline_after(self.timeout);
    }

    fn give_back(&mut self) {
        let mut spare = mem::take(&mut self.gathered);
        spare.clear();
        if (1..=SPARE_MAX).contains(&spare.capacity()) {
            // While the thread ends there is nowhere to put it.
            let _ = SPARE.try_with(|place| place.set(spare));
        }
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        self.queue();
    }
}

/// Above this, gathering more saves nothing: the system call costs less than the copying.
pub(crate) const GATHERED_MAX: usize = 16 * 1024;

/// What is sent of a large body before the client must have taken it. More would only wait in
/// memory.
const PIECE_MAX: usize = 64 * 1024;

/// The largest buffer that a thread keeps: all that is gathered fits, with a large head behind it.
const SPARE_MAX: usize = 64 * 1024;
