//! `POST /upload`: a body of any size, hashed while it comes in and never held.

use data_encoding::HEXLOWER;
use futures_lite::StreamExt;
use httpserver::{Error, Request, Response};
use serde_json::json;
use sha2::{Digest, Sha256};

pub(crate) async fn answer(request: &mut Request) -> Result<Response, Error> {
    request.body().set_max_size(UPLOAD_MAX);
    let mut length = 0;
    let mut hash = Sha256::new();
    while let Some(piece) = request.body().next().await {
        let piece = piece?;
        length += piece.len();
        // On the loop's thread: a piece is 64 KiB at most, which takes a fraction of a millisecond.
        hash.update(&piece);
    }
    let sha256 = HEXLOWER.encode(&hash.finalize());
    Ok(Response::json(
        json!({ "length": length, "sha256": sha256 }).to_string(),
    ))
}

/// 10 GiB: it costs the sender time, and us no memory.
const UPLOAD_MAX: u64 = 10 * 1024 * 1024 * 1024;
