//! Connecting to peers that we were told of.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use ioloop::IoLoop;
use iostream::{Connector, IoStream};
use tcpserver::BoxError;

use crate::candidates::Outcome;
use crate::connection::exchange;
use crate::handshake::{PeerId, greeting, handshake, peer_id};
use crate::session::HANDSHAKE_TIMEOUT;
use crate::swarm::Swarm;

impl Swarm {
    /// Adds addresses of peers; `is_fixed` if the user has named them.
    pub(crate) fn add_candidates(
        self: &Rc<Self>,
        addresses: impl IntoIterator<Item = SocketAddr>,
        is_fixed: bool,
    ) {
        let now = self.session.now();
        for mut address in addresses {
            address.set_ip(address.ip().to_canonical());
            let ours = address == self.session.address.get();
            if !ours {
                self.state
                    .borrow_mut()
                    .candidates
                    .add(address, is_fixed, now);
            }
        }
        self.dial();
    }

    /// Connects to whom it is time to connect to. Runs for ever.
    pub(crate) async fn run_dialling(self: Rc<Self>) {
        loop {
            self.dial();
            ioloop::sleep(INTERVAL).await;
        }
    }

    fn dial(self: &Rc<Self>) {
        let mut state = self.state.borrow_mut();
        let state = &mut *state;
        let busy = state.peers.len() + state.dialling;
        let count = DIALLED_MAX.saturating_sub(busy);
        let due = state.candidates.due(count, self.session.now(), |ip| {
            self.session.is_banned(ip) || state.peers.values().any(|peer| peer.address.ip() == ip)
        });
        state.dialling += due.len();
        for address in due {
            let call = Rc::clone(self).call(address);
            IoLoop::current().spawn(call).detach();
        }
    }

    async fn call(self: Rc<Self>, address: SocketAddr) {
        let shaken = self.shake_hands(address).await;
        self.state.borrow_mut().dialling -= 1;
        let outcome = match shaken {
            Ok((_, id)) if id == self.session.peer_id => Outcome::Useless,
            Ok((stream, id)) => {
                let began = self.session.now();
                if let Err(error) = exchange(&self, stream, address, id).await {
                    tracing::debug!(peer = %address, "{error}");
                }
                Outcome::Parted(self.session.now() - began)
            }
            Err(error) => {
                tracing::debug!(peer = %address, "{error}");
                Outcome::Failed
            }
        };
        let now = self.session.now();
        let random = IoLoop::current().random();
        let candidates = &mut self.state.borrow_mut().candidates;
        candidates.ended(address, outcome, now, random);
    }

    async fn shake_hands(&self, address: SocketAddr) -> Result<(IoStream, PeerId), BoxError> {
        let mut connector = Connector::new().timeout(CONNECT_TIMEOUT);
        if let Some(source) = self.session.source() {
            connector = connector.source_address(source);
        }
        let mut stream = connector.connect(&[address]).await?;
        stream.set_deadline(Some(self.session.now() + HANDSHAKE_TIMEOUT));
        let ours = handshake(&self.info_hash, &self.session.peer_id);
        stream.write(&ours).await?;
        if stream.read_with(greeting).await? != self.info_hash {
            return Err("it answers for another torrent".into());
        }
        let id = stream.read_with(peer_id).await?;
        Ok((stream, id))
    }
}

/// How often is looked whose time has come.
const INTERVAL: Duration = Duration::from_secs(1);

/// Peers that are there answer soon.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// With so many peers we wait to be called.
const DIALLED_MAX: usize = 40;
