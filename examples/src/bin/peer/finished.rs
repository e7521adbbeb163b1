//! What becomes of a piece whose blocks are all here: checked, written, announced, or blamed.

use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use ioloop::IoLoop;

use crate::begun::Received;
use crate::blame::Digest;
use crate::swarm::Swarm;
use crate::wire::Message;

impl Swarm {
    /// Hashes and writes a piece beside the loop, which goes on meanwhile.
    pub(crate) async fn check(self: Rc<Self>, piece: u32, blocks: Vec<Received>) {
        let mut senders = Vec::with_capacity(blocks.len());
        let mut data = Vec::with_capacity(blocks.len());
        for block in blocks {
            senders.push(block.sender);
            data.push(block.data);
        }
        let is_suspected = self.state.borrow().blame.is_suspected(piece);
        let storage = Arc::clone(&self.storage);
        let work = move || storage.check_and_write(piece, &data, is_suspected);
        match IoLoop::current().run_blocking(work).await {
            Ok(checked) if checked.is_right => self.piece_is_right(piece, &checked.digests),
            Ok(checked) => self.piece_is_wrong(piece, senders, checked.digests),
            Err(error) => self.fail(error.to_string()),
        }
    }

    fn piece_is_right(&self, piece: u32, digests: &[Digest]) {
        let now = self.session.now();
        let (liars, is_complete) = {
            let mut state = self.state.borrow_mut();
            let state = &mut *state;
            state.requests.verified(piece);
            for (key, peer) in &mut state.peers {
                if peer.has.has(piece) {
                    peer.useful -= 1;
                }
                peer.send(&Message::Have(piece), now);
                peer.update_interest(now);
                // There is memory again, and perhaps nothing left but what others were asked for.
                peer.ask(*key, &mut state.requests, now);
            }
            (state.blame.verified(piece, digests), state.is_complete())
        };
        liars.into_iter().for_each(|liar| self.ban(liar));
        if is_complete {
            self.part_from(|peer| peer.has.is_full());
            self.changed.notify(usize::MAX);
        }
    }

    fn piece_is_wrong(&self, piece: u32, senders: Vec<IpAddr>, digests: Vec<Digest>) {
        let now = self.session.now();
        let liar = {
            let mut state = self.state.borrow_mut();
            state.wasted += u64::from(self.layout.piece_length(piece));
            let blocks = senders.into_iter().zip(digests).collect();
            let liar = state.blame.failed(piece, blocks);
            state.requests.failed(piece, liar.is_some());
            liar
        };
        tracing::debug!(piece, "a wrong piece");
        if let Some(liar) = liar {
            self.ban(liar);
        }
        self.state.borrow_mut().ask_everybody(now);
    }
}
