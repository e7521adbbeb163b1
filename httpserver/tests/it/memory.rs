//! What a client that does not read, or reads slowly, can make a server do and hold.

use std::rc::Rc;
use std::time::Duration;

use futures_lite::stream;
use httpserver::{Body, Bytes, HttpServer, Request, Response};
use ioloop::sleep;

use crate::support::{
    CHUNKED, GET, app, connect, connect_over_tcp, counter, increment, on_loop, on_virtual_loop,
    pattern, turns, until,
};

/// What the pair holds, what the server gathers, and a piece.
const IN_FLIGHT: usize = 64 * 1024 + 80 * 1024;

#[test]
fn a_streamed_body_is_not_made_for_a_client_that_does_not_read() {
    on_virtual_loop(async {
        for size in [1, 1000, 16 * 1024, 100_000] {
            let (made, makes) = counter();
            let server = HttpServer::new(async move |_: Request| {
                let makes = makes.clone();
                let pieces = stream::repeat_with(move || {
                    increment(&makes);
                    Ok(Bytes::from(vec![7; size]))
                });
                Ok(Response::new(Body::stream(pieces)))
            });
            let client = connect(server);
            client.send(GET).await;
            sleep(Duration::from_secs(30)).await;
            let wire = size + 8;
            let bound = IN_FLIGHT.div_ceil(wire) + 1;
            assert!(
                made.get() > 0 && made.get() <= bound,
                "{} of {bound}",
                made.get()
            );
            client.reset();
            turns(10).await;
        }
    });
}

#[test]
fn requests_are_not_handled_for_a_client_that_does_not_read() {
    on_virtual_loop(async {
        for size in [0, 100, 20_000] {
            let (calls, called) = counter();
            let server = HttpServer::new(async move |_: Request| {
                increment(&called);
                Ok(Response::new(vec![7; size]))
            });
            let client = connect(server);
            let writer = client.writer();
            let flood = crate::support::spawn(async move {
                for _ in 0..100_000 {
                    if writer.write(GET.repeat(10).as_bytes()).await.is_err() {
                        break;
                    }
                }
            });
            sleep(Duration::from_secs(30)).await;
            let smallest = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nDate: ".len() + 33;
            let bound = IN_FLIGHT.div_ceil(smallest + size) + 1;
            assert!(
                calls.get() > 0 && calls.get() <= bound,
                "{} of {bound}",
                calls.get()
            );
            client.reset();
            flood.await;
        }
    });
}

#[test]
fn a_large_body_is_not_copied_for_a_client_that_does_not_read() {
    on_virtual_loop(async {
        let body = Bytes::from(pattern(8 * 1024 * 1024));
        let kept = body.clone();
        let server = HttpServer::new(async move |_: Request| Ok(Response::new(kept.clone())));
        let (client, stream) = iostream::IoStream::pair();
        let writer = stream.writer();
        crate::support::serve(&Rc::new(server), stream);
        let client = crate::support::Client::new(client);
        client.send(GET).await;
        sleep(Duration::from_secs(30)).await;
        let text = format!("{writer:?}");
        let (_, queued) = text.split_once("queued: ").unwrap();
        let queued: usize = queued[..queued.find(',').unwrap()].parse().unwrap();
        assert!(queued <= 80 * 1024, "{queued}");
        drop(writer);
        client.reset();
        turns(10).await;
    });
}

#[test]
fn input_is_not_read_for_a_handler_that_does_not_want_it() {
    on_virtual_loop(async {
        for watches in [false, true] {
            let server = HttpServer::new(async move |request: Request| {
                match watches {
                    true => drop(request.peer_closed().await),
                    false => std::future::pending().await,
                }
                Ok(Response::text(""))
            });
            let (client, stream) = iostream::IoStream::pair();
            let observed = stream.writer();
            crate::support::serve(&Rc::new(server), stream);
            let flood = crate::support::spawn(async move {
                let (reader, writer) = client.split();
                let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999\r\n\r\n";
                let _ = writer.write(head.as_bytes()).await;
                let (piece, mut taken) = (vec![0; 10_000], 0);
                while taken < 10_000_000 && writer.write(&piece).await.is_ok() {
                    if writer.flush().await.is_err() {
                        break;
                    }
                    taken += 10_000;
                }
                drop(reader);
            });
            sleep(Duration::from_secs(30)).await;
            let text = format!("{observed:?}");
            let (_, unread) = text.split_once("unread: ").unwrap();
            let unread: usize = unread[..unread.find(',').unwrap()].parse().unwrap();
            assert!(unread <= 128 * 1024, "{unread}");
            observed.abort();
            flood.await;
        }
    });
}

#[test]
fn a_slow_reader_of_a_large_body_gets_all_of_it() {
    on_loop(async {
        let body = Bytes::from(pattern(20 * 1024 * 1024));
        let kept = body.clone();
        let server = HttpServer::new(async move |_: Request| Ok(Response::new(kept.clone())));
        let mut client = connect_over_tcp(server);
        client.send(GET).await;
        let head = client.head().await;
        assert_eq!(head.field("content-length"), Some("20971520"));
        let mut received = Vec::new();
        while received.len() < body.len() {
            received.extend(client.some(300_000).await);
            turns(2).await;
        }
        assert!(received == body);
        assert!(client.goes_on_without_answer().await);
    });
}

impl crate::support::Client {
    async fn goes_on_without_answer(&self) -> bool {
        self.try_send(GET).await
    }
}

#[test]
fn a_body_over_the_limit_is_not_read_on() {
    on_virtual_loop(async {
        let (read, reads) = counter();
        let server = HttpServer::new(async move |mut request: Request| {
            use futures_lite::StreamExt;
            while let Some(piece) = request.body().next().await {
                reads.set(reads.get() + piece?.len());
            }
            app(request).await
        })
        .max_body_size(1_000_000);
        let mut client = connect(server);
        client.send(CHUNKED).await;
        let mut sent = 0;
        while sent < 1_500_000
            && client
                .try_send(format!("2710\r\n{}\r\n", "x".repeat(10_000)))
                .await
        {
            sent += 10_000;
        }
        until(|| read.get() > 900_000).await;
        let answers = client.last_answers(&[]).await;
        assert_eq!(answers[0].status, 413);
        assert!(answers[0].says_close());
        assert!(read.get() <= 1_000_000);
    });
}
