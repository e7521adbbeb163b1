//! One connection, from the handshake to its end.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use futures_lite::future::or;
use iostream::{IoStream, ReadHalf};
use tcpserver::BoxError;

use crate::handshake::PeerId;
use crate::link::Link;
use crate::swarm::{Membership, Swarm};
use crate::upload::{Broken, ReadAhead, upload};
use crate::wire;

/// Talks with a peer that has shaken hands until one of us has enough.
pub(crate) async fn exchange(
    swarm: &Rc<Swarm>,
    stream: IoStream,
    address: SocketAddr,
    id: PeerId,
) -> Result<(), BoxError> {
    stream.set_deadline(None);
    let (reader, writer) = swarm.session.limited(stream).split();
    let link = Rc::new(Link::new(writer));
    let membership = swarm.join(address, id, Rc::clone(&link))?;
    tracing::debug!(peer = %address, "in");
    let files = ReadAhead::new(swarm.storage.clone(), swarm.layout);
    let limiter = swarm.session.upload.clone();
    let sent = |bytes| swarm.sent(membership.key, bytes);
    let sending = async {
        match upload(&link, &limiter, files, sent).await {
            Ok(never) => match never {},
            Err(Broken::Connection(error)) => Err(error.into()),
            Err(Broken::Files(error)) => {
                swarm.fail(error.to_string());
                Err(error.into())
            }
        }
    };
    let talking = or(listen(&membership, reader), sending);
    let talking = async { talking.await.map(|never| match never {}) };
    let ended = async {
        link.ended().await;
        Ok(())
    };
    or(ended, talking).await
}

/// Hands what the peer says to the swarm.
async fn listen(membership: &Membership, mut reader: ReadHalf) -> Result<Infallible, BoxError> {
    let Membership { swarm, key } = membership;
    loop {
        reader.set_deadline(Some(swarm.session.now() + SILENCE_MAX));
        let message = reader.read_with(wire::message(&swarm.layout)).await?;
        swarm.receive(*key, message)?;
    }
}

/// Peers say something every two minutes, if only that they are there. This ends our own writing
/// too, to one that takes nothing.
const SILENCE_MAX: Duration = Duration::from_secs(180);
