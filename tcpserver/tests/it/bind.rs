//! Which sockets are opened for an address, and what is said when one cannot be.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;

use rustix::fs::{OFlags, fcntl_getfl};
use rustix::io::{FdFlags, fcntl_getfd};
use socket2::SockRef;
use tcpserver::{BindOptions, Families, Listener, bind_sockets};

use crate::support::no_forks;

fn bind(address: &str) -> io::Result<Vec<Listener>> {
    bind_sockets(address, &BindOptions::new())
}

fn addresses(listeners: &[Listener]) -> Vec<SocketAddr> {
    let addresses = listeners.iter().map(|one| one.address().ip());
    addresses.collect::<Option<_>>().unwrap()
}

#[test]
fn an_address_that_makes_no_sense_is_not_taken_for_another() {
    for (address, why) in [
        ("", "expected HOST:PORT"),
        ("8888", "expected HOST:PORT"),
        ("127.0.0.1", "expected HOST:PORT"),
        ("127.0.0.1:", "'' is no port"),
        ("127.0.0.1:http", "'http' is no port"),
        ("127.0.0.1:65536", "'65536' is no port"),
        ("127.0.0.1:-1", "'-1' is no port"),
        ("[::1]", "'1]' is no port"),
        ("/run/server.sock", "expected HOST:PORT"),
    ] {
        let error = bind(address).unwrap_err();
        let text = error.to_string();
        let wanted = format!("cannot listen on {address}: {why}");
        assert!(text.starts_with(&wanted), "{text}");
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{text}");
    }
}

#[test]
fn a_busy_port_is_not_reported_without_its_address() {
    let listeners = bind("127.0.0.1:0").unwrap();
    let address = listeners[0].address();
    let error = bind_sockets(address, &BindOptions::new()).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("cannot listen on {address}: address already in use")
    );
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
    let cause = error.get_ref().and_then(|error| error.source()).unwrap();
    let cause = cause.downcast_ref::<io::Error>().unwrap();
    assert_eq!(cause.kind(), ErrorKind::AddrInUse);
}

#[test]
fn an_address_of_another_machine_is_not_listened_on() {
    // TEST-NET-1 of RFC 5737.
    let error = bind("192.0.2.1:0").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrNotAvailable);
    let error = bind("[2001:db8::1]:0").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrNotAvailable);
}

#[test]
fn a_failure_leaves_no_socket_of_the_same_call_open() {
    let _forks = no_forks();
    let is_closed_again = || {
        let mut taken = bind("*:0").unwrap();
        let port = addresses(&taken)[0].port();
        drop(taken.remove(0));
        let error = bind(&format!("*:{port}")).unwrap_err().to_string();
        // The IPv4 side was open already when the other failed.
        error == format!("cannot listen on [::]:{port}: address already in use")
            && bind(&format!("0.0.0.0:{port}")).is_ok()
    };
    // Others may take that port meanwhile, but not always.
    assert!((0..10).any(|_| is_closed_again()));
}

#[test]
fn all_interfaces_are_not_two_ports() {
    for everywhere in [":0", "*:0"] {
        let listeners = bind(everywhere).unwrap();
        let bound = addresses(&listeners);
        let port = bound[0].port();
        assert_ne!(port, 0);
        let expected: [SocketAddr; 2] = [
            (Ipv4Addr::UNSPECIFIED, port).into(),
            (Ipv6Addr::UNSPECIFIED, port).into(),
        ];
        assert_eq!(bound, expected);
    }
}

#[test]
fn a_family_that_was_not_asked_for_is_not_opened() {
    for (families, is_wanted) in [
        (Families::V4, SocketAddr::is_ipv4 as fn(&SocketAddr) -> bool),
        (Families::V6, SocketAddr::is_ipv6),
    ] {
        let listeners = bind_sockets("*:0", &BindOptions::new().families(families)).unwrap();
        assert_eq!(listeners.len(), 1);
        assert!(addresses(&listeners).iter().all(is_wanted));
    }
    let error = bind_sockets("[::1]:0", &BindOptions::new().families(Families::V4)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot listen on [::1]:0: it has no address of the wanted family"
    );
}

#[test]
fn localhost_is_not_another_interface() {
    let listeners = bind("localhost:0").unwrap();
    let bound = addresses(&listeners);
    assert!(
        bound.iter().all(|address| address.ip().is_loopback()),
        "{bound:?}"
    );
    assert!(
        bound
            .iter()
            .all(|address| address.port() == bound[0].port()),
        "{bound:?}"
    );
}

#[test]
fn a_name_that_is_given_twice_is_not_bound_twice() {
    // The resolver may name an address once per kind of socket, or per line of a file.
    let listeners = bind("localhost:0").unwrap();
    let mut bound = addresses(&listeners);
    bound.dedup();
    assert_eq!(bound.len(), listeners.len());
}

#[test]
fn an_ipv6_socket_takes_ipv4_only_if_it_is_told_to() {
    let options = BindOptions::new().families(Families::V6);
    let alone = bind_sockets("*:0", &options).unwrap();
    assert!(SockRef::from(&alone[0]).only_v6().unwrap());

    let both = bind_sockets("*:0", &options.v6only(false)).unwrap();
    assert!(!SockRef::from(&both[0]).only_v6().unwrap());
    let port = addresses(&both)[0].port();
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
}

#[test]
fn options_do_not_stop_short_of_the_socket() {
    let listeners = bind("127.0.0.1:0").unwrap();
    let socket = SockRef::from(&listeners[0]);
    assert!(socket.reuse_address().unwrap());
    assert!(!rustix::net::sockopt::socket_reuseport(&listeners[0]).unwrap());

    let options = BindOptions::new()
        .reuse_addr(false)
        .reuse_port(true)
        .tos(0x10);
    let listeners = bind_sockets("127.0.0.1:0", &options).unwrap();
    let socket = SockRef::from(&listeners[0]);
    assert!(!socket.reuse_address().unwrap());
    assert!(rustix::net::sockopt::socket_reuseport(&listeners[0]).unwrap());
    assert_eq!(socket.tos_v4().unwrap(), 0x10);
}

#[test]
fn a_shared_port_is_shared_only_by_those_who_say_so() {
    let shared = BindOptions::new().reuse_port(true);
    let first = bind_sockets("127.0.0.1:0", &shared).unwrap();
    let second = bind_sockets(first[0].address(), &shared).unwrap();
    assert_eq!(first[0].address(), second[0].address());
    let error = bind_sockets(first[0].address(), &BindOptions::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
}

#[test]
fn a_listening_socket_neither_blocks_nor_outlives_an_exec() {
    for listener in bind("*:0").unwrap() {
        assert!(fcntl_getfl(&listener).unwrap().contains(OFlags::NONBLOCK));
        assert!(fcntl_getfd(&listener).unwrap().contains(FdFlags::CLOEXEC));
    }
}

#[test]
fn a_socket_of_anothers_making_does_not_stay_blocking() {
    let theirs = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = theirs.local_addr().unwrap();
    let listener = Listener::try_from(OwnedFd::from(theirs)).unwrap();
    assert_eq!(addresses(std::slice::from_ref(&listener)), [address]);
    assert!(fcntl_getfl(&listener).unwrap().contains(OFlags::NONBLOCK));
}

#[test]
fn what_does_not_listen_is_not_taken_for_a_listener() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let connected = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let datagrams = UdpSocket::bind("127.0.0.1:0").unwrap();
    for fd in [OwnedFd::from(connected), OwnedFd::from(datagrams)] {
        let error = Listener::try_from(fd).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    }
    let file = std::fs::File::open("/proc/self/status").unwrap();
    assert!(Listener::try_from(OwnedFd::from(file)).is_err());
}
