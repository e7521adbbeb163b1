//! `/ws`: a WebSocket that says back what it hears. The protocol is another crate's; it runs over
//! the stream that the server hands out.

use async_tungstenite::WebSocketStream;
use async_tungstenite::tungstenite::error::CapacityError;
use async_tungstenite::tungstenite::handshake::derive_accept_key;
use async_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use async_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use async_tungstenite::tungstenite::{self, Message};
use data_encoding::BASE64;
use futures_lite::StreamExt;
use httpserver::{Error, Method, Request, Response, StatusCode};
use tcpserver::{BoxError, Connection, IoStream};

/// Agrees to speak it, if asked in good order (RFC 6455, 4.2.1).
pub(crate) fn answer(request: &Request) -> Result<Response, Error> {
    let protocol = request.upgrade().unwrap_or_default();
    let is_asked_for = *request.method() == Method::GET
        && protocol.eq_ignore_ascii_case("websocket")
        && request.header("sec-websocket-version") == Some("13");
    if !is_asked_for {
        return Response::from(StatusCode::UPGRADE_REQUIRED)
            .with_header("Upgrade", "websocket")?
            .with_header("Sec-WebSocket-Version", "13");
    }
    let key = request.header("sec-websocket-key").unwrap_or_default();
    if !is_key(key) {
        return Err(Error::new(StatusCode::BAD_REQUEST)
            .with_message("Sec-WebSocket-Key is not 16 bytes in base64"));
    }
    let connection = request.connection().clone();
    Response::upgrade("websocket", async move |stream| {
        echo(stream, connection).await
    })?
    .with_header("Sec-WebSocket-Accept", derive_accept_key(key.as_bytes()))
}

fn is_key(key: &str) -> bool {
    BASE64
        .decode(key.as_bytes())
        .is_ok_and(|bytes| bytes.len() == 16)
}

async fn echo(stream: IoStream, connection: Connection) -> Result<(), BoxError> {
    let limits = WebSocketConfig::default()
        .max_message_size(Some(MESSAGE_MAX))
        .max_frame_size(Some(MESSAGE_MAX));
    let mut socket = WebSocketStream::from_raw_socket(stream, Role::Server, Some(limits)).await;
    // What ends it, if the peer does not: then the peer is told why.
    let why = loop {
        match connection.unless_draining(socket.next()).await {
            Some(Some(Ok(message @ (Message::Text(_) | Message::Binary(_))))) => {
                socket.send(message).await?;
            }
            // Pings are answered, and a closing is, below us.
            Some(Some(Ok(_))) => {}
            Some(Some(Err(tungstenite::Error::Capacity(CapacityError::MessageTooLong {
                ..
            })))) => {
                break CloseCode::Size;
            }
            Some(Some(Err(tungstenite::Error::Utf8(_)))) => break CloseCode::Invalid,
            Some(Some(Err(tungstenite::Error::Protocol(_)))) => break CloseCode::Protocol,
            Some(Some(Err(error))) => return Err(error.into()),
            Some(None) => return Ok(()),
            None => break CloseCode::Away,
        }
    };
    let reason = "".into();
    Ok(socket.close(Some(CloseFrame { code: why, reason })).await?)
}

/// Bytes of a message.
const MESSAGE_MAX: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_another_form_is_refused() {
        assert!(is_key("dGhlIHNhbXBsZSBub25jZQ=="));
        for key in [
            "",
            "dGhlIHNhbXBsZSBub25jZQ",
            "c2hvcnQ=",
            "dGhlIHNhbXBsZSBub25jZQ=!",
        ] {
            assert!(!is_key(key), "{key}");
        }
    }
}
