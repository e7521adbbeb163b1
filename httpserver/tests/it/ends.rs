//! How connections end: by the client's half-close, by a request that is no request, by a reset.

use std::time::Duration;

use httpserver::{Bytes, Error, HttpServer, Request, Response};
use ioloop::sleep;
use iostream::CloseReason;
use tcpserver::TcpServer;

use crate::answers::parse_all;
use crate::support::{
    CHUNKED, Client, GET, app, connect, connect_over_tcp, counter, increment, on_loop,
    on_virtual_loop, pattern, post, spawn, timed, turns, until,
};

#[test]
fn a_client_that_has_closed_its_side_is_not_left_without_its_answers() {
    for over_tcp in [false, true] {
        let connect = move || match over_tcp {
            true => connect_over_tcp(HttpServer::new(app)),
            false => connect(HttpServer::new(app)),
        };
        on_loop(async move {
            for count in [1, 3] {
                let mut client = connect();
                client.queue(GET.repeat(count));
                client.half_close();
                assert_eq!(client.last_answers(&[]).await.len(), count);
            }
            let mut client = connect();
            client.queue(post(pattern(100_000)));
            client.half_close();
            let answer = client.last_answers(&[]).await.remove(0);
            assert!(answer.body.ends_with(&pattern(100_000)));
        });
    }
}

/// Waiting spares a client that goes on sending a reset, which could destroy its answer.
#[test]
fn only_a_client_that_has_sent_all_it_will_is_not_waited_for() {
    const CLOSE: &str = "GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    on_virtual_loop(async {
        for (wire, waits) in [
            (CLOSE.to_string(), false),
            ("GET /hello HTTP/1.0\r\n\r\n".to_string(), false),
            (format!("{GET}{CLOSE}"), false),
            (format!("{CLOSE}\r\n"), true),
            (format!("{CLOSE}{GET}"), true),
            (
                CLOSE.replace("\r\n\r\n", "\r\nContent-Length: 1\r\n\r\nx"),
                true,
            ),
        ] {
            let server = TcpServer::new(HttpServer::new(app));
            let mut client = Client::new(server.connect_in_memory());
            client.send(&wire).await;
            let answers = client.last_answers(&[]).await;
            assert!(
                answers.iter().all(|answer| answer.text() == "hello\n"),
                "{wire}"
            );
            sleep(Duration::from_secs(1)).await;
            assert_eq!(server.connections(), usize::from(waits), "{wire}");
        }
    });
}

#[test]
fn a_handler_that_takes_its_time_answers_a_client_that_has_closed_its_side() {
    on_virtual_loop(async {
        let mut client = connect(HttpServer::new(async |_: Request| {
            sleep(Duration::from_secs(3600)).await;
            Ok(Response::text("late"))
        }));
        client.queue(GET);
        client.half_close();
        assert_eq!(client.last_answers(&[]).await[0].text(), "late");
    });
}

#[test]
fn the_end_of_the_stream_inside_a_head_is_not_answered() {
    on_virtual_loop(async {
        for (sent, count) in [(String::new(), 0), ("\r\n".into(), 0), (GET.into(), 1)] {
            for cut in [1, 10, GET.len() - 1] {
                let mut client = connect(HttpServer::new(app));
                client.queue(format!("{sent}{}", &GET[..cut]));
                client.half_close();
                assert_eq!(client.last_answers(&[]).await.len(), count);
            }
        }
    });
}

#[test]
fn the_end_of_the_stream_inside_a_body_does_not_make_it_whole() {
    on_virtual_loop(async {
        let whole = post("hello");
        for wire in [
            &whole[..whole.len() - 1],
            &whole[..whole.len() - 5],
            format!("{CHUNKED}5\r\nhell").as_bytes(),
            format!("{CHUNKED}5\r\nhello\r\n").as_bytes(),
            format!("{CHUNKED}5\r\nhello\r\n0\r\n").as_bytes(),
            format!("{CHUNKED}5\r\nhello\r\n0\r\nA: b\r\n").as_bytes(),
        ] {
            let mut client = connect(HttpServer::new(app));
            client.queue(wire);
            client.half_close();
            let answers = client.last_answers(&[]).await;
            assert_eq!(answers.len(), 1);
            assert_eq!(answers[0].status, 400);
            assert!(answers[0].says_close());
        }
    });
}

#[test]
fn a_reset_inside_a_body_does_not_leave_the_handler_waiting() {
    for over_tcp in [false, true] {
        on_loop(async move {
            let (heard, hears) = counter();
            let (began, begins) = counter();
            let server = HttpServer::new(async move |mut request: Request| {
                increment(&begins);
                let error = request.body().bytes().await.unwrap_err();
                assert_eq!(error.status(), 400);
                increment(&hears);
                Err(error)
            });
            let client = match over_tcp {
                true => connect_over_tcp(server),
                false => connect(server),
            };
            client.send(&post("hello")[..53]).await;
            until(|| began.get() == 1).await;
            client.reset();
            until(|| heard.get() == 1).await;
        });
    }
}

#[test]
fn a_reset_inside_a_response_ends_the_body_that_is_streamed() {
    struct Dropped(std::rc::Rc<std::cell::Cell<usize>>);
    impl Drop for Dropped {
        fn drop(&mut self) {
            increment(&self.0);
        }
    }
    for over_tcp in [false, true] {
        on_loop(async move {
            let (dropped, drops) = counter();
            let server = HttpServer::new(async move |_: Request| {
                let guard = Dropped(drops.clone());
                let pieces = futures_lite::stream::repeat_with(move || {
                    let _kept = &guard;
                    Ok::<_, Error>(Bytes::from_static(&[7; 10_000]))
                });
                Ok(Response::new(httpserver::Body::stream(pieces)))
            });
            let mut client = match over_tcp {
                true => connect_over_tcp(server),
                false => connect(server),
            };
            client.send(GET).await;
            client.some(1000).await;
            client.reset();
            until(|| dropped.get() == 1).await;
        });
    }
}

#[test]
fn a_bad_request_is_answered_once_and_nothing_behind_it() {
    on_virtual_loop(async {
        for (bad, status) in [
            ("GET\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\n\r\n", 400),
            ("\0\0\0\0\n", 400),
            ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
            ("CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n", 501),
            (
                "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n",
                501,
            ),
            (
                "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\n",
                400,
            ),
            ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\r\n Folded: b\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n", 400),
            (
                "GET / HTTP/1.1\r\nHost: a\r\nExpect: wonders\r\nContent-Length: 1\r\n\r\n",
                417,
            ),
        ] {
            for before in [0, 1, 5] {
                let (calls, called) = counter();
                let mut client = connect(HttpServer::new(async move |request: Request| {
                    increment(&called);
                    app(request).await
                }));
                client.queue(format!("{}{bad}{}", GET.repeat(before), GET.repeat(3)));
                let (time, answers) = timed(client.last_answers(&[])).await;
                let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
                let mut expected = vec![200; before];
                expected.push(status);
                assert_eq!(statuses, expected, "{bad:?}");
                assert!(answers[before].says_close());
                assert_eq!(calls.get(), before);
                assert!(time.is_zero(), "{time:?}");
            }
        }
    });
}

#[test]
fn a_head_that_is_too_large_is_refused_before_it_ends() {
    on_virtual_loop(async {
        let line = "a".repeat(40_000);
        for (wire, status) in [
            (format!("GET /{line}"), 414),
            (format!("GET / HTTP/1.1\r\nHost: a\r\nX: {line}"), 431),
            (
                format!(
                    "GET / HTTP/1.1\r\nHost: a\r\n{}\r\n",
                    "a: b\r\n".repeat(100)
                ),
                431,
            ),
        ] {
            let mut client = connect(HttpServer::new(app));
            client.queue(format!("{GET}{wire}"));
            let answers = client.last_answers(&[]).await;
            assert_eq!(answers.len(), 2);
            assert_eq!(answers[1].status, status);
        }
    });
}

/// The client is not done sending when it hears that it need not have begun.
#[test]
fn an_answer_is_not_destroyed_by_what_the_client_goes_on_sending() {
    on_loop(async {
        for head in [
            "POST /no HTTP/1.1\r\nHost: a\r\nContent-Length: 20000000\r\n\r\n".to_owned(),
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2x\r\n\r\n".to_owned(),
            CHUNKED.replace("/echo", "/no") + "989680\r\n",
        ] {
            let mut client = connect_over_tcp(HttpServer::new(app));
            client.send(&head).await;
            for _ in 0..100 {
                client.send(vec![b'x'; 20_000]).await;
            }
            turns(10).await;
            client.half_close();
            let (bytes, reason) = client.rest().await;
            assert_eq!(reason, CloseReason::EndOfStream);
            let answers = parse_all(&bytes, &[]);
            assert_eq!(answers.len(), 1);
            assert!(answers[0].status >= 400);
        }
    });
}

#[test]
fn a_client_that_never_closes_does_not_keep_what_was_closed() {
    on_virtual_loop(async {
        let (handled, handles) = counter();
        let (mut client, stream) = {
            let (client, stream) = iostream::IoStream::pair();
            (crate::support::Client::new(client), stream)
        };
        spawn(async move {
            use tcpserver::StreamHandler;
            let server = HttpServer::new(app);
            let connection = tcpserver::Connection::in_memory();
            server.handle_stream(stream, connection).await.unwrap();
            increment(&handles);
        })
        .detach();
        client.send("GET /hello HTTP/1.0\r\n\r\n").await;
        let answers = client.last_answers(&[]).await;
        assert_eq!(answers.len(), 1);
        assert_eq!(handled.get(), 1);
        ioloop::sleep(std::time::Duration::from_secs(6)).await;
        assert!(!client.try_send("x").await);
    });
}
