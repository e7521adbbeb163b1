//! However a request is torn apart on its way, it is answered in the same way.

use std::rc::Rc;

use httpserver::HttpServer;

use crate::answers::{Answer, parse_all};
use crate::support::{CHUNKED, GET, app, connect_to, on_virtual_loop, post, turns};

/// What `server` says to `pieces`, and then to the client's end.
async fn answers_to(server: &Rc<Server>, pieces: &[&[u8]], methods: &[&str]) -> Vec<Answer> {
    let mut client = connect_to(server);
    for piece in pieces {
        // A server that has heard enough may have left.
        if !piece.is_empty() {
            client.try_send(piece).await;
            turns(2).await;
        }
    }
    client.half_close();
    let (bytes, _) = client.rest().await;
    let answers = parse_all(&bytes, methods);
    answers.into_iter().map(Answer::undated).collect()
}

type Server = HttpServer<fn(httpserver::Request) -> AppFuture>;
type AppFuture =
    std::pin::Pin<Box<dyn Future<Output = Result<httpserver::Response, httpserver::Error>>>>;

fn server() -> Rc<Server> {
    Rc::new(HttpServer::new(|request| Box::pin(app(request))))
}

struct Dialogue {
    wire: Vec<u8>,
    methods: &'static [&'static str],
    statuses: &'static [u16],
}

fn dialogue(
    wire: impl Into<Vec<u8>>,
    methods: &'static [&'static str],
    statuses: &'static [u16],
) -> Dialogue {
    Dialogue {
        wire: wire.into(),
        methods,
        statuses,
    }
}

fn small() -> Vec<Dialogue> {
    let chunked = "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
                   3\r\nabc\r\n0\r\n\r\n";
    vec![
        dialogue(GET, &["GET"], &[200]),
        dialogue(format!("\r\n\r\n{GET}"), &["GET"], &[200]),
        dialogue(post("body"), &["POST"], &[200]),
        dialogue(chunked, &["POST"], &[200]),
        dialogue(
            "HEAD /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /no HTTP/1.0\r\n\r\n",
            &["HEAD", "GET"],
            &[200, 404],
        ),
        dialogue(format!("{GET}\r\nGET / HTTP/9.9\r\n\r\n"), &[], &[200, 505]),
        dialogue(
            format!("{GET}GET / HTTP/1.1\nHost: a\r\n\r\n"),
            &[],
            &[200, 400],
        ),
    ]
}

fn large() -> Vec<Dialogue> {
    let extensions = "5;a=b;c=\"d \\\" e\"\r\nhello\r\n0010 ; x\r\n0123456789abcdef\r\n\
                      000;last\r\nTrailer: one\r\nOther: two\r\n\r\n";
    let mixed = [
        GET.as_bytes(),
        &post("first"),
        CHUNKED.as_bytes(),
        extensions.as_bytes(),
        b"\r\nHEAD /hello HTTP/1.1\r\nHost: a\r\n\r\n",
        &post(""),
        b"GET /no HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    ];
    let bad_chunk = format!("{GET}{CHUNKED}5\r\nhello\r\n+5\r\nworld\r\n0\r\n\r\n{GET}");
    let two_lengths = "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\
                       Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    vec![
        dialogue(format!("{CHUNKED}{extensions}"), &["POST"], &[200]),
        dialogue(
            mixed.concat(),
            &["GET", "POST", "POST", "HEAD", "POST", "GET"],
            &[200, 200, 200, 200, 200, 404],
        ),
        dialogue(bad_chunk, &[], &[200, 400]),
        dialogue(
            format!("{GET}{GET}{two_lengths}{GET}"),
            &[],
            &[200, 200, 400],
        ),
        dialogue(
            format!("{GET}GET / HTTP/1.1\r\nHost : a\r\n\r\n{GET}"),
            &[],
            &[200, 400],
        ),
    ]
}

#[test]
fn a_split_anywhere_changes_no_answer() {
    on_virtual_loop(async {
        let server = server();
        for Dialogue {
            wire,
            methods,
            statuses,
        } in small().into_iter().chain(large())
        {
            let whole = answers_to(&server, &[&wire], methods).await;
            let found: Vec<u16> = whole.iter().map(|answer| answer.status).collect();
            assert_eq!(found, statuses, "{:?}", String::from_utf8_lossy(&wire));
            for at in 1..wire.len() {
                let (one, other) = wire.split_at(at);
                let answers = answers_to(&server, &[one, other], methods).await;
                assert_eq!(
                    answers,
                    whole,
                    "split at {at}: {:?}",
                    String::from_utf8_lossy(one)
                );
            }
        }
    });
}

#[test]
fn two_splits_anywhere_change_no_answer() {
    on_virtual_loop(async {
        let server = server();
        for Dialogue { wire, methods, .. } in small() {
            let whole = answers_to(&server, &[&wire], methods).await;
            for second in 2..wire.len() {
                for first in 1..second {
                    let pieces = [&wire[..first], &wire[first..second], &wire[second..]];
                    let answers = answers_to(&server, &pieces, methods).await;
                    assert_eq!(answers, whole, "split at {first} and {second}");
                }
            }
        }
    });
}

#[test]
fn a_byte_at_a_time_changes_no_answer() {
    on_virtual_loop(async {
        let server = server();
        for Dialogue { wire, methods, .. } in small().into_iter().chain(large()) {
            let whole = answers_to(&server, &[&wire], methods).await;
            let bytes: Vec<&[u8]> = wire.chunks(1).collect();
            assert_eq!(answers_to(&server, &bytes, methods).await, whole);
        }
    });
}
