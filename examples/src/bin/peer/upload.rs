//! Sending blocks: which one is decided at the last moment, when the limit lets it pass.

use std::convert::Infallible;
use std::io::{self, IoSlice};
use std::sync::Arc;

use ioloop::IoLoop;
use iostream::RateLimiter;
use tcpserver::BoxError;

use crate::layout::{Block, Layout};
use crate::link::Link;
use crate::storage::Storage;
use crate::wire::piece_header;

/// Sends what the peer asks for until the connection breaks. `sent` is told of bytes of blocks.
///
/// A block waits for its turn while the peer could take it. Before its first byte it can be
/// cancelled or choked; from then on it goes out whole, in as many turns as the limit makes of it,
/// and other messages wait for its end. They need no turns themselves.
pub(crate) async fn upload(
    link: &Link,
    limiter: &RateLimiter,
    mut files: ReadAhead,
    mut sent: impl FnMut(u64),
) -> Result<Infallible, BoxError> {
    loop {
        let block = link.next_wanted().await;
        let data = files.read(block).await?;
        link.writer.flush().await?;
        let header = piece_header(&block);
        let mut grant = limiter.permit(header.len() + data.len()).await;
        if !link.take(block) {
            continue;
        }
        link.begin_block();
        let mut rest = data;
        // Were it granted less than the header, that would be charged to the next turn.
        let (now, later) =
            rest.split_at(grant.bytes().saturating_sub(header.len()).min(rest.len()));
        let parts = [IoSlice::new(&header), IoSlice::new(now)];
        link.writer.write_vectored(&parts).await?;
        grant.charge(header.len() + now.len());
        sent(now.len() as u64);
        rest = later;
        while !rest.is_empty() {
            link.writer.flush().await?;
            grant = limiter.permit(rest.len()).await;
            let (now, later) = rest.split_at(grant.bytes());
            link.writer.write(now).await?;
            grant.charge(now.len());
            sent(now.len() as u64);
            rest = later;
        }
        link.end_block();
    }
}

/// Reads blocks from the files, a few more than asked for: the next ones are likely those behind.
pub(crate) struct ReadAhead {
    storage: Arc<Storage>,
    layout: Layout,
    /// Where in the torrent `bytes` are from.
    start: u64,
    bytes: Vec<u8>,
}

impl ReadAhead {
    pub(crate) fn new(storage: Arc<Storage>, layout: Layout) -> ReadAhead {
        ReadAhead {
            storage,
            layout,
            start: 0,
            bytes: Vec::new(),
        }
    }

    async fn read(&mut self, block: Block) -> io::Result<&[u8]> {
        let start = self.layout.offset(block.piece) + u64::from(block.begin);
        let length = block.length as usize;
        if self.here(start, length).is_none() {
            let rest = self.layout.piece_length(block.piece) - block.begin;
            let length = rest.min(AHEAD.max(block.length));
            let (storage, Block { piece, begin, .. }) = (Arc::clone(&self.storage), block);
            let read = move || storage.read(piece, begin, length);
            self.bytes = IoLoop::current().run_blocking(read).await?;
            self.start = start;
        }
        Ok(self.here(start, length).unwrap_or_default())
    }

    fn here(&self, start: u64, length: usize) -> Option<&[u8]> {
        let from = usize::try_from(start.checked_sub(self.start)?).ok()?;
        self.bytes.get(from..from.checked_add(length)?)
    }
}

/// What is read at a time: little enough to keep for each peer, enough that going to another
/// thread for it costs next to nothing.
const AHEAD: u32 = 256 * 1024;
