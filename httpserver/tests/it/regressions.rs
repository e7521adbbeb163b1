//! Bugs that once were, each with the test that found it.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use futures_lite::{StreamExt, stream};
use httpserver::{Body, Error, HttpServer, Request, Response, StatusCode};
use ioloop::sleep;
use iostream::{CloseReason, IoStream};
use tcpserver::TcpServer;

use crate::support::{
    CHUNKED, Client, GET, app, connect, connect_to, on_virtual_loop, pattern, post, serve, spawn,
    timed, turns,
};
use test_support::reports;

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Polls `future` once and drops it, as a combinator does whose other future was ready.
async fn attempt<F: Future>(future: F) {
    let mut future = pin!(future);
    poll_fn(|context| {
        let _ = future.as_mut().poll(context);
        Poll::Ready(())
    })
    .await;
}

/// The size of a chunk is allowed under one limit, its data may come under another.
#[test]
fn a_limit_that_is_lowered_inside_a_chunk_is_not_lifted() {
    on_virtual_loop(async {
        let server = HttpServer::new(async |mut request: Request| {
            request.body().next().await.unwrap()?;
            request.body().set_max_size(10);
            let rest = request.body().bytes().await?;
            Ok(Response::text(format!("{} bytes more", rest.len())))
        });
        let mut client = connect(server);
        client
            .send(format!("{CHUNKED}186a0\r\n{}", "x".repeat(1000)))
            .await;
        turns(5).await;
        client.send("x".repeat(1000)).await;
        assert_eq!(client.answer().await.status, 413);
    });
}

/// The same without the handler's doing: what is left of the body is drained under a lower limit.
#[test]
fn a_chunk_that_was_read_in_part_is_not_drained_beyond_the_limit() {
    on_virtual_loop(async {
        let server = HttpServer::new(async |mut request: Request| {
            let first = request.body().next().await.unwrap()?;
            Ok(Response::text(format!("{}", !first.is_empty())))
        });
        let mut client = connect(server);
        client.send(format!("{CHUNKED}f42400\r\nx")).await;
        assert_eq!(client.answer().await.text(), "true");
        let piece = vec![b'x'; 10_000];
        let mut taken = 0;
        while taken < 15_000_000 && client.try_send(&piece).await {
            taken += piece.len();
        }
        // The connection's 5 s of lingering do not end in this loop, so it is told by what comes.
        let (time, end) = timed(client.end()).await;
        assert_eq!((end, time), (CloseReason::EndOfStream, Duration::ZERO));
    });
}

/// A panic must cut the connection as an error does.
#[test]
fn a_close_delimited_body_that_panics_is_not_taken_for_a_whole_one() {
    on_virtual_loop(async {
        let mut client = connect(HttpServer::new(async |_: Request| {
            let first = [Ok("first".into())].into_iter();
            let pieces = first.chain(std::iter::once_with(|| panic!("in the body")));
            Ok(Response::new(Body::stream(stream::iter(pieces))))
        }));
        client.send("GET / HTTP/1.0\r\n\r\n").await;
        let (_, reason) = client.rest().await;
        assert!(!reports().is_empty());
        assert_eq!(reason, CloseReason::Reset);
    });
}

/// It is answered 500, and logged as one.
#[test]
fn an_error_of_an_informational_status_is_no_final_answer() {
    on_virtual_loop(async {
        for status in [StatusCode::CONTINUE, StatusCode::SWITCHING_PROTOCOLS] {
            let mut client = connect(HttpServer::new(async move |_: Request| {
                Err(Error::new(status))
            }));
            client.send(GET).await;
            let head = client.head_of_any_form().await;
            assert!(
                head.starts_with(b"HTTP/1.1 500 "),
                "{:?}",
                String::from_utf8_lossy(&head)
            );
            assert_eq!(reports().len(), 1);
        }
    });
}

impl Client {
    async fn head_of_any_form(&mut self) -> Vec<u8> {
        self.some(4096).await
    }
}

/// `with_header` says "It becomes a 500".
#[test]
fn a_handlers_own_bad_length_is_not_blamed_on_the_client() {
    for value in ["abc", "-1", "99999999999999999999"] {
        let error = Response::text("")
            .with_header("Content-Length", value)
            .unwrap_err();
        assert_eq!(error.status(), 500, "{error}");
    }
}

/// Only what the client takes begins the time to write anew, not what it sends: a kept
/// `peer_closed` wakes the connection's task for that too.
#[test]
fn a_client_that_only_sends_does_not_keep_its_answer_from_timing_out() {
    on_virtual_loop(async {
        let server = HttpServer::new(async |request: Request| {
            spawn(request.peer_closed()).detach();
            Ok(Response::new(pattern(1_000_000)))
        });
        let (client, stream) = IoStream::pair();
        serve(&Rc::new(server), stream);
        let client = Client::new(client);
        client.send(GET).await;
        let (time, ()) = timed(async {
            for _ in 0..100 {
                sleep(seconds(50)).await;
                if !client.try_send("x").await {
                    return;
                }
            }
        })
        .await;
        assert!(time <= seconds(150), "{time:?}");
    });
}

/// `Connection: upgrade` alone asks for nothing; the client does not know which protocol it is in.
#[test]
fn a_switch_without_an_upgrade_field_does_not_happen() {
    on_virtual_loop(async {
        let mut client = connect(HttpServer::new(async |request: Request| {
            assert_eq!(request.upgrade(), None);
            Response::upgrade("lines", async |_| Ok(()))
        }));
        let request = "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\n\r\n";
        let status = client.ask(request).await.status;
        drop(reports());
        assert_eq!(status, 500);
    });
}

/// Such a response has no body that could send it back.
#[test]
fn a_body_that_cannot_be_sent_back_is_not_asked_for() {
    on_virtual_loop(async {
        let echo = async |request: Request| {
            let is_empty = request.method() == "PUT";
            let response = Response::new(request.into_body());
            Ok(match is_empty {
                true => response.with_status(StatusCode::NO_CONTENT),
                false => response,
            })
        };
        for method in ["HEAD", "PUT"] {
            let mut client = connect(HttpServer::new(echo));
            let request = format!(
                "{method} / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\
                 Expect: 100-continue\r\n\r\n"
            );
            let answer = client.ask(request).await;
            assert_ne!(answer.status, 100, "{method}");
            assert!(answer.says_close());
        }
    });
}

/// As before: the connection does not go on, and the client is told.
#[test]
fn a_large_body_that_cannot_be_sent_back_does_not_promise_another_request() {
    on_virtual_loop(async {
        let echo = async |request: Request| Ok(Response::new(request.into_body()));
        let mut client = connect(HttpServer::new(echo));
        client
            .send("HEAD / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n")
            .await;
        let answer = client.last_answers(&["HEAD"]).await.remove(0);
        assert!(answer.says_close());
    });
}

/// The time for a body goes on from the last byte, also if it is no data.
#[test]
fn chunk_sizes_that_trickle_in_are_not_a_body_that_does_not_come() {
    on_virtual_loop(async {
        let mut client = connect(HttpServer::new(app));
        client.send(CHUNKED).await;
        for byte in "5\r\nhello\r\n0\r\n\r\n".bytes() {
            sleep(seconds(40)).await;
            client.send([byte]).await;
        }
        assert_eq!(client.answer().await.status, 200);
    });
}

/// RFC 9110, 9.3.2.
#[test]
fn a_bad_head_request_is_answered_without_a_body() {
    on_virtual_loop(async {
        let mut client = connect(HttpServer::new(app));
        client.send("HEAD /hello HTTP/1.1\r\n\r\n").await;
        let answers = client.last_answers(&["HEAD"]).await;
        assert_eq!(answers[0].status, 400);
    });
}

/// 64 KiB, a byte a minute, are six weeks, for a body that nobody wants.
#[test]
fn an_unread_body_that_trickles_in_is_not_drained_for_ever() {
    on_virtual_loop(async {
        let mut client = connect(HttpServer::new(async |_: Request| Ok(Response::text("no"))));
        let wire = post(pattern(1000));
        client.send(&wire[..wire.len() - 1000]).await;
        client.answer().await;
        let writer = client.writer();
        let trickle = spawn(async move {
            while writer.write(b"x").await.is_ok() {
                sleep(seconds(50)).await;
            }
        });
        let (time, _) = timed(client.rest()).await;
        assert!(time <= seconds(300), "{time:?}");
        drop(trickle);
    });
}

/// The body is taken away however the exchange ends.
#[test]
fn a_body_that_is_kept_does_not_keep_a_connection_whose_answer_failed() {
    on_virtual_loop(async {
        let kept: Rc<RefCell<Vec<Body>>> = Rc::default();
        let keeps = kept.clone();
        let server = TcpServer::new(HttpServer::new(async move |request: Request| {
            keeps.borrow_mut().push(request.into_body());
            let failing = stream::iter([Err(Error::new(StatusCode::BAD_GATEWAY))]);
            Ok(Response::new(Body::stream(failing)))
        }));
        let mut client = Client::new(server.connect_in_memory());
        client.send(&post("hello")[..55]).await;
        client.rest().await;
        assert_eq!(reports().len(), 1);
        sleep(seconds(1000)).await;
        assert_eq!(server.connections(), 0);
        let mut body = kept.borrow_mut().pop().unwrap();
        assert!(body.next().await.unwrap().is_err());
    });
}

/// The deadline of the first time somebody asked was ten minutes ago.
#[test]
fn a_body_that_was_asked_for_once_and_long_ago_is_not_late() {
    on_virtual_loop(async {
        let server = HttpServer::new(async |mut request: Request| {
            attempt(request.body().next()).await;
            sleep(seconds(600)).await;
            app(request).await
        });
        let mut client = connect(server);
        let wire = post("hello");
        client.send(&wire[..wire.len() - 5]).await;
        sleep(seconds(601)).await;
        client.send("hello").await;
        assert_eq!(client.answer().await.status, 200);
    });
}

/// As before, when the rest is thrown away.
#[test]
fn the_rest_of_a_body_that_was_asked_for_long_ago_is_waited_for() {
    on_virtual_loop(async {
        let server = Rc::new(HttpServer::new(async |mut request: Request| {
            if request.method() == "GET" {
                return app(request).await;
            }
            attempt(request.body().next()).await;
            sleep(seconds(600)).await;
            Ok(Response::text("done"))
        }));
        let mut client = connect_to(&server);
        let wire = post("hello");
        client.send(&wire[..wire.len() - 5]).await;
        let answer = client.answer().await;
        assert!(answer.text() == "done" && !answer.says_close());
        sleep(seconds(1)).await;
        assert!(client.try_send("hello").await && client.goes_on().await);
    });
}

/// Most clients do not read before they have sent: answer and body must not wait for one another.
#[test]
fn a_client_that_sends_before_it_reads_is_not_cut_because_nobody_wants_its_body() {
    on_virtual_loop(async {
        let server = HttpServer::new(async |_: Request| Ok(Response::new(pattern(2_000_000))));
        let mut client = connect(server);
        client.try_send(post(pattern(2_000_000))).await;
        let (bytes, reason) = client.rest().await;
        assert!(
            bytes.len() > 2_000_000,
            "{} bytes, then {reason:?}",
            bytes.len()
        );
    });
}

/// Anybody could fill the log with warnings by leaving in the middle of a body that is sent back.
#[test]
fn a_client_that_cuts_its_own_body_short_is_no_warning() {
    on_virtual_loop(async {
        let echo = async |request: Request| Ok(Response::new(request.into_body()));
        let mut client = connect(HttpServer::new(echo));
        client.send(&post("hello")[..55]).await;
        client.half_close();
        client.rest().await;
        assert_eq!(reports(), [""; 0]);
    });
}
