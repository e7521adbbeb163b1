//! One connection does not hold the loop, however much of it has arrived already.

use std::cell::Cell;
use std::rc::Rc;

use futures_lite::stream;
use httpserver::{Body, Error, HttpServer, Request, Response};
use ioloop::IoLoop;

use crate::support::{CHUNKED, GET, app, connect, counter, increment, on_virtual_loop};

/// Counts turns until it is dropped.
struct Ticking(Rc<Cell<bool>>);

fn tick() -> (Rc<Cell<usize>>, Ticking) {
    fn next(io_loop: &IoLoop, ticks: Rc<Cell<usize>>, goes_on: Rc<Cell<bool>>) {
        let again = io_loop.clone();
        io_loop.add_callback(move || {
            if goes_on.get() {
                increment(&ticks);
                next(&again, ticks, goes_on);
            }
        });
    }
    let (ticks, counted) = counter();
    let goes_on = Rc::new(Cell::new(true));
    next(&IoLoop::current(), counted, goes_on.clone());
    (ticks, Ticking(goes_on))
}

impl Drop for Ticking {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

/// Between two pieces that a handler gets there are turns, and few pieces in one turn.
#[test]
fn a_body_of_a_million_tiny_chunks_does_not_hold_the_loop() {
    on_virtual_loop(async {
        let server = HttpServer::new(app);
        let mut client = connect(server);
        let count = 1_000_000;
        let writer = client.writer();
        let sent = crate::support::spawn(async move {
            writer.write(CHUNKED.as_bytes()).await.unwrap();
            let chunks = "1\r\nx\r\n".repeat(10_000);
            for _ in 0..count / 10_000 {
                writer.write(chunks.as_bytes()).await.unwrap();
            }
            writer.write(b"0\r\n\r\n").await.unwrap();
        });
        let (ticks, ticking) = tick();
        let answer = client.answer().await;
        drop(ticking);
        assert_eq!(answer.body.len(), "POST /echo\n".len() + count);
        sent.await;
        // 256 messages of 341 chunks each.
        let bound = count / (256 * 342);
        assert!(ticks.get() >= bound, "{} of {bound}", ticks.get());
    });
}

#[test]
fn pipelined_requests_that_have_arrived_do_not_hold_the_loop() {
    on_virtual_loop(async {
        let (calls, called) = counter();
        let most = Rc::new(Cell::new((0, 0)));
        let (ticks, ticking) = tick();
        let (seen, in_one_turn) = (ticks.clone(), most.clone());
        let server = HttpServer::new(async move |_: Request| {
            increment(&called);
            let (turn, count) = in_one_turn.get();
            let count = if turn == seen.get() { count + 1 } else { 1 };
            in_one_turn.set((seen.get(), count));
            assert!(count <= 300, "{count} requests in one turn");
            Ok::<_, Error>(Response::new(""))
        });
        let client = connect(server);
        let reader = client.writer();
        let flood = crate::support::spawn(async move {
            for _ in 0..100 {
                reader.write(GET.repeat(100).as_bytes()).await.unwrap();
            }
        });
        let mut client = client;
        for _ in 0..10_000 {
            client.answer().await;
        }
        flood.await;
        drop(ticking);
        assert_eq!(calls.get(), 10_000);
    });
}

#[test]
fn a_body_whose_pieces_are_always_there_does_not_hold_the_loop() {
    on_virtual_loop(async {
        let server = HttpServer::new(async |_: Request| {
            let pieces = stream::repeat_with(|| Ok("x".into()));
            let pieces = futures_lite::StreamExt::take(pieces, 2_000_000);
            Ok(Response::new(Body::stream(pieces)))
        });
        let mut client = connect(server);
        client.send(GET).await;
        let (ticks, ticking) = tick();
        let mut received = 0;
        while received < 12_000_000 {
            received += client.some(100_000).await.len();
        }
        drop(ticking);
        assert!(ticks.get() > 30, "{}", ticks.get());
    });
}

#[test]
fn a_busy_connection_does_not_keep_others_waiting() {
    on_virtual_loop(async {
        let server = Rc::new(HttpServer::new(app));
        let busy = crate::support::connect_to(&server);
        let writer = busy.writer();
        let flood = crate::support::spawn(async move {
            let chunks = "1\r\nx\r\n".repeat(10_000);
            writer.write(CHUNKED.as_bytes()).await.unwrap();
            for _ in 0..50 {
                writer.write(chunks.as_bytes()).await.unwrap();
            }
        });
        let (ticks, ticking) = tick();
        let mut other = crate::support::connect_to(&server);
        for _ in 0..20 {
            let before = ticks.get();
            assert_eq!(other.ask(GET).await.status, 200);
            assert!(ticks.get() - before < 20, "{}", ticks.get() - before);
        }
        drop(ticking);
        flood.await;
    });
}
