//! Somebody else's protocol over our streams, unchanged: async-tungstenite needs futures-io.

use async_tungstenite::tungstenite::Message;
use async_tungstenite::tungstenite::protocol::CloseFrame;
use async_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use async_tungstenite::{accept_async, client_async};
use futures_lite::StreamExt;
use futures_lite::future::zip;
use iostream::IoStream;

use crate::support::{on_loop, pattern, spawn};
use crate::transports::Kind;

/// Sends back whatever comes, until the peer closes.
async fn echo(stream: IoStream) {
    let mut socket = accept_async(stream).await.unwrap();
    while let Some(message) = socket.next().await {
        let message = message.unwrap();
        if message.is_text() || message.is_binary() {
            socket.send(message).await.unwrap();
        }
    }
}

#[test]
fn a_websocket_does_not_notice_whose_stream_it_runs_over() {
    for kind in [
        Kind::Tcp,
        Kind::Unix,
        Kind::Memory,
        Kind::Cut(1000),
        Kind::CutTcp(1000),
    ] {
        println!("over {kind:?}");
        on_loop(async move {
            let (client, server) = kind.streams();
            let server = spawn(echo(server));
            let (mut client, _) = client_async("ws://localhost/", client).await.unwrap();

            client.send(Message::text("hello")).await.unwrap();
            let answer = client.next().await.unwrap().unwrap();
            assert_eq!(answer.into_text().unwrap(), "hello");

            let sent = pattern(1024 * 1024);
            client.send(Message::binary(sent.clone())).await.unwrap();
            let answer = client.next().await.unwrap().unwrap();
            assert!(answer.into_data() == sent);

            client
                .send(Message::Ping("are you there".into()))
                .await
                .unwrap();
            let answer = client.next().await.unwrap().unwrap();
            assert_eq!(answer, Message::Pong("are you there".into()));

            let frame = CloseFrame {
                code: CloseCode::Normal,
                reason: "done".into(),
            };
            client.close(Some(frame.clone())).await.unwrap();
            let answer = client.next().await.unwrap().unwrap();
            assert_eq!(answer, Message::Close(Some(frame)));
            assert!(
                client.next().await.is_none(),
                "the server closes the connection"
            );
            server.await;
        });
    }
}

#[test]
fn a_websocket_may_read_and_write_in_two_tasks() {
    on_loop(async {
        let (client, server) = Kind::Tcp.streams();
        let server = spawn(echo(server));
        let (client, _) = client_async("ws://localhost/", client).await.unwrap();
        let (mut sender, mut receiver) = client.split();
        let send = spawn(async move {
            for number in 0..200 {
                let text = format!("{number} {}", "x".repeat(5000));
                sender.send(Message::text(text)).await.unwrap();
            }
            sender
        });
        let receive = spawn(async move {
            for number in 0..200 {
                let text = receiver.next().await.unwrap().unwrap().into_text().unwrap();
                assert!(text.starts_with(&format!("{number} ")));
            }
        });
        let (sender, ()) = zip(send, receive).await;
        drop(sender);
        drop(server);
    });
}
