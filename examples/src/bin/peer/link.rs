//! Our side of a connection: what goes out, and never within a block.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use event_listener::Event;
use iostream::WriteHalf;

use crate::layout::Block;
use crate::wire::Message;

/// What a peer is sent, and what it has asked for.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) writer: WriteHalf,
    /// While a block goes out: the messages that wait for its end.
    held: RefCell<Option<Vec<u8>>>,
    /// The peer may ask.
    is_unchoked: Cell<bool>,
    /// What the peer has asked for, oldest first.
    wanted: RefCell<VecDeque<Block>>,
    /// Something was asked for, or the connection is to end.
    changed: Event,
    is_over: Cell<bool>,
}

impl Link {
    pub(crate) fn new(writer: WriteHalf) -> Link {
        Link {
            writer,
            held: RefCell::default(),
            is_unchoked: Cell::new(false),
            wanted: RefCell::default(),
            changed: Event::new(),
            is_over: Cell::new(false),
        }
    }

    /// Sends a message: behind the block that is going out, if there is one. A peer that takes
    /// nothing any more, not even these few bytes, is cut off.
    pub(crate) fn send(&self, message: &Message) {
        let bytes = message.encode();
        match &mut *self.held.borrow_mut() {
            Some(held) if held.len() < HELD_MAX => held.extend(bytes),
            Some(_) => self.writer.abort(),
            None => self.queue(&bytes),
        }
    }

    /// The peer may ask, or not any more: then what it has asked for is forgotten.
    pub(crate) fn set_unchoked(&self, is_unchoked: bool) {
        self.is_unchoked.set(is_unchoked);
        if is_unchoked {
            self.send(&Message::Unchoke);
        } else {
            self.wanted.borrow_mut().clear();
            self.send(&Message::Choke);
        }
    }

    /// The peer asks for a block. While it may not, that is ignored: it may not know yet. Returns
    /// whether it has asked for more than anybody would.
    pub(crate) fn want(&self, block: Block) -> bool {
        if !self.is_unchoked.get() {
            return false;
        }
        let mut wanted = self.wanted.borrow_mut();
        wanted.push_back(block);
        self.changed.notify(usize::MAX);
        wanted.len() > WANTED_MAX
    }

    /// The peer does not want a block after all.
    pub(crate) fn cancel(&self, block: Block) {
        self.wanted.borrow_mut().retain(|other| *other != block);
    }

    /// Waits until a block is wanted, and says which. It stays wanted.
    pub(crate) async fn next_wanted(&self) -> Block {
        loop {
            let changed = self.changed.listen();
            let next = self.wanted.borrow().front().copied();
            if let Some(block) = next {
                return block;
            }
            changed.await;
        }
    }

    /// Shows all blocks that are wanted.
    pub(crate) fn look_at_wanted(&self, look: impl FnOnce(&mut dyn Iterator<Item = Block>)) {
        look(&mut self.wanted.borrow().iter().copied());
    }

    /// Takes a block from those that are wanted, if it still is the next.
    pub(crate) fn take(&self, block: Block) -> bool {
        let mut wanted = self.wanted.borrow_mut();
        let is_next = wanted.front() == Some(&block);
        if is_next {
            wanted.pop_front();
        }
        is_next
    }

    /// From now on messages wait.
    pub(crate) fn begin_block(&self) {
        *self.held.borrow_mut() = Some(Vec::new());
    }

    /// Sends the messages that have waited.
    pub(crate) fn end_block(&self) {
        let held = self.held.take().unwrap_or_default();
        if !held.is_empty() {
            self.queue(&held);
        }
    }

    /// Ends the connection in good order.
    pub(crate) fn end(&self) {
        self.is_over.set(true);
        self.changed.notify(usize::MAX);
    }

    /// Waits until it is to end.
    pub(crate) async fn ended(&self) {
        loop {
            let changed = self.changed.listen();
            if self.is_over.get() {
                return;
            }
            changed.await;
        }
    }

    fn queue(&self, bytes: &[u8]) {
        if self.writer.queue(bytes).is_err() {
            self.writer.abort();
        }
    }
}

/// Clients ask for 500 blocks at most at a time, unless they are told of a larger limit.
const WANTED_MAX: usize = 1_000;

/// What may wait for the end of a block: as many announcements of pieces as come in minutes.
const HELD_MAX: usize = 256 * 1024;
