//! The client: standard input is one request, standard output its reply.

use std::io::{self, IoSlice, Read, Write};
use std::net::SocketAddr;

use ioloop::IoLoop;
use iostream::frame::decimal_prefixed;
use iostream::{Error, connect};
use tcpserver::BoxError;

use crate::protocol::{DIGITS, LENGTH_MAX, header};

pub(crate) fn send(server: SocketAddr) -> Result<(), BoxError> {
    let mut request = Vec::new();
    io::stdin().lock().read_to_end(&mut request)?;
    let header = header(request.len()).ok_or("the input is longer than ten digits can say")?;
    let reply = IoLoop::current().run_until(exchange(server, &header, &request))?;
    let mut output = io::stdout().lock();
    output.write_all(&reply)?;
    Ok(output.flush()?)
}

async fn exchange(server: SocketAddr, header: &[u8], request: &[u8]) -> Result<Vec<u8>, BoxError> {
    let mut stream = connect(server).await?;
    stream.set_max_buffer_size(usize::MAX);
    // The loop sends it while we wait for the reply: the server may refuse it half-way.
    let parts = [IoSlice::new(header), IoSlice::new(request)];
    stream.write_vectored(&parts).await?;
    let reply_max = usize::try_from(LENGTH_MAX).unwrap_or(usize::MAX);
    match stream.read_with(decimal_prefixed(DIGITS, reply_max)).await {
        Err(Error::Closed { unread: 0, .. }) => {
            Err("the server has closed the connection without a reply".into())
        }
        reply => Ok(reply?),
    }
}
