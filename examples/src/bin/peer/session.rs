//! What all torrents share: our name, the limits, the port, and who is banned.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::{Duration, Instant};

use examples::info_hash::InfoHash;
use ioloop::IoLoop;
use iostream::{IoStream, RateLimiter};
use tcpserver::{BoxError, Connection, StreamHandler};

use crate::choker;
use crate::connection::exchange;
use crate::handshake::{PeerId, greeting, handshake, new_peer_id, peer_id};
use crate::swarm::Swarm;

pub(crate) struct Session {
    io_loop: IoLoop,
    pub(crate) peer_id: PeerId,
    /// Where we listen, once we do.
    pub(crate) address: Cell<SocketAddr>,
    pub(crate) upload: RateLimiter,
    download: Option<RateLimiter>,
    swarms: RefCell<BTreeMap<InfoHash, Rc<Swarm>>>,
    /// Grows by one address for each piece that it has sent us wrong, and so slowly.
    banned: RefCell<BTreeSet<IpAddr>>,
}

impl Session {
    pub(crate) fn new(upload_limit: Option<u64>, download_limit: Option<u64>) -> Rc<Session> {
        let io_loop = IoLoop::current();
        Rc::new(Session {
            peer_id: new_peer_id(|| io_loop.random()),
            address: Cell::new(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0))),
            upload: upload_limit.map_or_else(RateLimiter::unlimited, RateLimiter::new),
            download: download_limit.map(RateLimiter::new),
            swarms: RefCell::default(),
            banned: RefCell::default(),
            io_loop,
        })
    }

    /// Peers that ask for this torrent are let in from now on.
    pub(crate) fn add(&self, swarm: &Rc<Swarm>) {
        let mut swarms = self.swarms.borrow_mut();
        swarms.insert(swarm.info_hash, Rc::clone(swarm));
    }

    /// And from now on no more.
    pub(crate) fn remove(&self, swarm: &Swarm) {
        let removed = self.swarms.borrow_mut().remove(&swarm.info_hash);
        drop(removed);
    }

    pub(crate) fn now(&self) -> Instant {
        self.io_loop.now()
    }

    /// How many peers of a torrent may ask at a time.
    pub(crate) fn slots(&self) -> usize {
        choker::slots(self.upload.limit())
    }

    /// The address to connect from, if we listen at a certain one.
    pub(crate) fn source(&self) -> Option<IpAddr> {
        Some(self.address.get().ip()).filter(|ip| !ip.is_unspecified())
    }

    pub(crate) fn is_banned(&self, address: IpAddr) -> bool {
        self.banned.borrow().contains(&address)
    }

    pub(crate) fn ban(&self, address: IpAddr) {
        self.banned.borrow_mut().insert(address);
    }

    /// A stream that keeps to the limits on what comes in. On what goes out, only blocks count.
    pub(crate) fn limited(&self, stream: IoStream) -> IoStream {
        match &self.download {
            Some(limiter) => stream.limit_reads(&limiter.clone()),
            None => stream,
        }
    }

    /// A peer that has connected says which torrent it is for.
    async fn let_in(&self, mut stream: IoStream, address: SocketAddr) -> Result<(), BoxError> {
        stream.set_deadline(Some(self.now() + HANDSHAKE_TIMEOUT));
        let info_hash = stream.read_with(greeting).await?;
        let swarm = self.swarms.borrow().get(&info_hash).cloned();
        let swarm = swarm.ok_or("it asks for a torrent that is not here")?;
        stream.write(&handshake(&info_hash, &self.peer_id)).await?;
        let id = stream.read_with(peer_id).await?;
        exchange(&swarm, stream, address, id).await
    }
}

/// Lets peers in: the server's handler.
pub(crate) struct Door(pub(crate) Rc<Session>);

impl StreamHandler for Door {
    async fn handle_stream(
        &self,
        stream: IoStream,
        connection: Connection,
    ) -> Result<(), BoxError> {
        let address = connection.peer_address().ip();
        let mut address = address.unwrap_or((Ipv4Addr::UNSPECIFIED, 0).into());
        // One that has come to `[::]` over IPv4 is still the same.
        address.set_ip(address.ip().to_canonical());
        if self.0.is_banned(address.ip()) {
            return Ok(());
        }
        let exchange = self.0.let_in(stream, address);
        // What strangers get wrong is everyday life, and no warning.
        if let Some(Err(error)) = connection.unless_draining(exchange).await {
            tracing::debug!(peer = %address, "{error}");
        }
        Ok(())
    }
}

/// Who connects has something to say.
pub(crate) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(20);
