//! A server that stops finishes what it has begun and waits for nothing else.

use std::time::Duration;

use futures_lite::future::zip;
use futures_lite::stream;
use httpserver::{Body, Error, HttpServer, Request, Response};
use ioloop::sleep;
use iostream::CloseReason;
use tcpserver::{Drained, TcpServer};

use crate::support::{Client, GET, on_virtual_loop, post, timed, turns};

const GRACE: Duration = Duration::from_secs(60);

async fn slow(request: Request) -> Result<Response, Error> {
    match request.path() {
        "/streamed" => {
            let pieces = stream::unfold(0, async |number: u8| {
                sleep(Duration::from_secs(10)).await;
                (number < 3).then(|| (Ok("piece".into()), number + 1))
            });
            Ok(Response::new(Body::stream(pieces)))
        }
        "/slow" => {
            sleep(Duration::from_secs(10)).await;
            Ok(Response::text("slow"))
        }
        _ => Ok(Response::text("hello\n")),
    }
}

/// Connects, sends, and lets it arrive.
async fn client<H: httpserver::HttpHandler>(
    server: &TcpServer<HttpServer<H>>,
    sent: impl AsRef<[u8]>,
) -> Client {
    let client = Client::new(server.connect_in_memory());
    client.send(sent).await;
    turns(5).await;
    client
}

#[test]
fn connections_that_wait_for_a_request_are_not_waited_for() {
    on_virtual_loop(async {
        let server = TcpServer::new(HttpServer::new(slow));
        let mut fresh = client(&server, "").await;
        let mut used = client(&server, GET).await;
        used.answer().await;
        let mut partial = client(&server, &GET[..20]).await;
        let mut blank = client(&server, "\r\n").await;
        let mut behind = client(&server, format!("{GET}{}", &GET[..20])).await;
        behind.answer().await;
        let (time, drained) = timed(server.shutdown(GRACE)).await;
        assert!(time <= Duration::from_millis(250), "{time:?}");
        assert_eq!((drained.finished, drained.cut), (5, 0));
        for client in [&mut fresh, &mut used, &mut partial, &mut blank, &mut behind] {
            assert_eq!(client.end().await, CloseReason::EndOfStream);
        }
    });
}

#[test]
fn a_request_that_is_being_answered_is_not_cut() {
    on_virtual_loop(async {
        let server = TcpServer::new(HttpServer::new(slow));
        let mut one = client(&server, GET.replace("/hello", "/slow") + GET).await;
        let mut two = client(&server, GET.replace("/hello", "/streamed")).await;
        let body = post("hello").len();
        let mut three = client(&server, &post("hello")[..body - 1]).await;
        let shutdown = server.shutdown(GRACE);
        let clients = async {
            let answers = one.last_answers(&[]).await;
            assert_eq!((answers.len(), answers[0].text()), (1, "slow"));
            assert!(answers[0].says_close());
            let answers = two.last_answers(&[]).await;
            assert_eq!((answers.len(), answers[0].text()), (1, "piecepiecepiece"));
            three.half_close();
            three.last_answers(&[]).await;
        };
        let (time, (drained, ())) = timed(zip(shutdown, clients)).await;
        assert_eq!(
            drained,
            Drained {
                finished: 3,
                cut: 0
            }
        );
        assert!(time < Duration::from_secs(41), "{time:?}");
    });
}

#[test]
fn a_request_that_has_arrived_is_not_dropped() {
    on_virtual_loop(async {
        let server = TcpServer::new(HttpServer::new(slow));
        let mut client = client(&server, "").await;
        client.queue(GET);
        let (drained, answers) = zip(server.shutdown(GRACE), client.last_answers(&[])).await;
        assert_eq!(
            drained,
            Drained {
                finished: 1,
                cut: 0
            }
        );
        assert_eq!(answers.len(), 1);
        assert!(answers[0].says_close());
    });
}

#[test]
fn what_does_not_end_is_cut_when_the_grace_is_over() {
    on_virtual_loop(async {
        let server = TcpServer::new(HttpServer::new(slow));
        let mut client = client(&server, GET.replace("/hello", "/streamed")).await;
        let (time, drained) = timed(server.shutdown(Duration::from_secs(15))).await;
        assert_eq!(
            drained,
            Drained {
                finished: 0,
                cut: 1
            }
        );
        assert!(time >= Duration::from_secs(15) && time < Duration::from_secs(16));
        let (bytes, reason) = client.rest().await;
        assert_eq!(reason, CloseReason::Reset);
        assert_eq!(crate::answers::parse(&bytes, false), None);
    });
}

#[test]
fn a_handler_can_hear_of_the_draining() {
    on_virtual_loop(async {
        let server = TcpServer::new(HttpServer::new(async |request: Request| {
            request.connection().draining().await;
            Ok(Response::text("told"))
        }));
        let mut client = client(&server, GET).await;
        let (time, _) = timed(server.shutdown(GRACE)).await;
        assert!(time <= Duration::from_millis(250), "{time:?}");
        assert_eq!(client.last_answers(&[]).await[0].text(), "told");
    });
}
