//! Every wait for a client has an end, and no wait for anything else has one.

use std::time::Duration;

use futures_lite::{StreamExt, stream};
use httpserver::{Body, Bytes, Error, HttpServer, Request, Response};
use ioloop::sleep;
use iostream::CloseReason;

use crate::support::{
    CHUNKED, GET, app, connect, counter, increment, on_virtual_loop, pattern, post, spawn, timed,
};

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn is_about(time: Duration, expected: u64) {
    let expected = seconds(expected);
    let is_close = time >= expected && time <= expected + seconds(1);
    assert!(is_close, "{time:?} and not {expected:?}");
}

#[test]
fn a_silent_client_is_not_kept_for_more_than_75_seconds() {
    on_virtual_loop(async {
        let mut client = connect(HttpServer::new(app));
        let (time, end) = timed(client.end()).await;
        is_about(time, 75);
        assert_eq!(end, CloseReason::EndOfStream);
    });
}

#[test]
fn the_time_of_being_idle_begins_anew_with_each_answer() {
    on_virtual_loop(async {
        let mut client = connect(HttpServer::new(app));
        for _ in 0..5 {
            sleep(seconds(74)).await;
            assert_eq!(client.ask(GET).await.status, 200);
        }
        let (time, _) = timed(client.end()).await;
        is_about(time, 75);
    });
}

#[test]
fn a_head_that_does_not_end_is_not_waited_for_longer_than_30_seconds() {
    on_virtual_loop(async {
        let mut client = connect(HttpServer::new(app));
        sleep(seconds(50)).await;
        client.send("G").await;
        let (time, answers) = timed(client.last_answers(&[])).await;
        is_about(time, 30);
        assert_eq!(answers.len(), 1);
        assert_eq!(answers[0].status, 408);
        assert!(answers[0].says_close());
    });
}

#[test]
fn a_head_that_trickles_in_gets_no_more_time() {
    on_virtual_loop(async {
        for begun in ["", GET] {
            let mut client = connect(HttpServer::new(app));
            client.send(begun).await;
            let writer = client.writer();
            let trickle = spawn(async move {
                let head = "GET / HTTP/1.1\r\nHost: a\r\nX: ".bytes();
                for byte in head.chain(std::iter::repeat(b'x')) {
                    if writer.write(&[byte]).await.is_err() {
                        return;
                    }
                    sleep(seconds(1)).await;
                }
            });
            let (time, answers) = timed(client.last_answers(&[])).await;
            is_about(time, 30);
            assert_eq!(answers.last().unwrap().status, 408);
            drop((trickle, client));
        }
    });
}

#[test]
fn empty_lines_are_no_request_that_could_be_answered() {
    on_virtual_loop(async {
        let mut client = connect(HttpServer::new(app));
        client.send("\r\n\r\n").await;
        let (time, end) = timed(client.end()).await;
        is_about(time, 30);
        assert_eq!(end, CloseReason::EndOfStream);
    });
}

#[test]
fn a_body_that_does_not_come_is_not_waited_for_longer_than_60_seconds() {
    on_virtual_loop(async {
        for wire in [
            post("hello")[..post("hello").len() - 1].to_vec(),
            CHUNKED.into(),
            format!("{CHUNKED}5\r\nhello\r\n").into(),
        ] {
            let mut client = connect(HttpServer::new(app));
            client.send(wire).await;
            let (time, answers) = timed(client.last_answers(&[])).await;
            is_about(time, 60);
            assert_eq!(answers.len(), 1);
            assert_eq!(answers[0].status, 408);
            assert!(answers[0].says_close());
        }
    });
}

#[test]
fn a_body_that_trickles_in_is_not_cut() {
    on_virtual_loop(async {
        for is_chunked in [false, true] {
            let mut client = connect(HttpServer::new(app));
            let body = pattern(50);
            let whole = post(&body);
            client
                .send(match is_chunked {
                    true => CHUNKED.as_bytes(),
                    false => &whole[..whole.len() - body.len()],
                })
                .await;
            for byte in &body {
                sleep(seconds(59)).await;
                match is_chunked {
                    true => {
                        client
                            .send([b"1\r\n", &[*byte][..], b"\r\n"].concat())
                            .await
                    }
                    false => client.send([*byte]).await,
                }
            }
            if is_chunked {
                client.send("0\r\n\r\n").await;
            }
            let answer = client.answer().await;
            assert_eq!(answer.status, 200);
            assert!(answer.body.ends_with(&body));
            assert!(client.goes_on().await);
        }
    });
}

#[test]
fn a_client_that_does_not_read_is_reset_after_60_seconds() {
    on_virtual_loop(async {
        for is_streamed in [false, true] {
            let (ended, ends) = counter();
            let server = HttpServer::new(async move |_: Request| {
                Ok(Response::new(match is_streamed {
                    false => pattern(1_000_000).into(),
                    true => Body::stream(stream::repeat_with(|| Ok(pattern(10_000).into()))),
                }))
            });
            let (client, stream) = iostream::IoStream::pair();
            spawn(async move {
                use tcpserver::StreamHandler;
                let connection = tcpserver::Connection::in_memory();
                server.handle_stream(stream, connection).await.unwrap();
                increment(&ends);
            })
            .detach();
            let mut client = crate::support::Client::new(client);
            client.send(GET).await;
            sleep(seconds(59)).await;
            assert_eq!(ended.get(), 0);
            sleep(seconds(2)).await;
            assert_eq!(ended.get(), 1);
            let (_, reason) = client.rest().await;
            assert_eq!(reason, CloseReason::Reset);
        }
    });
}

#[test]
fn a_client_that_reads_slowly_but_steadily_is_not_cut() {
    on_virtual_loop(async {
        let body = pattern(400_000);
        let sent = body.clone();
        let server = HttpServer::new(async move |request: Request| {
            Ok(Response::new(match request.path() {
                "/full" => Body::from(sent.clone()),
                _ => {
                    let pieces: Vec<_> = sent.chunks(7777).map(Bytes::copy_from_slice).collect();
                    Body::stream(stream::iter(pieces).map(Ok))
                }
            }))
        });
        let server = std::rc::Rc::new(server);
        for path in ["/full", "/streamed"] {
            let mut client = crate::support::connect_to(&server);
            let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
            client.send(request).await;
            let mut bytes = Vec::new();
            while bytes.len() < body.len() {
                // Each time there is room for a little only.
                bytes.extend(client.little(10_000).await);
                sleep(seconds(59)).await;
            }
            let (rest, reason) = client.rest().await;
            bytes.extend(rest);
            assert_eq!(reason, CloseReason::EndOfStream);
            let answers = crate::answers::parse_all(&bytes, &[]);
            assert!(answers[0].body == body);
        }
    });
}

/// All deadlines that were set before have passed when this handler answers.
#[test]
fn a_handler_that_takes_longer_than_every_deadline_is_not_cut() {
    on_virtual_loop(async {
        let body = pattern(300_000);
        let sent = body.clone();
        let server = HttpServer::new(async move |mut request: Request| {
            request.body().bytes().await?;
            sleep(seconds(600)).await;
            Ok(Response::new(sent.clone()))
        });
        let server = std::rc::Rc::new(server);
        for request in [GET.as_bytes().to_vec(), post("hello")] {
            let mut client = crate::support::connect_to(&server);
            for _ in 0..2 {
                let (head, rest) = request.split_at(20);
                client.send(head).await;
                sleep(seconds(29)).await;
                client.send(rest).await;
                sleep(seconds(600 + 50)).await;
                let answer = client.answer().await;
                assert!(answer.body == body);
                sleep(seconds(74)).await;
            }
        }
    });
}

#[test]
fn a_handler_may_come_late_to_a_body_that_is_there() {
    on_virtual_loop(async {
        let server = HttpServer::new(async |mut request: Request| {
            sleep(seconds(600)).await;
            let first = request.body().next().await.unwrap()?;
            sleep(seconds(600)).await;
            let rest = request.body().bytes().await?;
            Ok(Response::text(format!(
                "{} bytes",
                first.len() + rest.len()
            )))
        });
        let mut client = connect(server);
        let client_writer = client.writer();
        let sent = spawn(async move { client_writer.write(&post(pattern(500_000))).await });
        let (time, answer) = timed(client.answer()).await;
        assert_eq!(answer.text(), "500000 bytes");
        is_about(time, 1200);
        sent.await.unwrap();
    });
}

#[test]
fn a_streamed_body_may_pause_for_as_long_as_it_likes() {
    on_virtual_loop(async {
        let server = HttpServer::new(async |_: Request| {
            let pieces = stream::unfold(0, async |number: u8| {
                sleep(seconds(3600)).await;
                (number < 5).then(|| (Ok(pattern(30_000).into()), number + 1))
            });
            Ok(Response::new(Body::stream(pieces)))
        });
        let mut client = connect(server);
        let (time, answer) = timed(client.ask(GET)).await;
        assert_eq!(answer.body, pattern(30_000).repeat(5));
        is_about(time, 6 * 3600);
        let (time, _) = timed(client.end()).await;
        is_about(time, 75);
    });
}

#[test]
fn a_piece_of_a_streamed_body_does_not_wait_for_the_next() {
    on_virtual_loop(async {
        let server = HttpServer::new(async |_: Request| {
            let pieces = stream::unfold((), async |()| {
                sleep(seconds(10)).await;
                Some((Ok(Bytes::from_static(b"tick")), ()))
            });
            Ok(Response::new(Body::stream(pieces)))
        });
        let mut client = connect(server);
        client.send(GET).await;
        let (time, _) = timed(client.head()).await;
        assert!(time.is_zero(), "{time:?}");
        for _ in 0..3 {
            let (time, piece) = timed(client.some(100)).await;
            is_about(time, 10);
            assert_eq!(piece, b"4\r\ntick\r\n");
        }
    });
}

#[test]
fn an_answer_does_not_wait_for_the_handler_of_the_next_request() {
    on_virtual_loop(async {
        let server = HttpServer::new(async |request: Request| {
            if request.path() == "/slow" {
                sleep(seconds(1000)).await;
            }
            Ok(Response::text("hello\n"))
        });
        let mut client = connect(server);
        client.queue(format!("{GET}{GET}{}", GET.replace("/hello", "/slow")));
        for expected in [0, 0, 1000] {
            let (time, _) = timed(client.answer()).await;
            is_about(time, expected);
        }
    });
}

#[test]
fn an_answer_does_not_wait_for_the_rest_of_the_next_head() {
    on_virtual_loop(async {
        let mut client = connect(HttpServer::new(app));
        client.queue(format!("{GET}GET / HT"));
        let (time, answer) = timed(client.answer()).await;
        assert!(time.is_zero() && answer.status == 200, "{time:?}");
        let (time, answer) = timed(client.answer()).await;
        is_about(time, 30);
        assert_eq!(answer.status, 408);
    });
}

#[test]
fn deadlines_can_be_set_and_lifted() {
    on_virtual_loop(async {
        let server = HttpServer::new(app)
            .idle_timeout(seconds(5))
            .head_timeout(seconds(6))
            .body_timeout(seconds(7))
            .write_timeout(seconds(8));
        let server = std::rc::Rc::new(server);
        let connect_to_it = || crate::support::connect_to(&server);
        is_about(timed(connect_to_it().end()).await.0, 5);
        let mut client = connect_to_it();
        client.send("GET").await;
        let (time, answers) = timed(client.last_answers(&[])).await;
        is_about(time, 6);
        assert_eq!(answers[0].status, 408);
        let mut client = connect_to_it();
        client.send(CHUNKED).await;
        let (time, answers) = timed(client.last_answers(&[])).await;
        is_about(time, 7);
        assert_eq!(answers[0].status, 408);

        let patient = HttpServer::new(app)
            .idle_timeout(Duration::MAX)
            .head_timeout(Duration::MAX)
            .body_timeout(Duration::MAX)
            .write_timeout(Duration::MAX);
        let mut client = connect(patient);
        let day = seconds(24 * 3600);
        sleep(day).await;
        for piece in post("hello").chunks(40) {
            client.send(piece).await;
            sleep(day).await;
        }
        assert_eq!(client.answer().await.status, 200);
    });
}

#[test]
fn a_client_that_reads_and_sends_nothing_more_does_not_hold_an_unread_body_for_ever() {
    on_virtual_loop(async {
        let server = HttpServer::new(async |_: Request| Ok::<_, Error>(Response::text("no")));
        let mut client = connect(server);
        let request = post("hello");
        client.send(&request[..request.len() - 1]).await;
        let (time, answer) = timed(client.answer()).await;
        assert!(time.is_zero() && !answer.says_close());
        let (time, _) = timed(client.end()).await;
        is_about(time, 60);
    });
}

/// After how many seconds the server gives up a client that reads nothing.
async fn reset_after<H: httpserver::HttpHandler>(server: HttpServer<H>, wire: String) -> u64 {
    struct Gone(std::rc::Rc<std::cell::Cell<usize>>);
    impl iostream::OnClose for Gone {
        fn closed(&self) {
            increment(&self.0);
        }
    }
    let (client, stream) = iostream::IoStream::pair();
    let (gone, goes) = counter();
    stream.on_close(std::rc::Rc::new(Gone(goes)));
    crate::support::serve(&std::rc::Rc::new(server.write_timeout(seconds(10))), stream);
    let mut client = crate::support::Client::new(client);
    client.send(wire).await;
    for passed in 0..1000 {
        if gone.get() > 0 {
            assert_eq!(client.rest().await.1, CloseReason::Reset);
            return passed;
        }
        sleep(seconds(1)).await;
    }
    panic!("the connection is still there");
}

#[test]
fn the_end_of_the_last_answer_is_not_offered_for_longer_than_other_bytes() {
    on_virtual_loop(async {
        let server = HttpServer::new(async |_: Request| {
            let pieces = (0..7).map(|_| Ok(pattern(10_000).into()));
            let response = Response::new(Body::stream(stream::iter(pieces)));
            response
                .with_header("Content-Length", "70000")?
                .with_header("Connection", "close")
        });
        assert_eq!(reset_after(server, GET.into()).await, 11);
    });
}

#[test]
fn pipelined_answers_are_not_offered_for_longer_than_others() {
    on_virtual_loop(async {
        for size in [0, 100, 10_000] {
            let server = HttpServer::new(async move |_: Request| Ok(Response::new(pattern(size))));
            assert_eq!(reset_after(server, GET.repeat(1000)).await, 11);
        }
    });
}

#[test]
fn an_answer_to_a_bad_request_is_not_offered_for_longer_than_others() {
    on_virtual_loop(async {
        let server = HttpServer::new(async |_: Request| Ok(Response::new(pattern(13_000))));
        assert_eq!(reset_after(server, GET.repeat(5) + "x\r\n").await, 11);
    });
}
