//! What clients hear of a handler's errors, and what only the log does.

use httpserver::{Error, HttpServer, Request, Response, StatusCode};

use crate::support::{connect, on_virtual_loop};
use test_support::reports;

async fn fails(request: Request) -> Result<Response, Error> {
    match request.path() {
        "/status" => Err(Error::new(StatusCode::NOT_FOUND)),
        "/message" => Err(Error::new(StatusCode::CONFLICT).with_message("somebody was faster")),
        "/cause" => Err(Error::new(StatusCode::FORBIDDEN).with_cause("the secret reason")),
        "/both" => Err(Error::new(StatusCode::BAD_GATEWAY)
            .with_message("try later")
            .with_cause("the secret reason")),
        "/any" => Err(std::io::Error::other("the secret reason").into()),
        "/204" => Err(Error::new(StatusCode::NO_CONTENT).with_message("nothing to say")),
        "/304" => Err(Error::new(StatusCode::NOT_MODIFIED)),
        _ => Err(Error::new(StatusCode::OK).with_message("not an error at all")),
    }
}

#[test]
fn a_cause_is_not_shown_to_the_client() {
    on_virtual_loop(async {
        let mut client = connect(HttpServer::new(fails));
        for (path, status, text, reported) in [
            ("/status", 404, "404 Not Found\n", 0),
            ("/message", 409, "409 Conflict: somebody was faster\n", 0),
            ("/cause", 403, "403 Forbidden\n", 0),
            ("/both", 502, "502 Bad Gateway: try later\n", 1),
            ("/any", 500, "500 Internal Server Error\n", 1),
            ("/204", 204, "", 0),
            ("/304", 304, "", 0),
            ("/200", 200, "200 OK: not an error at all\n", 0),
        ] {
            let answer = client
                .ask(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"))
                .await;
            assert_eq!((answer.status, answer.text()), (status, text));
            assert!(!answer.says_close());
            let reports = reports();
            assert_eq!(reports.len(), reported, "{reports:?}");
            // What went wrong, and with which request.
            assert!(
                reports
                    .iter()
                    .all(|report| report.contains("the secret reason"))
            );
            assert!(reports.iter().all(|report| report.contains(path)));
        }
    });
}

#[test]
fn head_requests_that_fail_get_no_body() {
    on_virtual_loop(async {
        let mut client = connect(HttpServer::new(fails));
        for path in ["/status", "/message", "/any", "/204"] {
            let answer = client
                .ask(format!("HEAD {path} HTTP/1.1\r\nHost: a\r\n\r\n"))
                .await;
            assert_eq!(answer.body, b"");
        }
        assert_eq!(reports().len(), 1);
    });
}

#[test]
fn the_log_does_not_show_more_of_a_request_than_its_first_line() {
    on_virtual_loop(async {
        let mut client = connect(HttpServer::new(async |_: Request| {
            Err(std::io::Error::other("no").into())
        }));
        client
            .ask("GET /any HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n")
            .await;
        let reports = reports();
        assert!(reports[0].contains("GET /any HTTP/1.1"), "{reports:?}");
        assert!(
            !reports[0].contains('\r') && !reports[0].contains("Host"),
            "{reports:?}"
        );
    });
}
