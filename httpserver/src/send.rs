//! Sending a response's body, each piece when the client has taken those before.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;

use bytes::Bytes;
use futures_lite::Stream;

use crate::body::{Body, Kind};
use crate::error::Error;
use crate::output::{GATHERED_MAX, Output};
use crate::response_head::{BodyEnd, write_chunk_size};

/// Why a body was not sent to its end.
pub(crate) enum Failure {
    /// The peer cannot be reached, or does not read.
    Peer(iostream::Error),
    /// The body itself failed, or is not as long as was announced.
    Body(Error),
}

impl From<iostream::Error> for Failure {
    fn from(error: iostream::Error) -> Failure {
        Failure::Peer(error)
    }
}

/// Sends what follows a response's head. The last bytes may still be gathered when it is done.
pub(crate) async fn send_body(
    mut body: Body,
    end: BodyEnd,
    output: &mut Output,
) -> Result<(), Failure> {
    let mut left = match end {
        BodyEnd::Never(_) => return Ok(()),
        BodyEnd::Length(length) => Some(length),
        BodyEnd::Chunked | BodyEnd::Close => None,
    };
    let is_chunked = end == BodyEnd::Chunked;
    while let Some(piece) = next(&mut body, output).await {
        let piece = piece.map_err(Failure::Body)?;
        if let Some(left) = &mut left {
            let rest = left.checked_sub(piece.len() as u64);
            *left = rest.ok_or_else(|| wrong_length("longer"))?;
        }
        if is_chunked {
            write_chunk_size(output.gather(), piece.len());
        }
        if piece.len() <= GATHERED_MAX {
            output.gather().extend_from_slice(&piece);
        } else {
            output.send_with(&piece).await?;
        }
        if is_chunked {
            output.gather().extend_from_slice(b"\r\n");
        }
        output.send_if_much().await?;
    }
    if left.is_some_and(|left| left > 0) {
        return Err(wrong_length("shorter"));
    }
    if is_chunked {
        output.gather().extend_from_slice(b"0\r\n\r\n");
    }
    Ok(())
}

async fn next(body: &mut Body, output: &mut Output) -> Option<Result<Bytes, Error>> {
    if let Kind::Empty = body.kind {
        return None;
    }
    let next = poll_fn(|context| Pin::new(&mut *body).poll_next(context));
    output.while_sending(next).await
}

fn wrong_length(how: &str) -> Failure {
    let what = format!("the response's body is {how} than its Content-Length");
    Failure::Body(io::Error::other(what).into())
}
