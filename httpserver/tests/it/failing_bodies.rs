//! A response whose body fails halfway is not taken for a whole one.

use futures_lite::stream;
use httpserver::{Body, Error, HttpServer, Request, Response, StatusCode};
use iostream::CloseReason;

use crate::answers::{parse, parse_head};
use crate::support::{GET, connect, on_virtual_loop, pattern};
use test_support::reports;

/// Pieces of `size` bytes, then an error.
fn failing(count: usize, size: usize) -> Body {
    let pieces = (0..count).map(move |_| Ok(pattern(size).into()));
    let error = Error::new(StatusCode::BAD_GATEWAY).with_cause("the disk is gone");
    Body::stream(stream::iter(pieces.chain([Err(error)])))
}

async fn app(request: Request) -> Result<Response, Error> {
    let size = if request.path().ends_with("large") {
        100_000
    } else {
        10
    };
    let body = failing(3, size);
    let bytes = |count: usize| Body::stream(stream::iter([Ok(pattern(count).into())]));
    let response = match request.path().split('-').next().unwrap() {
        "/chunked" => Response::new(body),
        "/announced" => Response::new(body).with_header("Content-Length", "1000000")?,
        "/short" => Response::new(bytes(size)).with_header("Content-Length", "1000000")?,
        "/long" => Response::new(bytes(size)).with_header("Content-Length", "5")?,
        "/full-short" => Response::new(pattern(5)).with_header("Content-Length", "1000000")?,
        _ => return Ok(Response::text("hello\n")),
    };
    Ok(response)
}

#[test]
fn a_body_that_fails_is_not_taken_for_a_whole_one() {
    on_virtual_loop(async {
        for path in [
            "/chunked",
            "/chunked-large",
            "/announced",
            "/announced-large",
            "/short",
            "/short-large",
            "/long",
            "/long-large",
        ] {
            let mut client = connect(HttpServer::new(app));
            client.queue(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n{GET}"));
            let (bytes, _) = client.rest().await;
            let (head, start) = parse_head(&bytes).unwrap();
            assert_eq!(head.status, 200);
            assert_eq!(parse(&bytes, false), None, "{path}");
            if !path.starts_with("/long") {
                assert!(bytes.len() > start, "{path}");
            }
            assert_eq!(reports().len(), 1);
        }
    });
}

#[test]
fn what_was_made_of_a_body_before_it_failed_is_not_lost() {
    on_virtual_loop(async {
        let mut client = connect(HttpServer::new(app));
        client
            .send("GET /announced-large HTTP/1.1\r\nHost: a\r\n\r\n")
            .await;
        let (bytes, reason) = client.rest().await;
        let (_, start) = parse_head(&bytes).unwrap();
        assert!(bytes[start..] == pattern(100_000).repeat(3));
        assert_eq!(reason, CloseReason::EndOfStream);
        assert_eq!(reports().len(), 1);
    });
}

#[test]
fn a_body_that_only_the_close_would_end_is_reset_when_it_fails() {
    on_virtual_loop(async {
        for path in ["/chunked", "/chunked-large"] {
            let mut client = connect(HttpServer::new(app));
            client.send(format!("GET {path} HTTP/1.0\r\n\r\n")).await;
            let (_, reason) = client.rest().await;
            assert_eq!(reason, CloseReason::Reset);
            assert_eq!(reports().len(), 1);
        }
    });
}

#[test]
fn the_body_of_an_answer_to_head_is_not_made() {
    on_virtual_loop(async {
        let mut client = connect(HttpServer::new(app));
        for path in ["/chunked", "/announced", "/short", "/long"] {
            let answer = client
                .ask(format!("HEAD {path} HTTP/1.1\r\nHost: a\r\n\r\n"))
                .await;
            assert_eq!(answer.status, 200);
        }
    });
}
