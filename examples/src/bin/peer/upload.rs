//! Sending blocks: which one is decided at the last moment, when the limit lets it pass.

use std::convert::Infallible;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use ioloop::{IoLoop, Task};
use iostream::RateLimiter;

use crate::layout::{Block, Layout};
use crate::link::Link;
use crate::storage::Storage;
use crate::wire::piece_header;

/// Why nothing more can be sent.
#[derive(Debug)]
pub(crate) enum Broken {
    Connection(iostream::Error),
    /// The files cannot be read: no other peer gets anything, either.
    Files(io::Error),
}

/// Sends what the peer asks for until that cannot go on. `sent` is told of bytes of blocks.
///
/// A block waits for its turn while the peer could take it. Before its first byte it can be
/// cancelled or choked; from then on it goes out whole, in as many turns as the limit makes of it,
/// and other messages wait for its end. They need no turns themselves.
pub(crate) async fn upload(
    link: &Link,
    limiter: &RateLimiter,
    mut files: ReadAhead,
    mut sent: impl FnMut(u64),
) -> Result<Infallible, Broken> {
    loop {
        let block = link.next_wanted().await;
        files.read(block).await.map_err(Broken::Files)?;
        link.look_at_wanted(|wanted| files.prepare(wanted));
        let data = files.here(block).unwrap_or_default();
        let message = [&piece_header(&block), data].concat();
        let mut rest = &message[..];
        link.writer.flush().await?;
        let mut grant = limiter.permit(rest.len()).await;
        if !link.take(block) {
            continue;
        }
        link.begin_block();
        loop {
            let (now, later) = rest.split_at(grant.bytes());
            link.writer.write(now).await?;
            grant.charge(now.len());
            rest = later;
            if rest.is_empty() {
                break;
            }
            link.writer.flush().await?;
            grant = limiter.permit(rest.len()).await;
        }
        link.end_block();
        sent(block.length.into());
    }
}

impl From<iostream::Error> for Broken {
    fn from(error: iostream::Error) -> Broken {
        Broken::Connection(error)
    }
}

/// Reads blocks from the files, a few more than asked for: the next ones are likely those behind.
///
/// The next are read while the present ones wait for their turns. Who goes to the disk between two
/// turns does not stand in the limiter's ring meanwhile, and falls behind the limit.
pub(crate) struct ReadAhead {
    storage: Arc<Storage>,
    layout: Layout,
    here: Window,
    bytes: Vec<u8>,
    coming: Option<(Window, Task<io::Result<Vec<u8>>>)>,
}

/// From where to where in a torrent.
type Window = Range<u64>;

impl ReadAhead {
    pub(crate) fn new(storage: Arc<Storage>, layout: Layout) -> ReadAhead {
        ReadAhead {
            storage,
            layout,
            here: 0..0,
            bytes: Vec::new(),
            coming: None,
        }
    }

    /// A block's bytes, if they were read.
    fn here(&self, block: Block) -> Option<&[u8]> {
        let start = self.window(block).start.checked_sub(self.here.start)?;
        let start = usize::try_from(start).ok()?;
        self.bytes.get(start..start + block.length as usize)
    }

    async fn read(&mut self, block: Block) -> io::Result<()> {
        if self.here(block).is_some() {
            return Ok(());
        }
        let coming = self
            .coming
            .take()
            .filter(|(window, _)| self.is_in(window, block));
        let (window, bytes) = coming.unwrap_or_else(|| self.begin(block));
        self.bytes = bytes.await?;
        self.here = window;
        Ok(())
    }

    /// Begins to read what will be needed next.
    fn prepare(&mut self, mut wanted: impl Iterator<Item = Block>) {
        if self.coming.is_none() {
            let missing = wanted.find(|block| self.here(*block).is_none());
            self.coming = missing.map(|block| self.begin(block));
        }
    }

    fn begin(&self, block: Block) -> (Window, Task<io::Result<Vec<u8>>>) {
        let rest = self.layout.piece_length(block.piece) - block.begin;
        let length = rest.min(AHEAD.max(block.length));
        let storage = Arc::clone(&self.storage);
        let read = move || storage.read(block.piece, block.begin, length);
        let window = self.window(Block { length, ..block });
        let io_loop = IoLoop::current();
        // A task of its own: nobody awaits it for a while, and made-up time stands still meanwhile.
        (window, io_loop.spawn(io_loop.run_blocking(read)))
    }

    fn is_in(&self, window: &Window, block: Block) -> bool {
        let block = self.window(block);
        window.start <= block.start && block.end <= window.end
    }

    fn window(&self, block: Block) -> Window {
        let start = self.layout.offset(block.piece) + u64::from(block.begin);
        start..start + u64::from(block.length)
    }
}

/// What is read at a time: little enough to keep twice for each peer, enough that going to another
/// thread for it costs next to nothing.
const AHEAD: u32 = 256 * 1024;
