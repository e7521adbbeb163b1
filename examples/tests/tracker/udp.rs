//! The same over UDP.

use std::net::{SocketAddr, UdpSocket};

use crate::server::{TOO_LONG, Tracker, announce};

struct Client {
    socket: UdpSocket,
    /// From the tracker.
    id: [u8; 8],
}

impl Client {
    fn connect(tracker: SocketAddr) -> Client {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(TOO_LONG)).unwrap();
        socket.connect(tracker).unwrap();
        let mut client = Client { socket, id: [0; 8] };
        let reply = client.ask(&CONNECT);
        assert_eq!(
            &reply[..8],
            [0, 0, 0, 0, 1, 2, 3, 4],
            "action and transaction"
        );
        assert_eq!(reply.len(), 16, "no longer than what was sent");
        client.id.copy_from_slice(&reply[8..]);
        client
    }

    fn ask(&self, packet: &[u8]) -> Vec<u8> {
        self.socket.send(packet).unwrap();
        let mut reply = [0; 4096];
        let length = self.socket.recv(&mut reply).unwrap();
        reply[..length].to_vec()
    }

    /// A packet with an action and what follows the transaction.
    fn packet(&self, action: u8, rest: &[u8]) -> Vec<u8> {
        [&self.id[..], &[0, 0, 0, action, 1, 2, 3, 4], rest].concat()
    }

    fn announce(&self, peer: u8, left: u8, event: u8, wanted: i32) -> Vec<u8> {
        let mut rest = [[b'a'; 20], [peer; 20]].concat();
        rest.extend([0; 8]); // downloaded
        rest.extend([0, 0, 0, 0, 0, 0, 0, left]);
        rest.extend([0; 8]); // uploaded
        rest.extend([0, 0, 0, event]);
        rest.extend([10, 0, 0, 1]); // an address that is not believed
        rest.extend([0; 4]); // key
        rest.extend(wanted.to_be_bytes());
        rest.extend([0, peer]);
        assert_eq!(rest.len(), 98 - 16);
        self.packet(1, &rest)
    }
}

const CONNECT: [u8; 16] = [0, 0, 4, 23, 39, 16, 25, 128, 0, 0, 0, 0, 1, 2, 3, 4];

fn start() -> (Tracker, SocketAddr) {
    let mut server = Tracker::start(&["--udp-port", "0", "--interval", "60"]);
    let address = server.program.next_address();
    (server, address)
}

#[test]
fn peers_over_udp_and_http_are_told_of_one_another() {
    let (server, address) = start();
    let client = Client::connect(address);
    let head = |leechers: u8, seeds: u8| {
        let mut head = vec![0, 0, 0, 1, 1, 2, 3, 4, 0, 0, 0, 60];
        head.extend([0, 0, 0, leechers, 0, 0, 0, seeds]);
        head
    };
    assert_eq!(client.ask(&client.announce(1, 5, 2, -1)), head(1, 0));
    assert_eq!(server.ask(&announce('a', 2, "left=5")).peers(), [1]);
    let told = [head(1, 1), vec![127, 0, 0, 1, 0, 2]].concat();
    assert_eq!(client.ask(&client.announce(1, 0, 1, -1)), told);
    assert_eq!(client.ask(&client.announce(1, 0, 0, 0)), head(1, 1));
    let scrape = [[b'a'; 20], [b'z'; 20]].concat();
    let counts = [1, 1, 1, 0, 0, 0].map(|count| [0, 0, 0, count]).concat();
    let reply = [&[0, 0, 0, 2, 1, 2, 3, 4][..], &counts].concat();
    assert_eq!(client.ask(&client.packet(2, &scrape)), reply);
    assert_eq!(client.ask(&client.announce(1, 0, 3, -1)), head(1, 0));
    assert_eq!(server.metric("tracker_announces_total{over=\"udp\"}"), 4);
}

#[test]
fn a_key_is_the_same_over_udp_and_http() {
    let (server, address) = start();
    let client = Client::connect(address);
    server.ask(&announce('a', 1, "left=5&key=0000002A"));
    let mut packet = client.announce(1, 5, 0, -1);
    packet[91] = 0x2b;
    assert_eq!(client.ask(&packet)[3], 3);
    packet[91] = 0x2a;
    assert_eq!(client.ask(&packet)[3], 1);
}

/// BEP 41: options behind the announce.
#[test]
fn a_longer_packet_is_understood() {
    let (_server, address) = start();
    let client = Client::connect(address);
    let mut packet = client.announce(1, 5, 0, -1);
    packet.extend(b"\x02\x09/announce\x01\x00");
    assert_eq!(client.ask(&packet)[3], 1);
    packet.extend([0; 1400]);
    assert_eq!(client.ask(&packet)[3], 1);
}

#[test]
fn what_cannot_be_taken_is_answered_with_an_error() {
    let (server, address) = start();
    let client = Client::connect(address);
    for (at, byte, text) in [(97, 0, "port must not be 0"), (83, 4, "unknown event")] {
        let mut packet = client.announce(1, 5, 0, -1);
        packet[at] = byte;
        let reply = client.ask(&packet);
        assert_eq!(&reply[..8], [0, 0, 0, 3, 1, 2, 3, 4]);
        assert_eq!(&reply[8..], text.as_bytes());
    }
    assert_eq!(server.metric("tracker_swarms"), 0);
}

/// Silence is seen by the next answer, which is that to the next question.
#[test]
fn what_is_short_or_unproven_is_answered_with_silence() {
    let (server, address) = start();
    let client = Client::connect(address);
    let other = Client {
        socket: client.socket.try_clone().unwrap(),
        id: [7; 8],
    };
    let announce = client.announce(1, 5, 0, -1);
    let mut silent = vec![
        other.announce(1, 5, 0, -1),
        other.packet(2, &[b'a'; 20]),
        client.packet(2, b""),
        client.packet(2, &[b'a'; 19]),
        client.packet(3, &[0; 100]),
        client.packet(0, b""),
        vec![0; 2000],
    ];
    silent.extend((0..98).map(|length| announce[..length].to_vec()));
    silent.extend((0..16).map(|length| CONNECT[..length].to_vec()));
    let count = silent.len() as u64;
    for packet in silent {
        client.socket.send(&packet).unwrap();
        assert_eq!(
            client.ask(&CONNECT)[..4],
            [0; 4],
            "{}",
            packet.escape_ascii()
        );
    }
    assert_eq!(server.metric("tracker_udp_ignored_total"), count);
    assert_eq!(server.metric("tracker_swarms"), 0);
}
