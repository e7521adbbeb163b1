//! The same response from hyper 1 on tokio's single-threaded runtime, without a router or timeouts. It shares
//! two files with the others and depends on none, so that its size is its own.

#[path = "../../../src/address.rs"]
mod address;
#[allow(dead_code, reason = "what writes it by hand")]
#[path = "../../../src/hello.rs"]
mod hello;

use std::convert::Infallible;
use std::error::Error;
use std::sync::LazyLock;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{HeaderName, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::runtime;

use crate::address::address_from_arguments;
use crate::hello::{BODY, HEADERS, Value};

fn main() -> Result<(), Box<dyn Error>> {
    let runtime = runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(serve())
}

/// An error ends it: here that means the measurement is set up wrongly.
async fn serve() -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind(address_from_arguments()?).await?;
    println!("listening on {}", listener.local_addr()?);
    let mut http = http1::Builder::new();
    // Or it would send each of several pipelined answers alone.
    http.pipeline_flush(true);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let connection = http.serve_connection(TokioIo::new(stream), service_fn(hello));
        tokio::spawn(async move {
            // The client went away, or spoke no HTTP.
            let _ = connection.await;
        });
    }
}

async fn hello(_request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let mut response = Response::new(Full::new(Bytes::from_static(BODY.as_bytes())));
    for (name, value) in FIXED_HEADERS.iter() {
        response.headers_mut().insert(name, value.clone());
    }
    Ok(response)
}

/// The length and the date are hyper's own doing.
static FIXED_HEADERS: LazyLock<Vec<(HeaderName, HeaderValue)>> = LazyLock::new(|| {
    let fixed = HEADERS.iter().filter_map(|(name, value)| match value {
        Value::Fixed(value) => {
            let name = HeaderName::from_bytes(name.as_bytes()).expect("a header's name");
            Some((name, HeaderValue::from_static(value)))
        }
        Value::BodyLength | Value::Now => None,
    });
    fixed.collect()
});
