//! Opening connections, and everything that can keep one from opening; all on this machine.

use std::collections::HashSet;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use futures_lite::future::or;
use ioloop::{IoLoop, sleep};
use iostream::{Connector, IoStream, connect, connect_unix};
use socket2::{Domain, Socket, Type};

use crate::support::{on_loop, on_virtual_loop, timed, turns};

/// A listener whose queue is full: whoever connects hears nothing, as behind a firewall.
struct BlackHole {
    listener: Socket,
    _waiting: TcpStream,
}

impl BlackHole {
    fn new() -> BlackHole {
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        listener
            .bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())
            .unwrap();
        // The kernel takes one more than it is told.
        listener.listen(0).unwrap();
        let address = listener.local_addr().unwrap().as_socket().unwrap();
        BlackHole {
            _waiting: TcpStream::connect(address).unwrap(),
            listener,
        }
    }

    fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap().as_socket().unwrap()
    }
}

/// An address where nobody listens.
fn deserted(ip: impl Into<IpAddr>) -> SocketAddr {
    let listener = TcpListener::bind((ip.into(), 0)).unwrap();
    listener.local_addr().unwrap()
}

fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

fn said(result: io::Result<IoStream>) -> (ErrorKind, String) {
    let error = result.expect_err("nobody can have answered");
    (error.kind(), error.to_string())
}

#[test]
fn a_refusal_is_not_mistaken_for_success_and_says_where() {
    on_loop(async {
        for ip in [
            IpAddr::from(Ipv4Addr::LOCALHOST),
            Ipv6Addr::LOCALHOST.into(),
        ] {
            let address = deserted(ip);
            let expected = format!("cannot connect to {address}: connection refused");
            let refused = said(connect(address).await);
            assert_eq!(refused, (ErrorKind::ConnectionRefused, expected));
        }
    });
}

#[test]
fn nobody_waits_for_longer_than_the_timeout() {
    on_virtual_loop(async {
        let hole = BlackHole::new();
        let (waited, result) = timed(connect(hole.address())).await;
        let expected = format!("cannot connect to {}: timed out", hole.address());
        assert_eq!(said(result), (ErrorKind::TimedOut, expected));
        assert_eq!(waited.as_secs(), 30);

        let connector = Connector::new().timeout(Duration::from_secs(3));
        let (waited, result) = timed(connector.connect(&[hole.address(), hole.address()])).await;
        assert_eq!(said(result).0, ErrorKind::TimedOut);
        assert_eq!(waited.as_secs(), 3);
    });
}

#[test]
fn a_host_that_cannot_be_reached_is_not_waited_for() {
    on_virtual_loop(async {
        // From the loopback address of IPv6 no route leads to an IPv4 address, not even a near one.
        let connector = Connector::new().source_address(Ipv6Addr::LOCALHOST.into());
        let elsewhere = "[::ffff:127.0.0.1]:9".parse().unwrap();
        let (waited, result) = timed(connector.connect(&[elsewhere])).await;
        let expected = "cannot connect to [::ffff:127.0.0.1]:9: network is unreachable";
        assert_eq!(
            said(result),
            (ErrorKind::NetworkUnreachable, expected.into())
        );
        assert!(waited < Duration::from_secs(1));
    });
}

#[test]
fn the_source_address_is_not_ignored() {
    on_loop(async {
        let (listener, address) = listener();
        let connector = Connector::new().source_address("127.0.0.9".parse().unwrap());
        let stream = connector.connect(&[address]).await.unwrap();
        let (_, peer) = listener.accept().unwrap();
        assert_eq!(peer.ip().to_string(), "127.0.0.9");
        assert_eq!(stream.local_address().unwrap().ip(), Some(peer));
        // Destinations of the other family cannot be reached from it.
        let other_family = connector.connect(&[deserted(Ipv6Addr::LOCALHOST)]).await;
        let expected = "cannot connect: no address to connect to";
        assert_eq!(
            said(other_family),
            (ErrorKind::InvalidInput, expected.into())
        );
    });
}

#[test]
fn a_refusing_address_does_not_hide_the_one_that_answers() {
    on_virtual_loop(async {
        let (_listener, answers) = listener();
        let refusing = [deserted(Ipv6Addr::LOCALHOST), deserted(Ipv4Addr::LOCALHOST)];
        for addresses in [
            vec![refusing[0], answers],
            vec![answers, refusing[0]],
            vec![refusing[0], refusing[1], answers],
        ] {
            let (waited, stream) = timed(Connector::new().connect(&addresses)).await;
            assert_eq!(stream.unwrap().peer_address().unwrap().ip(), Some(answers));
            assert!(waited < Duration::from_millis(250), "{waited:?}");
        }
        let refused = said(Connector::new().connect(&refusing).await);
        assert_eq!(refused.0, ErrorKind::ConnectionRefused);
    });
}

#[test]
fn an_address_that_does_not_answer_delays_the_next_by_a_quarter_of_a_second() {
    on_virtual_loop(async {
        let (_listener, answers) = listener();
        let hole = BlackHole::new();
        let connector = Connector::new();
        let (waited, stream) = timed(connector.connect(&[hole.address(), answers])).await;
        assert_eq!(stream.unwrap().peer_address().unwrap().ip(), Some(answers));
        assert_eq!(waited, Duration::from_millis(250));
        // A refusal meanwhile brings the next one in at once.
        let addresses = [hole.address(), deserted(Ipv4Addr::LOCALHOST), answers];
        let (waited, stream) = timed(connector.connect(&addresses)).await;
        assert_eq!(stream.unwrap().peer_address().unwrap().ip(), Some(answers));
        assert_eq!(waited, Duration::from_millis(250));
    });
}

/// How many sockets of this machine are connecting to `address` (state 02, `SYN_SENT`).
fn sockets_to(address: SocketAddr) -> usize {
    let port = format!(":{:04X}", address.port());
    let table = std::fs::read_to_string("/proc/self/net/tcp").unwrap();
    table
        .lines()
        .filter_map(|line| {
            let mut fields = line.split_whitespace().skip(1);
            Some((fields.next()?, fields.next()?, fields.next()?))
        })
        .filter(|(_, remote, state)| remote.ends_with(&port) && *state == "02")
        // A table that changes while it is read may show a socket twice.
        .collect::<HashSet<_>>()
        .len()
}

#[test]
fn a_connect_that_is_given_up_does_not_keep_its_sockets() {
    on_virtual_loop(async {
        let hole = BlackHole::new();
        let addresses = [hole.address(), hole.address(), hole.address()];
        let connector = Connector::new();
        let given_up = or(
            async { connector.connect(&addresses).await.is_ok() },
            async {
                sleep(Duration::from_secs(1)).await;
                assert_eq!(sockets_to(hole.address()), 3, "all three are being tried");
                false
            },
        );
        assert!(!given_up.await);
        assert_eq!(sockets_to(hole.address()), 0);
        assert_eq!(IoLoop::current().metrics().live_handlers, 0);
    });
}

#[test]
fn the_losers_of_a_race_are_closed() {
    on_virtual_loop(async {
        let (_listener, answers) = listener();
        let hole = BlackHole::new();
        let stream = Connector::new().connect(&[hole.address(), answers]).await;
        assert_eq!(sockets_to(hole.address()), 0);
        drop(stream);
    });
}

#[test]
fn a_connected_stream_carries_bytes_without_delay() {
    on_loop(async {
        let (listener, address) = listener();
        let mut stream = connect(address).await.unwrap();
        let (accepted, _) = listener.accept().unwrap();
        let mut peer = IoStream::from_fd(accepted).unwrap();
        stream.write(b"ping").await.unwrap();
        assert_eq!(peer.read_bytes(4).await.unwrap(), b"ping");
        peer.write(b"pong").await.unwrap();
        assert_eq!(stream.read_bytes(4).await.unwrap(), b"pong");
        stream.set_nodelay(true).unwrap();
    });
}

#[test]
fn a_missing_path_is_not_waited_for_and_is_named() {
    on_loop(async {
        let folder = std::env::temp_dir().join(format!("iostream-it-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("socket");
        let missing = connect_unix(&path).await;
        let expected = format!(
            "cannot connect to {}: no such file or directory",
            path.display()
        );
        assert_eq!(said(missing), (ErrorKind::NotFound, expected));

        let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let stream = connect_unix(&path).await.unwrap();
        let (accepted, _) = listener.accept().unwrap();
        let mut peer = IoStream::from_fd(accepted).unwrap();
        stream.write(b"hello").await.unwrap();
        assert_eq!(peer.read_bytes(5).await.unwrap(), b"hello");
        let address = stream.peer_address().unwrap().to_string();
        assert_eq!(address, format!("unix:{}", path.display()));

        drop(listener);
        assert_eq!(
            said(connect_unix(&path).await).0,
            ErrorKind::ConnectionRefused
        );
        let long = "x".repeat(200);
        assert_eq!(said(connect_unix(&long).await).0, ErrorKind::InvalidInput);
        std::fs::remove_dir_all(folder).unwrap();
        turns(1).await;
    });
}

#[cfg(feature = "blocking")]
#[test]
fn a_name_is_looked_up_without_holding_the_loop() {
    on_loop(async {
        let (_listener, address) = listener();
        let stream = iostream::connect_host("localhost", address.port()).await;
        assert_eq!(stream.unwrap().peer_address().unwrap().ip(), Some(address));
        let unknown = iostream::connect_host("no such name", 1).await.unwrap_err();
        assert!(
            unknown
                .to_string()
                .starts_with("cannot look up no such name: ")
        );
    });
}
