//! Whatever is asked, in whatever pieces: the answers are those that a simple model expects; and
//! whatever is sent that is no request, the server neither panics nor hangs.

use std::cell::RefCell;
use std::rc::Rc;

use httpserver::{Bytes, Error, HttpServer, Request, Response};

use crate::answers::{Answer, parse, parse_head};
use crate::support::{GET, connect_to, on_virtual_loop, pattern, post, spawn, turns};
use test_support::reports;

/// A request, and what it should be answered.
struct Case {
    wire: Vec<u8>,
    method: &'static str,
    status: u16,
    body: Vec<u8>,
    closes: bool,
}

/// `/echo` reads the body, `/stream` sends it back as it comes, `/ignore` leaves it.
async fn app(mut request: Request) -> Result<Response, Error> {
    match request.path() {
        "/echo" => Ok(Response::new(request.body().bytes().await?)),
        "/stream" => Ok(Response::new(request.into_body())),
        "/ignore" => Ok(Response::text("ignored")),
        "/pieces" => {
            let pieces = (0..5).map(|piece| Ok(Bytes::from(vec![b'0' + piece; 3000])));
            Ok(Response::new(httpserver::Body::stream(
                futures_lite::stream::iter(pieces),
            )))
        }
        _ => Err(Error::new(httpserver::StatusCode::NOT_FOUND)),
    }
}

fn case(random: &mut fastrand::Rng) -> Case {
    let method = ["GET", "HEAD", "POST", "PUT", "DELETE", "X-Y"][random.usize(..6)];
    let path = ["/echo", "/stream", "/ignore", "/pieces", "/no"][random.usize(..5)];
    let body = match random.usize(..4) {
        0 | 1 => Vec::new(),
        2 => pattern(random.usize(1..50)),
        _ => pattern(random.usize(1..40_000)),
    };
    let is_old = random.usize(..10) == 0;
    let is_chunked = !is_old && random.bool();
    let has_close = random.usize(..15) == 0;
    let mut wire = Vec::new();
    for _ in 0..random.usize(..3) {
        wire.extend(b"\r\n");
    }
    let version = if is_old { "HTTP/1.0" } else { "HTTP/1.1" };
    wire.extend(
        format!("{method} {path}?q HTTP/1.1\r\nHost: a\r\n")
            .replace("HTTP/1.1", version)
            .bytes(),
    );
    for _ in 0..random.usize(..4) {
        wire.extend(
            format!(
                "X-{}: {}\r\n",
                random.alphanumeric(),
                "y".repeat(random.usize(..99))
            )
            .bytes(),
        );
    }
    match (is_old, has_close) {
        (true, false) => wire.extend(b"connection: keep-alive\r\n"),
        (false, true) => wire.extend(b"Connection: foo, close\r\n"),
        _ => {}
    }
    let has_body = is_chunked || !body.is_empty();
    if is_chunked {
        wire.extend(b"Transfer-Encoding: Chunked\r\n\r\n");
        let mut rest = &body[..];
        while !rest.is_empty() {
            let (chunk, more) = rest.split_at(random.usize(1..=rest.len()));
            let extension = ["", ";a", " ; a=b", ";a=\"\\\"\""][random.usize(..4)];
            wire.extend(format!("{:x}{extension}\r\n", chunk.len()).bytes());
            wire.extend(chunk);
            wire.extend(b"\r\n");
            rest = more;
        }
        wire.extend(["0\r\n\r\n", "000\r\nA: b\r\n\r\n", "0;x\r\n\r\n"][random.usize(..3)].bytes());
    } else {
        if has_body || random.bool() {
            wire.extend(format!("Content-Length: {}\r\n", body.len()).bytes());
        }
        wire.extend(b"\r\n");
        wire.extend(&body);
    }
    let (status, expected) = match path {
        "/echo" | "/stream" => (200, body),
        "/ignore" => (200, b"ignored".to_vec()),
        "/pieces" => (
            200,
            (0..5).flat_map(|piece| vec![b'0' + piece; 3000]).collect(),
        ),
        _ => (404, b"404 Not Found\n".to_vec()),
    };
    // HTTP/1.0 knows no chunks.
    let is_close_delimited = is_old && path == "/pieces" && method != "HEAD";
    Case {
        wire,
        method,
        status,
        body: if method == "HEAD" {
            Vec::new()
        } else {
            expected
        },
        closes: has_close || is_close_delimited,
    }
}

/// All pieces one after another, with turns between some of them.
fn pieces(random: &mut fastrand::Rng, wire: &[u8]) -> Vec<Vec<u8>> {
    let (mut rest, mut pieces) = (wire, Vec::new());
    let largest = [1, 10, 100, 10_000, 100_000][random.usize(..5)].max(wire.len() / 2000);
    while !rest.is_empty() {
        let (piece, more) = rest.split_at(random.usize(1..=largest.min(rest.len()).max(1)));
        pieces.push(piece.to_vec());
        rest = more;
    }
    pieces
}

#[test]
fn no_sequence_of_requests_is_answered_otherwise_than_the_model_says() {
    on_virtual_loop(async {
        let server = Rc::new(HttpServer::new(app));
        let mut random = fastrand::Rng::with_seed(3);
        for round in 0..300 {
            let mut cases = Vec::new();
            for _ in 0..random.usize(1..8) {
                cases.push(case(&mut random));
                if cases.last().unwrap().closes {
                    break;
                }
            }
            let wire: Vec<u8> = cases.iter().flat_map(|case| case.wire.clone()).collect();
            let pieces = pieces(&mut random, &wire);
            let mut client = connect_to(&server);
            let writer = client.writer();
            client.half_close();
            let waits = random.bool();
            spawn(async move {
                for piece in pieces {
                    if writer.write(&piece).await.is_err() {
                        return;
                    }
                    if waits {
                        turns(1).await;
                    }
                }
            })
            .detach();
            let (bytes, _) = client.rest().await;
            let mut at = 0;
            for (number, case) in cases.iter().enumerate() {
                let rest = &bytes[at..];
                let (answer, used) = match parse(rest, case.method == "HEAD") {
                    Some(whole) => whole,
                    None if case.closes => (crate::answers::close_delimited(rest), rest.len()),
                    None => panic!(
                        "round {round}, request {number}: {:?} is answered {:?}",
                        String::from_utf8_lossy(&case.wire[..case.wire.len().min(300)]),
                        String::from_utf8_lossy(&rest[..rest.len().min(300)])
                    ),
                };
                let context = format!("round {round}, request {number}");
                assert_eq!(answer.status, case.status, "{context}");
                assert!(answer.body == case.body, "{context}");
                at += used;
            }
            assert_eq!(at, bytes.len(), "round {round}: too much was answered");
        }
    });
}

/// Changes a few bytes of `wire`, or their order, or their number.
fn mutate(random: &mut fastrand::Rng, wire: &mut Vec<u8>) {
    const ODD: &[u8] = b"\r\n\r\n \t:;,0159afAF\0\x7f\xff+-_%/?#\\\"HTGh.";
    for _ in 0..random.usize(1..4) {
        let at = random.usize(..wire.len());
        match random.usize(..6) {
            0 => wire[at] = random.u8(..),
            1 => wire[at] = ODD[random.usize(..ODD.len())],
            2 => drop(wire.remove(at)),
            3 => wire.insert(at, ODD[random.usize(..ODD.len())]),
            4 => {
                let end = (at + random.usize(..30)).min(wire.len());
                let copy = wire[at..end].to_vec();
                let to = random.usize(..wire.len());
                wire.splice(to..to, copy);
            }
            _ => wire.truncate(at.max(1)),
        }
        if wire.is_empty() {
            wire.push(b'x');
        }
    }
}

#[test]
fn nothing_that_is_sent_makes_the_server_panic_or_hang_or_answer_twice() {
    on_virtual_loop(async {
        let handled: Rc<RefCell<usize>> = Rc::default();
        let handles = handled.clone();
        let server = Rc::new(HttpServer::new(async move |request: Request| {
            *handles.borrow_mut() += 1;
            app(request).await
        }));
        let seeds: Vec<Vec<u8>> = vec![
            GET.replace("/hello", "/echo").into(),
            post("hello"),
            format!(
                "{}3\r\nabc\r\n5;a=\"b\"\r\nhello\r\n0\r\nA: b\r\n\r\n",
                crate::support::CHUNKED
            )
            .into(),
            format!("HEAD /pieces HTTP/1.0\r\nConnection: keep-alive\r\n\r\n{GET}").into(),
            "PUT /stream HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n\
             some data"
                .into(),
            "PUT /ignore HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n\
             0\r\n\r\nGET http://a/echo?b HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
                .into(),
        ];
        let mut random = fastrand::Rng::with_seed(4);
        for round in 0..5000 {
            let mut wire = seeds[random.usize(..seeds.len())].clone();
            if random.bool() {
                wire.extend_from_slice(&seeds[random.usize(..seeds.len())]);
            }
            mutate(&mut random, &mut wire);
            *handled.borrow_mut() = 0;
            let mut client = connect_to(&server);
            let cut = random.usize(..=wire.len());
            client.queue(&wire[..cut]);
            if random.bool() {
                turns(3).await;
            }
            client.try_send(&wire[cut..]).await;
            if random.usize(..3) > 0 {
                client.half_close();
            }
            // In virtual time everything ends: this would be stopped by the limit on turns.
            let (bytes, _) = client.rest().await;
            let statuses = statuses(&bytes);
            let finals = statuses.iter().filter(|&&status| status >= 200).count();
            let refused = statuses.last().is_some_and(|&status| status >= 400);
            let handled = *handled.borrow();
            assert!(
                finals == handled || finals == handled + 1 && refused,
                "round {round}: {statuses:?} for {handled} requests: {:?}",
                String::from_utf8_lossy(&wire)
            );
            // That a client has cut its own body short is said, where it was to be sent back.
            assert!(
                reports()
                    .iter()
                    .all(|report| report.contains("was cut short"))
            );
            // A CRLF pair ends every head: there cannot be more requests than that.
            let ends = wire
                .windows(4)
                .filter(|window| window == b"\r\n\r\n")
                .count();
            assert!(
                handled <= ends,
                "round {round}: {:?}",
                String::from_utf8_lossy(&wire)
            );
        }
    });
}

/// The statuses of all answers, the last of which may be cut short. Whether a request was `HEAD` is
/// told by trying.
fn statuses(bytes: &[u8]) -> Vec<u16> {
    let (mut statuses, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let rest = &bytes[at..];
        let Some((head, start)) = parse_head(rest) else {
            panic!("no head: {:?}", String::from_utf8_lossy(rest));
        };
        statuses.push(head.status);
        let followed_by_head =
            |used: usize| rest.len() == used || rest[used..].starts_with(b"HTTP/1.1 ");
        let used = match parse(rest, false) {
            Some((Answer { .. }, used)) if followed_by_head(used) => used,
            _ if followed_by_head(start) => start,
            _ => rest.len(),
        };
        at += used;
    }
    statuses
}
