//! Switching to another protocol: the stream is handed over as it is.

use std::time::Duration;

use async_tungstenite::WebSocketStream;
use async_tungstenite::client_async;
use async_tungstenite::tungstenite::Message;
use async_tungstenite::tungstenite::handshake::derive_accept_key;
use async_tungstenite::tungstenite::protocol::Role;
use futures_lite::StreamExt;
use httpserver::{Error, HttpServer, Request, Response, StatusCode};
use iostream::{CloseReason, IoStream};
use tcpserver::{BoxError, Connection, StreamHandler};

use crate::support::{GET, connect, on_loop, on_virtual_loop, pattern, post, spawn};
use test_support::reports;

const UPGRADE: &str =
    "GET /lines HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: lines\r\n\r\n";

async fn lines(mut stream: IoStream) -> Result<(), BoxError> {
    loop {
        let line = stream.read_until(b"\n", 4096).await?;
        stream.write(&line).await?;
    }
}

async fn app(request: Request) -> Result<Response, Error> {
    match request.path() {
        "/lines" => Response::upgrade("lines", lines),
        _ => Ok(Response::text("hello\n")),
    }
}

#[test]
fn bytes_that_were_sent_too_early_are_not_lost() {
    on_virtual_loop(async {
        for early in ["", "one\n", "one\nt"] {
            let mut client = connect(HttpServer::new(app));
            client.queue(format!("{GET}{GET}{UPGRADE}{early}"));
            for _ in 0..2 {
                assert_eq!(client.answer().await.text(), "hello\n");
            }
            let switched = client.answer().await;
            assert_eq!(switched.status, 101);
            assert_eq!(switched.field("upgrade"), Some("lines"));
            assert_eq!(switched.field("connection"), Some("Upgrade"));
            client.queue(&"one\ntwo\n"[early.len()..]);
            let mut back = Vec::new();
            while back.len() < 8 {
                back.extend(client.some(100).await);
            }
            assert_eq!(back, b"one\ntwo\n");
        }
    });
}

#[test]
fn the_deadlines_of_http_do_not_end_another_protocol() {
    on_virtual_loop(async {
        let mut client = connect(HttpServer::new(app));
        assert_eq!(client.ask(UPGRADE).await.status, 101);
        for _ in 0..3 {
            ioloop::sleep(Duration::from_secs(24 * 3600)).await;
            client.send("still there?\n").await;
            assert_eq!(client.some(100).await, b"still there?\n");
        }
    });
}

#[test]
fn a_switch_that_was_not_asked_for_does_not_happen() {
    on_virtual_loop(async {
        let mut client = connect(HttpServer::new(app));
        for request in [
            "GET /lines HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET /lines HTTP/1.1\r\nHost: a\r\nUpgrade: lines\r\n\r\n",
            "GET /lines HTTP/1.0\r\nConnection: keep-alive, upgrade\r\nUpgrade: lines\r\n\r\n",
            "PUT /lines HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: lines\r\n\
             Content-Length: 4\r\n\r\nbody",
            "PUT /lines HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: lines\r\n\
             Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ] {
            assert_eq!(client.ask(request).await.status, 500, "{request}");
        }
        assert!(client.goes_on().await);
        assert_eq!(reports().len(), 5);
    });
}

#[test]
fn a_request_says_what_it_would_be_upgraded_to() {
    on_virtual_loop(async {
        let mut client = connect(HttpServer::new(async |request: Request| {
            Ok(Response::text(
                request.upgrade().unwrap_or("nothing").to_owned(),
            ))
        }));
        assert_eq!(client.ask(UPGRADE).await.text(), "lines");
        for request in [
            GET.into(),
            UPGRADE
                .replace("keep-alive, Upgrade", "keep-alive")
                .into_bytes(),
            post("body"),
        ] {
            assert_eq!(client.ask(request).await.text(), "nothing");
        }
    });
}

#[test]
fn a_switch_to_what_would_split_the_answer_does_not_happen() {
    on_virtual_loop(async {
        let mut client = connect(HttpServer::new(async |_: Request| {
            Response::upgrade("a\r\nX: b", lines)
        }));
        assert_eq!(client.ask(UPGRADE).await.status, 500);
        assert_eq!(reports().len(), 1);
    });
}

#[test]
fn a_switch_with_another_status_does_not_happen() {
    on_virtual_loop(async {
        let mut client = connect(HttpServer::new(async |_: Request| {
            Ok(Response::upgrade("lines", lines)?.with_status(StatusCode::OK))
        }));
        assert_eq!(client.ask(UPGRADE).await.status, 500);
        assert_eq!(reports().len(), 1);
    });
}

#[test]
fn an_error_of_the_other_protocol_is_not_hushed_up() {
    on_virtual_loop(async {
        let server = HttpServer::new(async |_: Request| {
            Response::upgrade("x", async |_stream| Err(BoxError::from("not today")))
        });
        let (client, stream) = IoStream::pair();
        let handled =
            spawn(async move { server.handle_stream(stream, Connection::in_memory()).await });
        let mut client = crate::support::Client::new(client);
        client.send(UPGRADE).await;
        assert_eq!(handled.await.unwrap_err().to_string(), "not today");
        let (_, reason) = client.rest().await;
        assert_eq!(reason, CloseReason::EndOfStream);
    });
}

async fn websocket(request: Request) -> Result<Response, Error> {
    let bad = || Error::new(StatusCode::UPGRADE_REQUIRED);
    let key = request.header("sec-websocket-key").ok_or_else(bad)?;
    Response::upgrade("websocket", async |stream| {
        let mut socket = WebSocketStream::from_raw_socket(stream, Role::Server, None).await;
        while let Some(message) = socket.next().await {
            let message = message?;
            if message.is_text() || message.is_binary() {
                socket.send(message).await?;
            }
        }
        Ok(())
    })?
    .with_header("Sec-WebSocket-Accept", derive_accept_key(key.as_bytes()))
}

#[test]
fn a_websocket_does_not_notice_whose_stream_it_runs_over() {
    on_loop(async {
        let (client, stream) = IoStream::pair();
        crate::support::serve(&std::rc::Rc::new(HttpServer::new(websocket)), stream);
        let (mut client, response) = client_async("ws://localhost/", client).await.unwrap();
        assert_eq!(response.status(), 101);
        client.send(Message::text("hello")).await.unwrap();
        let answer = client.next().await.unwrap().unwrap();
        assert_eq!(answer.into_text().unwrap(), "hello");
        let sent = pattern(300_000);
        client.send(Message::binary(sent.clone())).await.unwrap();
        let answer = client.next().await.unwrap().unwrap();
        assert!(answer.into_data() == sent);
        client.close(None).await.unwrap();
        while let Some(Ok(_)) = client.next().await {}
    });
}
