//! `Expect: 100-continue`: a client hears that its body may come when somebody wants it.

use std::time::Duration;

use futures_lite::StreamExt;
use httpserver::{Error, HttpServer, Request, Response, StatusCode};
use ioloop::sleep;
use iostream::CloseReason;

use crate::support::{CHUNKED, GET, app, connect, on_virtual_loop, timed, turns};

fn expecting(length: usize) -> String {
    format!(
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\
         Expect: 100-Continue\r\n\r\n"
    )
}

#[test]
fn a_client_that_waits_is_not_left_waiting_by_a_handler_that_reads() {
    on_virtual_loop(async {
        let mut client = connect(HttpServer::new(app));
        for head in [
            expecting(5),
            CHUNKED.replace("\r\n\r\n", "\r\nExpect: 100-continue\r\n\r\n"),
        ] {
            let (time, interim) = timed(client.ask(&head)).await;
            assert_eq!((interim.status, time), (100, Duration::ZERO));
            let body = if head.contains("chunked") {
                "5\r\nhello\r\n0\r\n\r\n"
            } else {
                "hello"
            };
            assert_eq!(client.ask(body).await.text(), "POST /echo\nhello");
        }
        assert!(client.goes_on().await);
    });
}

#[test]
fn the_body_is_not_asked_for_before_the_handler_wants_it() {
    on_virtual_loop(async {
        let mut client = connect(HttpServer::new(async |request: Request| {
            sleep(Duration::from_secs(100)).await;
            app(request).await
        }));
        let (time, interim) = timed(client.ask(expecting(5))).await;
        assert_eq!(interim.status, 100);
        assert!(time >= Duration::from_secs(100));
        assert_eq!(client.ask("hello").await.status, 200);
    });
}

#[test]
fn the_body_is_asked_for_only_once() {
    on_virtual_loop(async {
        let mut client = connect(HttpServer::new(app));
        assert_eq!(client.ask(expecting(5)).await.status, 100);
        for byte in ["h", "e", "l", "l"] {
            client.send(byte).await;
            turns(5).await;
        }
        assert_eq!(client.ask("o").await.status, 200);
    });
}

#[test]
fn a_body_that_has_come_is_not_asked_for() {
    on_virtual_loop(async {
        let mut client = connect(HttpServer::new(app));
        for body in ["hello", "h"] {
            client.send(expecting(5) + body).await;
            turns(5).await;
            client.send(&"hello"[body.len()..]).await;
            assert_eq!(client.answer().await.status, 200);
        }
    });
}

#[test]
fn answers_before_it_are_not_overtaken() {
    on_virtual_loop(async {
        let mut client = connect(HttpServer::new(app));
        client.queue(format!("{GET}{GET}{}", expecting(5)));
        for status in [200, 200, 100] {
            assert_eq!(client.answer().await.status, status);
        }
        client.queue(format!("hello{GET}"));
        assert_eq!(client.answer().await.text(), "POST /echo\nhello");
        assert_eq!(client.answer().await.text(), "hello\n");
    });
}

#[test]
fn a_final_answer_without_reading_ends_the_connection() {
    on_virtual_loop(async {
        for length in [5, 1_000_000] {
            let mut client = connect(HttpServer::new(app));
            client.send(expecting(length).replace("/echo", "/no")).await;
            let answers = client.last_answers(&[]).await;
            assert_eq!(answers.len(), 1);
            assert_eq!(answers[0].status, 404);
            assert!(answers[0].says_close());
        }
    });
}

#[test]
fn a_body_over_the_limit_is_not_asked_for() {
    on_virtual_loop(async {
        let mut client = connect(HttpServer::new(app).max_body_size(4));
        client.send(expecting(5)).await;
        let answers = client.last_answers(&[]).await;
        assert_eq!(answers.len(), 1);
        assert_eq!(answers[0].status, 413);
    });
}

#[test]
fn a_body_that_is_sent_back_is_asked_for_before_the_answer_begins() {
    on_virtual_loop(async {
        let echo = async |request: Request| Ok(Response::new(request.into_body()));
        let mut client = connect(HttpServer::new(echo));
        assert_eq!(client.ask(expecting(100_000)).await.status, 100);
        let head = client.head().await;
        assert_eq!(head.field("content-length"), Some("100000"));
        client.queue("x".repeat(100_000));
        let mut received = 0;
        while received < 100_000 {
            received += client.some(100_000).await.len();
        }
        client.send(expecting(2)).await;
        assert_eq!(client.answer().await.status, 100);
        client.send("ab").await;
        assert_eq!(client.answer().await.text(), "ab");
    });
}

#[test]
fn the_body_is_not_asked_for_behind_the_beginning_of_the_answer() {
    on_virtual_loop(async {
        let server = HttpServer::new(async |mut request: Request| {
            let late = futures_lite::stream::once_future(async move {
                // Nobody will send this; the read ends when the time for a body is over.
                assert_eq!(request.body().bytes().await.unwrap_err().status(), 408);
                Ok("late".into())
            });
            Ok(Response::new(httpserver::Body::stream(late)))
        });
        let mut client = connect(server);
        client.send(expecting(5)).await;
        let answers = client.last_answers(&[]).await;
        assert_eq!((answers.len(), answers[0].text()), (1, "late"));
        assert!(answers[0].says_close());
    });
}

#[test]
fn expectations_without_a_body_or_a_version_that_knows_them_are_nothing() {
    on_virtual_loop(async {
        let mut client = connect(HttpServer::new(app));
        let none = expecting(0);
        let bodyless = GET.replace("\r\n\r\n", "\r\nExpect: 100-continue\r\n\r\n");
        let old = "POST /echo HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\
                   Expect: 100-continue\r\n\r\n";
        assert_eq!(client.ask(none).await.status, 200);
        assert_eq!(client.ask(bodyless).await.status, 200);
        client.send(old).await;
        turns(5).await;
        assert_eq!(client.ask("ab").await.text(), "POST /echo\nab");
        client
            .send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 2\r\n\r\n")
            .await;
        let answers = client.last_answers(&[]).await;
        assert_eq!(answers[0].status, 417);
    });
}

#[test]
fn a_client_that_leaves_after_being_asked_does_not_leave_the_handler_waiting() {
    on_virtual_loop(async {
        let server = HttpServer::new(async |mut request: Request| {
            let Some(Err(error)) = request.body().next().await else {
                return Err(Error::new(StatusCode::IM_A_TEAPOT));
            };
            Err(error)
        });
        let mut client = connect(server);
        assert_eq!(client.ask(expecting(5)).await.status, 100);
        client.half_close();
        let (bytes, reason) = client.rest().await;
        assert_eq!(reason, CloseReason::EndOfStream);
        assert_eq!(crate::answers::parse_all(&bytes, &[])[0].status, 400);
    });
}
