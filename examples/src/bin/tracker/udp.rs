//! The UDP socket: packets in, packets out, on the loop that serves HTTP too.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::rc::Rc;
use std::time::Duration;

use futures_lite::future::yield_now;
use ioloop::{Watched, sleep};

use crate::app::App;
use crate::connection_id::ConnectionIds;
use crate::udp_packets::{self, Packet};

/// Answers packets for as long as it is polled.
pub(crate) async fn serve(socket: Watched<UdpSocket>, ids: ConnectionIds, app: Rc<App>) {
    let mut packet = [0; PACKET_MAX];
    let mut reply = Vec::new();
    for served in 1_u64.. {
        match socket
            .read_with(|socket| socket.recv_from(&mut packet))
            .await
        {
            Ok((length, source)) => {
                let packet = Packet {
                    bytes: &packet[..length],
                    source,
                    now: app.now(),
                };
                answer(packet, &ids, &app, &mut reply);
                // What does not fit into the socket's buffer is lost, as on its way; clients ask
                // again.
                if !reply.is_empty() {
                    let _ = socket.send_to(&reply, source);
                }
            }
            Err(error) => {
                tracing::warn!(%error, "cannot receive over UDP");
                sleep(PAUSE).await;
            }
        }
        if served % BATCH == 0 {
            yield_now().await;
        }
    }
}

/// Listens on `address`.
pub(crate) fn bind(address: SocketAddr) -> io::Result<Watched<UdpSocket>> {
    let socket = UdpSocket::bind(address)?;
    socket.set_nonblocking(true)?;
    Ok(Watched::new(socket))
}

fn answer(packet: Packet<'_>, ids: &ConnectionIds, app: &App, reply: &mut Vec<u8>) {
    reply.clear();
    let mut tracker = app.tracker.borrow_mut();
    let mut random = app.random.borrow_mut();
    let asked = udp_packets::answer(packet, &mut tracker, ids, &mut random, reply);
    app.counters.count_udp(asked);
}

/// What is longer was sent by nobody who speaks this protocol; its end is cut off.
const PACKET_MAX: usize = 2048;
/// So many are answered before others have their turn.
const BATCH: u64 = 64;
/// After an error, which is likely to come again at once.
const PAUSE: Duration = Duration::from_secs(1);
