//! Handlers that want to know whether anybody still listens.

use std::time::Duration;

use futures_lite::future::or;
use httpserver::{Error, HttpServer, Request, Response};
use ioloop::sleep;
use iostream::CloseReason;

use crate::support::{
    GET, app, connect, connect_over_tcp, counter, increment, on_loop, on_virtual_loop, post, spawn,
    turns, until,
};

#[test]
fn a_client_that_leaves_does_not_leave_its_handler_at_work() {
    for over_tcp in [false, true] {
        for is_reset in [false, true] {
            on_loop(async move {
                let (heard, hears) = counter();
                let (began, begins) = counter();
                let server = HttpServer::new(async move |request: Request| {
                    increment(&begins);
                    let reason = request.peer_closed().await;
                    assert_eq!(reason == CloseReason::Reset, is_reset);
                    increment(&hears);
                    Ok(Response::text("too late"))
                });
                let mut client = match over_tcp {
                    true => connect_over_tcp(server),
                    false => connect(server),
                };
                client.send(GET).await;
                until(|| began.get() == 1).await;
                turns(5).await;
                assert_eq!(heard.get(), 0);
                if is_reset {
                    client.reset();
                    until(|| heard.get() == 1).await;
                } else {
                    client.half_close();
                    assert_eq!(client.last_answers(&[]).await[0].text(), "too late");
                }
            });
        }
    }
}

#[test]
fn watching_for_the_end_eats_nothing_that_comes_before() {
    on_virtual_loop(async {
        let server = HttpServer::new(async |mut request: Request| {
            let watch = async {
                request.peer_closed().await;
                false
            };
            let work = async {
                sleep(Duration::from_secs(10)).await;
                true
            };
            assert!(or(work, watch).await);
            let closed = request.peer_closed();
            let watch = spawn(closed);
            if request.method() == "POST" {
                request.body().bytes().await?;
            }
            turns(2).await;
            drop(watch);
            Ok::<_, Error>(Response::text(request.target().to_owned()))
        });
        let mut client = connect(server);
        client.send(post("hello")).await;
        turns(5).await;
        client.send(GET.repeat(3)).await;
        turns(5).await;
        client.send(&post("hello")[..40]).await;
        turns(5).await;
        client.send(&post("hello")[40..]).await;
        for expected in ["/echo", "/hello", "/hello", "/hello", "/echo"] {
            assert_eq!(client.answer().await.text(), expected);
        }
    });
}

#[test]
fn watching_for_longer_than_the_request_does_not_keep_the_connection() {
    on_virtual_loop(async {
        let (heard, hears) = counter();
        let server = HttpServer::new(async move |request: Request| {
            let (closed, hears) = (request.peer_closed(), hears.clone());
            spawn(async move {
                closed.await;
                increment(&hears);
            })
            .detach();
            app(request).await
        });
        let mut client = connect(server);
        for _ in 0..3 {
            client.ask(GET).await;
        }
        // Nor does it keep the connection from being idle for too long.
        assert_eq!(client.end().await, CloseReason::EndOfStream);
        sleep(Duration::from_secs(6)).await;
        assert_eq!(heard.get(), 3);
        assert!(!client.try_send(GET).await);
    });
}

#[test]
fn a_request_that_came_over_no_connection_is_never_left() {
    on_virtual_loop(async {
        let request: Request = http::Request::get("/")
            .body("")
            .unwrap()
            .try_into()
            .unwrap();
        let never = async {
            request.peer_closed().await;
            false
        };
        let long = async {
            sleep(Duration::from_secs(1_000_000)).await;
            true
        };
        assert!(or(long, never).await);
    });
}
