//! Sending a response's body, each piece when the client has taken those before.

use std::future::poll_fn;
use std::pin::Pin;
use std::{io, mem};

use futures_lite::Stream;

use crate::body::{Body, Kind};
use crate::error::Error;
use crate::output::{GATHERED_MAX, Output};
use crate::panics::contain;
use crate::response_head::{BodyEnd, write_chunk_size};

/// Why a body was not sent to its end.
pub(crate) enum Unsent {
    /// The peer cannot be reached, or does not read.
    Peer(iostream::Error),
    /// The body itself failed, or is not as long as was announced.
    Body(Error),
}

impl From<iostream::Error> for Unsent {
    fn from(error: iostream::Error) -> Unsent {
        Unsent::Peer(error)
    }
}

/// Gathers what follows a response's head if it is here and little, as it mostly is. Otherwise
/// gives it back for [`send_body`], which can wait.
pub(crate) fn gather_body(body: &mut Body, end: BodyEnd, output: &mut Output) -> Option<Body> {
    match (&body.kind, end) {
        (_, BodyEnd::Never(_)) | (Kind::Empty, BodyEnd::Length(0)) => None,
        (Kind::Full(bytes), BodyEnd::Length(length))
            if bytes.len() <= GATHERED_MAX && bytes.len() as u64 == length =>
        {
            output.gather().extend_from_slice(bytes);
            None
        }
        _ => Some(mem::take(body)),
    }
}

/// Sends what follows a response's head. The last bytes may still be gathered when it is done.
pub(crate) async fn send_body(
    mut body: Body,
    end: BodyEnd,
    output: &mut Output,
) -> Result<(), Unsent> {
    let is_chunked = end == BodyEnd::Chunked;
    let mut left = match end {
        BodyEnd::Length(length) => Some(length),
        _ => None,
    };
    loop {
        let next = poll_fn(|context| {
            contain(|| {
                Pin::new(&mut body)
                    .poll_next(context)
                    .map(Option::transpose)
            })
        });
        let Some(piece) = output.while_sending(next).await.map_err(Unsent::Body)? else {
            break;
        };
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
        if output.is_much() {
            output.send().await?;
        }
    }
    if left.is_some_and(|left| left > 0) {
        return Err(wrong_length("shorter"));
    }
    if is_chunked {
        output.gather().extend_from_slice(b"0\r\n\r\n");
    }
    Ok(())
}

fn wrong_length(how: &str) -> Unsent {
    let what = format!("the response's body is {how} than its Content-Length");
    Unsent::Body(io::Error::other(what).into())
}
