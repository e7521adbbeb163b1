//! Where a response ends, and whether the connection goes on after it.

use futures_lite::stream;
use httpserver::{Body, Error, HttpServer, Method, Request, Response, StatusCode};
use iostream::CloseReason;

use crate::answers::close_delimited;
use crate::support::{GET, app, connect, on_virtual_loop};

async fn bodies(request: Request) -> Result<Response, Error> {
    let pieces = || Body::stream(stream::iter([Ok("one ".into()), Ok("two".into())]));
    match request.path() {
        "/full" => Ok(Response::text("hello\n")),
        "/empty" => Ok(Response::new("")),
        "/streamed" => Ok(Response::new(pieces())),
        "/announced" => Response::new(pieces()).with_header("content-length", "7"),
        "/nothing" => Ok(Response::new(Body::stream(stream::empty()))),
        "/204" => Ok(Response::text("x").with_status(StatusCode::NO_CONTENT)),
        "/304" => Ok(Response::text("x").with_status(StatusCode::NOT_MODIFIED)),
        "/304-streamed" => Ok(Response::new(pieces()).with_status(StatusCode::NOT_MODIFIED)),
        "/304-empty" => Ok(Response::from(StatusCode::NOT_MODIFIED)),
        "/close" => Response::new(pieces()).with_header("Connection", "close"),
        path => {
            let status = path[1..].parse().unwrap();
            Ok(Response::from(StatusCode::from_u16(status).unwrap()))
        }
    }
}

const PATHS: [&str; 9] = [
    "/full",
    "/empty",
    "/streamed",
    "/announced",
    "/nothing",
    "/204",
    "/304",
    "/304-streamed",
    "/304-empty",
];

fn request(method: &Method, path: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nHost: a\r\n\r\n")
}

/// The parser would find the next answer in the wrong place if a body followed.
#[test]
fn no_body_is_sent_where_none_may_be() {
    on_virtual_loop(async {
        let mut client = connect(HttpServer::new(bodies));
        for path in PATHS {
            let got = client.ask(request(&Method::GET, path)).await;
            let head = client.ask(request(&Method::HEAD, path)).await;
            assert_eq!(head.status, got.status);
            assert_eq!(head.body, b"");
            // The same fields as GET, where they are known without making the body.
            let length = head.field("content-length");
            assert!(
                length.is_none() || length == got.field("content-length"),
                "{path}"
            );
            let statuses_without = path.starts_with("/204") || path.starts_with("/304");
            assert_eq!(
                got.body.is_empty(),
                statuses_without || path == "/empty" || path == "/nothing"
            );
        }
        assert_eq!(
            client.ask(request(&Method::GET, "/404")).await.text(),
            "404 Not Found\n"
        );
    });
}

#[test]
fn lengths_are_announced_where_they_are_known() {
    on_virtual_loop(async {
        let mut client = connect(HttpServer::new(bodies));
        for (path, length, coding, body) in [
            ("/full", Some("6"), None, "hello\n"),
            ("/empty", Some("0"), None, ""),
            ("/streamed", None, Some("chunked"), "one two"),
            ("/announced", Some("7"), None, "one two"),
            ("/nothing", None, Some("chunked"), ""),
        ] {
            let answer = client.ask(request(&Method::GET, path)).await;
            assert_eq!(answer.field("content-length"), length);
            assert_eq!(answer.field("transfer-encoding"), coding);
            assert_eq!(answer.text(), body);
            assert_eq!(answer.field("connection"), None);
        }
    });
}

#[test]
fn a_client_of_http_1_0_gets_no_chunks() {
    on_virtual_loop(async {
        for keeps in ["", "Connection: keep-alive\r\n"] {
            let mut client = connect(HttpServer::new(bodies));
            client
                .send(format!("GET /streamed HTTP/1.0\r\n{keeps}\r\n"))
                .await;
            let (bytes, reason) = client.rest().await;
            assert_eq!(reason, CloseReason::EndOfStream);
            let answer = close_delimited(&bytes);
            assert_eq!(answer.text(), "one two");
            assert!(answer.says_close());
        }
    });
}

#[test]
fn a_connection_of_http_1_0_is_kept_only_if_the_client_asks() {
    on_virtual_loop(async {
        for path in ["/full", "/announced", "/204"] {
            let mut client = connect(HttpServer::new(bodies));
            for _ in 0..3 {
                let request = format!("GET {path} HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n");
                let answer = client.ask(request).await;
                assert_eq!(answer.field("connection"), Some("keep-alive"));
            }
            let answer = client.ask(format!("GET {path} HTTP/1.0\r\n\r\n")).await;
            assert!(answer.says_close());
            assert_eq!(client.end().await, CloseReason::EndOfStream);
        }
    });
}

#[test]
fn a_connection_is_not_kept_against_the_wish_of_either_side() {
    on_virtual_loop(async {
        for asked in ["close", "Close", "x, close", "keep-alive, close"] {
            let mut client = connect(HttpServer::new(bodies));
            let request = format!("GET /full HTTP/1.1\r\nHost: a\r\nConnection: {asked}\r\n\r\n");
            client.send(format!("{request}{GET}")).await;
            let answers = client.last_answers(&[]).await;
            assert_eq!(answers.len(), 1);
            assert!(answers[0].says_close());
        }
        let mut client = connect(HttpServer::new(bodies));
        client.send(request(&Method::GET, "/close") + GET).await;
        let answers = client.last_answers(&[]).await;
        assert_eq!((answers.len(), answers[0].text()), (1, "one two"));
        assert!(answers[0].says_close());
    });
}

#[test]
fn a_handlers_own_date_is_not_joined_by_another() {
    on_virtual_loop(async {
        let date = "Sun, 06 Nov 1994 08:49:37 GMT";
        let mut client = connect(HttpServer::new(async move |_: Request| {
            Response::text("old").with_header("date", date)
        }));
        assert_eq!(client.ask(GET).await.field("date"), Some(date));
    });
}

#[test]
fn an_informational_status_is_no_answer() {
    on_virtual_loop(async {
        let mut client = connect(HttpServer::new(bodies));
        for status in ["100", "101", "103", "199"] {
            let answer = client
                .ask(request(&Method::GET, &format!("/{status}")))
                .await;
            assert_eq!(answer.status, 500);
        }
        assert_eq!(test_support::reports().len(), 4);
    });
}

#[test]
fn odd_requests_in_good_order_are_not_refused() {
    on_virtual_loop(async {
        let mut client = connect(HttpServer::new(async |request: Request| {
            let host = request.host().unwrap_or("none");
            Ok(Response::text(format!(
                "{} {} {host}",
                request.method(),
                request.path()
            )))
        }));
        for (wire, text) in [
            ("OPTIONS * HTTP/1.1\r\nHost: \r\n\r\n", "OPTIONS * "),
            ("BREW /pot HTTP/1.1\r\nHost: a\r\n\r\n", "BREW /pot a"),
            ("get http://b:1?c HTTP/1.1\r\nhost: a\r\n\r\n", "get / b:1"),
            (
                "GET //a/../b HTTP/1.1\r\nHOST:a\r\nX: \u{e9}\r\n\r\n",
                "GET //a/../b a",
            ),
            (
                "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
                "GET / none",
            ),
        ] {
            assert_eq!(client.ask(wire).await.text(), text);
        }
        let mut client = connect(HttpServer::new(app));
        assert_eq!(client.ask(GET).await.text(), "hello\n");
    });
}
