//! Bodies that a handler does not read, or not whole, or elsewhere, or that are too large.

use std::cell::RefCell;
use std::rc::Rc;

use futures_lite::StreamExt;
use httpserver::{Body, Error, HttpServer, Request, Response};
use iostream::CloseReason;

use crate::support::{
    CHUNKED, app, connect, counter, increment, on_virtual_loop, pattern, post, spawn, turns, until,
};

async fn ignore(request: Request) -> Result<Response, Error> {
    match request.path() {
        "/echo" => Ok(Response::text("ignored")),
        _ => app(request).await,
    }
}

fn chunks(sizes: &[usize]) -> Vec<u8> {
    let mut wire = CHUNKED.as_bytes().to_vec();
    for &size in sizes {
        wire.extend(format!("{size:x}\r\n").bytes());
        wire.extend(pattern(size));
        wire.extend(b"\r\n");
    }
    wire.extend(b"0\r\n\r\n");
    wire
}

#[test]
fn a_small_body_that_nobody_read_is_not_taken_for_the_next_request() {
    on_virtual_loop(async {
        let mut client = connect(HttpServer::new(ignore));
        for wire in [
            post("GET /no HTTP/1.1\r\n\r\n"),
            post(pattern(64 * 1024)),
            chunks(&[1, 10, 1000]),
            chunks(&[64 * 1024]),
        ] {
            let writer = client.writer();
            let sent = spawn(async move { writer.write(&wire).await });
            let answer = client.answer().await;
            assert_eq!(answer.text(), "ignored");
            assert!(!answer.says_close());
            sent.await.unwrap();
            assert!(client.goes_on().await);
        }
    });
}

#[test]
fn a_large_body_that_nobody_read_ends_the_connection() {
    on_virtual_loop(async {
        for (wire, is_said) in [
            (post(pattern(64 * 1024 + 1)), true),
            (chunks(&[64 * 1024 + 1]), false),
            (chunks(&[1000; 70]), false),
        ] {
            let mut client = connect(HttpServer::new(ignore));
            client.try_send(&wire).await;
            client.try_send(crate::support::GET).await;
            let answers = client.last_answers(&[]).await;
            assert_eq!(answers.len(), 1);
            assert_eq!(answers[0].text(), "ignored");
            assert_eq!(answers[0].says_close(), is_said);
        }
    });
}

#[test]
fn a_bad_body_that_nobody_read_ends_the_connection() {
    on_virtual_loop(async {
        let mut client = connect(HttpServer::new(ignore));
        client.queue(format!("{CHUNKED}x\r\n{}", crate::support::GET));
        let answers = client.last_answers(&[]).await;
        assert_eq!(answers.len(), 1);
        assert_eq!(answers[0].text(), "ignored");
    });
}

#[test]
fn what_is_left_of_a_body_that_was_read_in_part_is_thrown_away() {
    on_virtual_loop(async {
        let server = HttpServer::new(async |mut request: Request| {
            if request.path() != "/echo" {
                return app(request).await;
            }
            let first = request.body().next().await.unwrap()?;
            Ok(Response::text(format!("{}", !first.is_empty())))
        });
        let mut client = connect(server);
        for wire in [
            post(pattern(20_000)),
            chunks(&[10_000, 10_000]),
            chunks(&[1; 3000]),
        ] {
            let (first, rest) = wire.split_at(wire.len() / 2);
            client.send(first).await;
            assert_eq!(client.answer().await.text(), "true");
            client.send(rest).await;
            assert!(client.goes_on().await);
        }
    });
}

#[test]
fn a_task_that_reads_a_body_after_the_answer_is_not_left_waiting() {
    on_virtual_loop(async {
        let (heard, hears) = counter();
        let server = HttpServer::new(async move |request: Request| {
            if request.path() != "/echo" {
                return app(request).await;
            }
            let (mut body, hears) = (request.into_body(), hears.clone());
            spawn(async move {
                let error = body.bytes().await.unwrap_err();
                assert_eq!(error.status(), 500);
                assert!(error.cause().is_some());
                // And again, and for ever.
                assert!(body.next().await.unwrap().is_err());
                increment(&hears);
            })
            .detach();
            turns(3).await;
            Ok(Response::text("read elsewhere"))
        });
        let mut client = connect(server);
        let wire = post(pattern(1000));
        client.send(&wire[..wire.len() - 500]).await;
        assert_eq!(client.answer().await.text(), "read elsewhere");
        until(|| heard.get() == 1).await;
        client.send(&wire[wire.len() - 500..]).await;
        assert!(client.goes_on().await);
    });
}

#[test]
fn a_body_that_is_kept_after_the_answer_is_not_whole() {
    on_virtual_loop(async {
        let kept: Rc<RefCell<Vec<Body>>> = Rc::default();
        let keeps = kept.clone();
        let server = HttpServer::new(async move |request: Request| {
            if request.path() != "/echo" {
                return app(request).await;
            }
            keeps.borrow_mut().push(request.into_body());
            Ok(Response::text("kept"))
        });
        let mut client = connect(server);
        for wire in [post("hello"), chunks(&[5])] {
            assert_eq!(client.ask(wire).await.text(), "kept");
            assert!(client.goes_on().await);
            let mut body = kept.borrow_mut().pop().unwrap();
            assert_eq!(body.length(), None);
            assert!(body.bytes().await.is_err());
        }
    });
}

#[test]
fn a_body_may_be_as_large_as_the_limit_and_no_larger() {
    on_virtual_loop(async {
        let size = 100_000;
        let server = Rc::new(HttpServer::new(app).max_body_size(size as u64));
        for (wire, status) in [
            (post(pattern(size)), 200),
            (post(pattern(size + 1)), 413),
            (chunks(&[size]), 200),
            (chunks(&[size - 1, 1]), 200),
            (chunks(&[size + 1]), 413),
            (chunks(&[size, 1]), 413),
            (chunks(&[10_000; 11]), 413),
        ] {
            let mut client = crate::support::connect_to(&server);
            client.try_send(&wire).await;
            let answer = client.answer().await;
            assert_eq!(answer.status, status);
            assert_eq!(answer.says_close(), status == 413);
            if status == 413 {
                assert_eq!(client.end().await, CloseReason::EndOfStream);
            } else {
                assert!(client.goes_on().await);
            }
        }
    });
}

#[test]
fn a_handler_may_allow_more_or_less() {
    on_virtual_loop(async {
        let server = HttpServer::new(async |mut request: Request| {
            let size = request.query().unwrap().parse().unwrap();
            request.body().set_max_size(size);
            app(request).await
        })
        .max_body_size(1000);
        let server = Rc::new(server);
        let ask = async |allowed: usize, size: usize| {
            let mut client = crate::support::connect_to(&server);
            let wire = post(pattern(size));
            let text = format!("/echo?{allowed} ");
            let wire = [b"POST ", text.as_bytes(), &wire["POST /echo ".len()..]].concat();
            client.try_send(wire).await;
            client.answer().await.status
        };
        assert_eq!(ask(5000, 5000).await, 200);
        assert_eq!(ask(5000, 5001).await, 413);
        assert_eq!(ask(10, 10).await, 200);
        assert_eq!(ask(10, 11).await, 413);
        assert_eq!(ask(0, 1).await, 413);
    });
}

/// A request's body is data as it comes, and the answer is made of it as it goes.
#[test]
fn a_body_that_is_sent_back_is_not_held() {
    on_virtual_loop(async {
        let echo = async |request: Request| {
            if request.method() == "GET" {
                return app(request).await;
            }
            Ok(Response::new(request.into_body()))
        };
        let mut client = connect(HttpServer::new(echo).max_body_size(u64::MAX));
        for is_chunked in [false, true] {
            let total = 3_000_000;
            match is_chunked {
                true => client.send(CHUNKED).await,
                false => {
                    let head =
                        format!("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: {total}\r\n\r\n");
                    client.send(head).await;
                }
            }
            client.head().await;
            let (mut sent, mut received) = (0, 0);
            while sent < total {
                let piece = vec![b'x'; 10_000];
                match is_chunked {
                    true => {
                        client
                            .send([b"2710\r\n", &piece[..], b"\r\n"].concat())
                            .await
                    }
                    false => client.send(&piece).await,
                }
                sent += piece.len();
                let back = client.some(100_000).await;
                received += back.iter().filter(|&&byte| byte == b'x').count();
            }
            if is_chunked {
                client.send("0\r\n\r\n").await;
                let mut last = Vec::new();
                while !last.ends_with(b"0\r\n\r\n") {
                    last.extend(client.some(100_000).await);
                }
                received += last.iter().filter(|&&byte| byte == b'x').count();
            } else {
                while received < total {
                    received += client.some(100_000).await.len();
                }
            }
            assert_eq!(received, total);
            assert!(client.goes_on().await);
        }
    });
}
