//! What clients that do not finish their heads can make a server hold. It is a binary of its own
//! because its allocator counts.
#![allow(
    clippy::unwrap_used,
    reason = "clippy.toml allows it in tests, but their helpers are not recognized as such"
)]
#![expect(unsafe_code, reason = "an allocator cannot be written without it")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use httpserver::{Error, HttpServer, Request, Response};
use ioloop::IoLoop;
use iostream::IoStream;
use tcpserver::{Connection, StreamHandler};

struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);

// SAFETY: the system's allocator does everything.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HELD.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: what our caller upholds, it does for this too.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: what our caller upholds, it does for this too.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How much a connection holds when it has been sent these pieces, of which each arrives by
/// itself.
fn held_per_connection(pieces: &[&[u8]]) -> usize {
    let io_loop = IoLoop::current();
    let server = Rc::new(HttpServer::new(async |_: Request| {
        Ok::<_, Error>(Response::text("hello\n"))
    }));
    let turns = || (0..5).for_each(|_| io_loop.turn(Some(Duration::ZERO)));
    let connect = || {
        let (client, stream) = UnixStream::pair().unwrap();
        let stream = IoStream::from_fd(stream).unwrap();
        let server = server.clone();
        let handled = async move { server.handle_stream(stream, Connection::in_memory()).await };
        io_loop.spawn(handled).detach();
        client
    };
    // What the thread and the loop allocate once.
    let first = connect();
    turns();

    let before = HELD.load(Ordering::Relaxed);
    let mut clients: Vec<_> = (0..CONNECTIONS).map(|_| connect()).collect();
    for piece in pieces {
        for client in &mut clients {
            client.write_all(piece).unwrap();
        }
        turns();
    }
    let held = HELD.load(Ordering::Relaxed) - before;
    drop((clients, first));
    turns();
    io_loop.close();
    held / CONNECTIONS
}

const CONNECTIONS: usize = 200;

/// One test, since nobody else may allocate meanwhile.
#[test]
fn a_client_that_does_not_finish_its_head_cannot_make_the_server_hold_more_than_twice_its_size() {
    let idle = held_per_connection(&[]);
    assert!(idle < 1024, "{idle} bytes for an idle connection");

    let limit = 32 * 1024;
    let mut head = b"GET / HTTP/1.1\r\nHost: a\r\nX: ".to_vec();
    head.resize(limit - 1, b'x');
    for size in [limit, limit / 2 + 1, limit / 4 + 1, 10_000, 1000, 129] {
        let pieces: Vec<&[u8]> = head.chunks(size).collect();
        let held = held_per_connection(&pieces);
        println!("in pieces of {size}: {held}");
        assert!(held >= limit - 1, "{held}");
        assert!(held <= 2 * limit + 2048, "{held} bytes in pieces of {size}");
    }
    // Answered requests leave nothing behind.
    let requests = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(1000);
    let held = held_per_connection(&[&requests]);
    println!("behind requests: {held}");
    assert!(held < idle + 1024, "{held}");
    let held = held_per_connection(&[&[&requests[..], b"G"].concat()]);
    println!("a byte behind requests: {held}");
    assert!(held <= 2 * limit + 2048, "{held}");
}
