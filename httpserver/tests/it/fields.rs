//! Header fields of responses: none may split an answer or contradict the server.

use httpserver::{HttpServer, Request, Response};

use crate::support::{GET, connect, on_virtual_loop};
use test_support::reports;

#[test]
fn no_field_splits_a_response() {
    for value in [
        "a\r\nX: b",
        "a\nX: b",
        "a\rb",
        "a\0b",
        "\u{7f}",
        "a\r\n\r\n<html>",
    ] {
        assert!(
            Response::text("").with_header("X-Value", value).is_err(),
            "{value:?}"
        );
    }
    for name in ["", "a b", "a:", "a\r\nX", "\u{e9}", "a\0"] {
        assert!(
            Response::text("").with_header(name, "value").is_err(),
            "{name:?}"
        );
    }
    // Bytes beyond ASCII are no control characters.
    assert!(
        Response::text("")
            .with_header("X-Value", b"caf\xc3\xa9\t!")
            .is_ok()
    );
}

#[test]
fn fields_that_are_the_servers_are_not_the_handlers() {
    for (name, value) in [
        ("Transfer-Encoding", "chunked"),
        ("transfer-encoding", "gzip"),
        ("Connection", "keep-alive"),
        ("connection", "close, x"),
        ("connection", "upgrade"),
        ("Content-Length", "+5"),
        ("Content-Length", "5, 5"),
        ("Content-Length", ""),
        ("Content-Length", "99999999999999999999"),
    ] {
        assert!(
            Response::text("").with_header(name, value).is_err(),
            "{name}: {value}"
        );
    }
}

#[test]
fn a_field_that_is_refused_becomes_a_500_and_nothing_of_it_is_sent() {
    on_virtual_loop(async {
        let mut client = connect(HttpServer::new(async |_: Request| {
            Response::text("fine")
                .with_header("X-A", "a")?
                .with_header("X-B", "b\r\nX-C: c")
        }));
        let answer = client.ask(GET).await;
        assert_eq!(answer.status, 500);
        assert!(answer.field("x-a").is_none() && answer.field("x-c").is_none());
        assert_eq!(reports().len(), 1);
    });
}

#[test]
fn fields_are_sent_as_they_were_given() {
    on_virtual_loop(async {
        let mut client = connect(HttpServer::new(async |request: Request| {
            let mut response = Response::text("hi");
            for (name, value) in request.headers() {
                if name.starts_with("X-") {
                    response = response.with_header(name, value)?;
                }
            }
            Ok(response)
        }));
        let request =
            "GET / HTTP/1.1\r\nHost: a\r\nX-One: 1\r\nX-Two:\t two words \r\nX-One:\r\n\r\n";
        let answer = client.ask(request).await;
        assert_eq!(answer.all("x-one").collect::<Vec<_>>(), ["1", ""]);
        assert_eq!(answer.field("x-two"), Some("two words"));
    });
}

#[test]
fn names_are_not_rewritten() {
    on_virtual_loop(async {
        let mut client = connect(HttpServer::new(async |_: Request| {
            Response::text("hi")
                .with_header("x-CAMEL-Case", "1")?
                .with_header("Set-Cookie", "a=b")
        }));
        let answer = client.ask(GET).await;
        for (name, value) in [("x-CAMEL-Case", "1"), ("Set-Cookie", "a=b")] {
            assert!(answer.fields.contains(&(name.to_owned(), value.to_owned())));
        }
    });
}
