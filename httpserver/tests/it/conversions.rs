//! The types of the `http` crate and ours say the same.

use futures_lite::StreamExt;
use httpserver::{Body, Error, HttpServer, Request, Response};

use crate::support::{connect, on_virtual_loop, post};

const TOKEN: &[u8] = b"abcXYZ019!#$%&'*+-.^_`|~";
const TARGET: &[u8] = b"abcXYZ019-._~!$&'()*+,;=:@/?%";

fn text(random: &mut fastrand::Rng, from: &[u8], length: std::ops::Range<usize>) -> String {
    let length = random.usize(length);
    (0..length)
        .map(|_| char::from(from[random.usize(..from.len())]))
        .collect()
}

fn value(random: &mut fastrand::Rng) -> Vec<u8> {
    let byte = |random: &mut fastrand::Rng| loop {
        let byte = random.u8(..);
        if byte == b'\t' || byte >= b' ' && byte != 0x7f {
            return byte;
        }
    };
    let bytes: Vec<u8> = (0..random.usize(..30)).map(|_| byte(random)).collect();
    bytes.trim_ascii().to_vec()
}

fn is_ours(name: &str) -> bool {
    [
        "host",
        "connection",
        "content-length",
        "transfer-encoding",
        "expect",
        "upgrade",
        "date",
    ]
    .iter()
    .any(|known| name.eq_ignore_ascii_case(known))
}

#[test]
fn a_request_is_the_same_there_and_back() {
    let mut random = fastrand::Rng::with_seed(1);
    for _ in 0..3000 {
        let method = text(&mut random, TOKEN, 1..10);
        if method == "CONNECT" {
            continue;
        }
        let target = format!("/{}", text(&mut random, TARGET, 0..40));
        let mut builder = http::Request::builder()
            .method(method.as_bytes())
            .uri(&target)
            .header("Host", "example.org");
        for _ in 0..random.usize(..8) {
            let name = text(&mut random, TOKEN, 1..12);
            if !is_ours(&name) {
                builder = builder.header(name, value(&mut random));
            }
        }
        let original = builder.body(Body::from("body")).unwrap();
        let (parts, body) = original.into_parts();
        let copy = http::Request::from_parts(parts.clone(), body);
        let ours = Request::try_from(copy).unwrap_or_else(|error| panic!("{parts:?}: {error}"));
        assert_eq!(ours.method(), &parts.method);
        assert_eq!(ours.target(), target);
        assert_eq!(ours.headers().into_iter().count(), parts.headers.len());
        for (name, _) in &parts.headers {
            let there: Vec<&[u8]> = parts
                .headers
                .get_all(name)
                .iter()
                .map(|value| value.as_bytes())
                .collect();
            let here: Vec<&[u8]> = ours.headers().get_all(name.as_str()).collect();
            assert_eq!(here, there);
        }
        let back: http::Request<Body> = ours.try_into().unwrap();
        assert_eq!(back.method(), &parts.method);
        assert_eq!(back.uri(), &parts.uri);
        assert_eq!(back.headers(), &parts.headers);
        assert_eq!(back.body().length(), Some(4));
        assert!(back.extensions().get::<tcpserver::Address>().is_some());
    }
}

#[test]
fn a_request_that_could_not_have_come_is_refused() {
    let refused = |request: http::request::Builder| {
        Request::try_from(request.body(Body::empty()).unwrap()).is_err()
    };
    let get = |target: &str| http::Request::get(target);
    assert!(refused(get("/").header("Host", "a b")));
    assert!(refused(get("/").header("Host", "a").header("Host", "b")));
    assert!(refused(get("/").header("Content-Length", "x")));
    assert!(refused(get("/").header("Expect", "the unexpected")));
    assert!(refused(
        http::Request::builder().method("CONNECT").uri("a:80")
    ));
    assert!(refused(get("host:80")));
    assert!(!refused(get("http://host:80/a?b")));
    let host = Request::try_from(get("http://host:80/a?b").body("").unwrap()).unwrap();
    assert_eq!(
        (host.host(), host.header("host")),
        (Some("host:80"), Some("host:80"))
    );
}

#[test]
fn a_response_is_the_same_there_and_back() {
    let mut random = fastrand::Rng::with_seed(2);
    for _ in 0..3000 {
        let status = random.u16(200..1000);
        let mut builder = http::Response::builder().status(status);
        for _ in 0..random.usize(..8) {
            let name = text(&mut random, TOKEN, 1..12);
            if !is_ours(&name) {
                builder = builder.header(name, value(&mut random));
            }
        }
        if random.bool() {
            builder = builder
                .header("Content-Length", "4")
                .header("Connection", "close");
        }
        let original = builder.body("body").unwrap();
        let (parts, body) = original.into_parts();
        let ours = Response::from(http::Response::from_parts(parts.clone(), body));
        assert_eq!(ours.status(), parts.status);
        let back: http::Response<Body> = ours.try_into().unwrap();
        assert_eq!(back.status(), parts.status);
        assert_eq!(back.headers(), &parts.headers);
    }
}

#[test]
fn a_response_that_switches_protocols_is_no_plain_one() {
    let switch = Response::upgrade("x", async |_| Ok(())).unwrap();
    assert!(http::Response::<Body>::try_from(switch).is_err());
}

#[test]
fn a_handler_in_the_types_of_the_http_crate_is_no_other_handler() {
    async fn inner(request: http::Request<Body>) -> http::Response<Body> {
        let (parts, mut body) = request.into_parts();
        let mut length = 0;
        while let Some(Ok(piece)) = body.next().await {
            length += piece.len();
        }
        let text = format!("{} {length}", parts.uri.path());
        http::Response::builder()
            .header("X-Inner", "yes")
            .header("Connection", "keep-alive")
            .header("Transfer-Encoding", "chunked")
            .body(Body::from(text))
            .unwrap()
    }
    on_virtual_loop(async {
        let mut client = connect(HttpServer::new(async |request: Request| {
            Ok::<_, Error>(inner(request.try_into()?).await.into())
        }));
        for _ in 0..2 {
            let answer = client.ask(post("hello")).await;
            assert_eq!(answer.text(), "/echo 5");
            assert_eq!(answer.field("x-inner"), Some("yes"));
            assert_eq!(answer.field("connection"), None);
        }
    });
}
