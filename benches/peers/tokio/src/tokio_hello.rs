//! The same response from tokio by hand: a task for each connection, which looks for blank lines and
//! answers all that have come with fixed bytes. It parses no more than `raw_http_canned` does.

use std::error::Error;
use std::io;

use memchr::memmem::Finder;
use squall_bench_tokio::serve;
use squall_benches::date::Date;
use squall_benches::hello;
use squall_benches::raw::http::HEAD_MAX;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

fn main() -> Result<(), Box<dyn Error>> {
    serve(answer)
}

async fn answer(mut stream: TcpStream) -> io::Result<()> {
    let mut response = Vec::new();
    hello::write_head(&mut response, Date::now().as_bytes());
    response.extend_from_slice(b"\r\n");
    response.extend_from_slice(hello::BODY.as_bytes());
    let blank_line = Finder::new(b"\r\n\r\n");
    let (mut input, mut output) = (Vec::with_capacity(4096), Vec::new());
    while stream.read_buf(&mut input).await? > 0 && input.len() <= HEAD_MAX {
        output.clear();
        let mut taken = 0;
        while let Some(end) = blank_line.find(&input[taken..]) {
            taken += end + blank_line.needle().len();
            output.extend_from_slice(&response);
        }
        input.drain(..taken);
        stream.write_all(&output).await?;
    }
    Ok(())
}
