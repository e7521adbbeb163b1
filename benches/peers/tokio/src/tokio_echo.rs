//! Lines come back from tokio by hand, as its documentation would have it: one write for each line.

use std::error::Error;
use std::io;

use squall_bench_tokio::serve;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

fn main() -> Result<(), Box<dyn Error>> {
    serve(echo)
}

async fn echo(mut stream: TcpStream) -> io::Result<()> {
    let (reader, mut writer) = stream.split();
    let mut reader = BufReader::with_capacity(LINE_MAX, reader);
    let mut line = Vec::new();
    loop {
        line.clear();
        // Nothing, or a line cut short, is the end.
        reader.read_until(b'\n', &mut line).await?;
        if !line.ends_with(b"\n") {
            return Ok(());
        }
        writer.write_all(&line).await?;
    }
}

const LINE_MAX: usize = 4096;
