//! Out of descriptors: who is served meanwhile, what is said, and how it ends.

use std::time::Duration;

use ioloop::{IoLoop, sleep};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tcpserver::{TcpServer, add_accept_handler};

use crate::support::{
    answers, bind, connect, counter, echo, in_a_process_of_its_own, increment, listen,
    on_virtual_loop, turns, until,
};
use test_support::reports;

/// Lets the process have `spare` descriptors more than it has now.
fn leave_descriptors(spare: u64) {
    let next = rustix::io::dup(std::io::stderr()).unwrap();
    let lowest_free = std::os::fd::AsRawFd::as_raw_fd(&next) as u64;
    drop(next);
    set_limit(Some(lowest_free + spare));
}

fn set_limit(current: Option<u64>) {
    let maximum = getrlimit(Resource::Nofile).maximum;
    let current = current.or(maximum);
    setrlimit(Resource::Nofile, Rlimit { current, maximum }).unwrap();
}

/// The number of warnings about accepting, and nothing else was reported.
fn warnings() -> usize {
    let reports = reports();
    let (about_accepting, others): (Vec<_>, Vec<_>) = reports
        .into_iter()
        .partition(|report| report.contains("cannot accept connections"));
    assert!(others.is_empty(), "{others:#?}");
    about_accepting.len()
}

#[test]
fn a_server_without_descriptors_neither_spins_nor_forgets_anybody() {
    let name = "descriptors::a_server_without_descriptors_neither_spins_nor_forgets_anybody";
    in_a_process_of_its_own(name, || {
        on_virtual_loop(async {
            let server = TcpServer::new(echo);
            let address = listen(&server);
            let mut established = connect(address);
            assert!(answers(&mut established).await);

            let mut waiting: Vec<_> = (0..4).map(|_| connect(address)).collect();
            leave_descriptors(1);
            until(|| server.connections() == 2).await;
            assert_eq!(warnings(), 1);

            let before = IoLoop::current().metrics().turns;
            sleep(Duration::from_secs(10)).await;
            let turns = IoLoop::current().metrics().turns - before;
            assert!(turns < 500, "{turns} turns in ten seconds");
            assert_eq!(server.connections(), 2);
            assert_eq!(warnings(), 0, "the same trouble is told again");
            assert!(answers(&mut established).await);

            // One leaves, and with it two descriptors, its own and the server's: two are accepted.
            drop(waiting.remove(0));
            sleep(Duration::from_secs(1)).await;
            assert_eq!(server.connections(), 3);
            assert!(answers(&mut established).await);

            set_limit(None);
            sleep(Duration::from_secs(1)).await;
            for client in &mut waiting {
                assert!(answers(client).await);
            }
            assert_eq!(server.connections(), 4);
            assert_eq!(warnings(), 0);
        });
    });
}

#[test]
fn trouble_that_comes_back_is_not_kept_quiet() {
    let name = "descriptors::trouble_that_comes_back_is_not_kept_quiet";
    in_a_process_of_its_own(name, || {
        on_virtual_loop(async {
            let server = TcpServer::new(echo);
            let address = listen(&server);
            for expected in 1..=3 {
                let _client = connect(address);
                leave_descriptors(0);
                sleep(Duration::from_secs(1)).await;
                assert_eq!(warnings(), 1);
                set_limit(None);
                until(|| server.connections() == expected).await;
                // The listener has seen that nobody is left.
                turns(3).await;
                std::mem::forget(_client);
            }
        });
    });
}

#[test]
fn one_listener_without_descriptors_does_not_outlive_its_handle() {
    let name = "descriptors::one_listener_without_descriptors_does_not_outlive_its_handle";
    in_a_process_of_its_own(name, || {
        on_virtual_loop(async {
            let (listener, address) = bind();
            let (count, counted) = counter();
            let handle = add_accept_handler(listener, move |_, _| increment(&counted)).unwrap();
            let _client = connect(address);
            leave_descriptors(0);
            sleep(Duration::from_secs(1)).await;
            assert_eq!(warnings(), 1);
            // It waits to try again: its timer goes with it, and with that the socket.
            drop(handle);
            set_limit(None);
            assert!(std::net::TcpStream::connect(address).is_err());
            sleep(Duration::from_secs(1)).await;
            assert_eq!(count.get(), 0);
            assert_eq!(IoLoop::current().metrics().live_handlers, 0);
        });
    });
}

#[test]
fn a_pause_of_the_owner_is_not_ended_by_descriptors_that_are_free_again() {
    let name = "descriptors::a_pause_of_the_owner_is_not_ended_by_descriptors_that_are_free_again";
    in_a_process_of_its_own(name, || {
        on_virtual_loop(async {
            let (listener, address) = bind();
            let (count, counted) = counter();
            let handle = add_accept_handler(listener, move |_, _| increment(&counted)).unwrap();
            let _client = connect(address);
            leave_descriptors(0);
            sleep(Duration::from_secs(1)).await;
            assert_eq!(warnings(), 1);
            handle.pause();
            set_limit(None);
            sleep(Duration::from_secs(1)).await;
            assert_eq!(count.get(), 0);
            handle.resume();
            until(|| count.get() == 1).await;
        });
    });
}
