//! A panic ends neither the program nor what other requests have been answered.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_lite::{Stream, stream};
use httpserver::{Body, Bytes, Error, HttpServer, Request, Response};

use crate::answers::{parse, parse_all};
use crate::support::{GET, app, connect, connect_to, on_virtual_loop, post, turns};
use test_support::reports;

async fn panics(request: Request) -> Result<Response, Error> {
    match request.path() {
        "/at-once" => panic!("at once"),
        "/later" => {
            turns(5).await;
            panic!("later: {}", request.path())
        }
        "/odd" => std::panic::panic_any(7),
        "/stream" => {
            let pieces = [Ok("first".into())]
                .into_iter()
                .chain(std::iter::once_with(|| panic!("in the body")));
            Ok(Response::new(Body::stream(stream::iter(pieces))))
        }
        "/destructor" => Ok(Response::new(Body::stream(PanicsWhenDropped))),
        "/announced" => {
            let pieces = [Ok("first".into())]
                .into_iter()
                .chain(std::iter::once_with(|| panic!("in the body")));
            Response::new(Body::stream(stream::iter(pieces))).with_header("Content-Length", "50")
        }
        _ => app(request).await,
    }
}

struct PanicsWhenDropped;

impl Stream for PanicsWhenDropped {
    type Item = Result<Bytes, Error>;

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(Some(Err(Error::new(httpserver::StatusCode::BAD_GATEWAY))))
    }
}

impl Drop for PanicsWhenDropped {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            panic!("in a destructor");
        }
    }
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")
}

#[test]
fn a_handler_that_panics_does_not_end_the_connection() {
    on_virtual_loop(async {
        for path in ["/at-once", "/later", "/odd"] {
            let mut client = connect(HttpServer::new(panics));
            client.queue(format!("{GET}{}{GET}", get(path)));
            for status in [200, 500, 200] {
                let answer = client.answer().await;
                assert_eq!(answer.status, status);
                assert!(!answer.text().contains("once") && !answer.text().contains("later"));
            }
            let reports = reports();
            assert!(
                reports.iter().any(|report| report.contains("panicked")),
                "{reports:?}"
            );
        }
    });
}

#[test]
fn a_handler_that_panics_with_an_unread_body_does_not_mistake_it_for_a_request() {
    on_virtual_loop(async {
        let mut client = connect(HttpServer::new(panics));
        let request = post("GET /no HTTP/1.1\r\n\r\n");
        let request = String::from_utf8(request)
            .unwrap()
            .replace("/echo", "/later");
        client.queue(request + GET);
        assert_eq!(client.answer().await.status, 500);
        assert_eq!(client.answer().await.status, 200);
        assert_eq!(reports().len(), 1);
    });
}

#[test]
fn a_body_that_panics_is_not_taken_for_a_whole_one() {
    on_virtual_loop(async {
        let server = std::rc::Rc::new(HttpServer::new(panics));
        for path in ["/stream", "/announced", "/destructor"] {
            let mut client = connect_to(&server);
            client.queue(format!("{GET}{}{GET}", get(path)));
            let (bytes, _) = client.rest().await;
            let (first, used) = parse(&bytes, false).expect("the answer before");
            assert_eq!(first.text(), "hello\n");
            assert_eq!(parse(&bytes[used..], false), None, "{path}");
            assert!(!reports().is_empty());
        }
        let mut client = connect_to(&server);
        assert!(client.goes_on().await);
    });
}

#[test]
fn what_comes_behind_panics_is_not_lost() {
    on_virtual_loop(async {
        let mut client = connect(HttpServer::new(panics));
        client.queue(format!("{}{}\0", get("/at-once"), get("/odd")));
        let (bytes, _) = client.rest().await;
        let statuses: Vec<u16> = parse_all(&bytes, &[])
            .iter()
            .map(|answer| answer.status)
            .collect();
        assert_eq!(statuses, [500, 500, 400]);
        assert_eq!(reports().len(), 2);
    });
}
