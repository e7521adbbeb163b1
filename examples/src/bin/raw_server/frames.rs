//! Sends back frames: a length in four bytes, big-endian, and as many bytes.

use std::cell::RefCell;
use std::rc::Rc;

use crate::raw_server::Handler;
use crate::single_socket::SingleSocket;

/// One per connection, holding the beginning of a frame that has not arrived whole.
#[derive(Default)]
pub struct Frames {
    unread: RefCell<Vec<u8>>,
}

impl Handler for Frames {
    fn external_connection_made(&self, socket: &Rc<SingleSocket>) {
        socket.set_handler(Rc::new(Frames::default()));
    }

    fn data_came_in(&self, socket: &Rc<SingleSocket>, data: &[u8]) {
        let mut bytes = self.unread.take();
        bytes.extend_from_slice(data);
        let mut used = 0;
        loop {
            match frame_length(&bytes[used..]) {
                Ok(Some(length)) => {
                    socket.write(&bytes[used..used + length]);
                    used += length;
                }
                Ok(None) => break,
                Err(TooLong(length)) => {
                    let peer = socket.peer;
                    tracing::warn!(%peer, length, "a frame beyond the limit of {FRAME_MAX}");
                    return socket.close_when_flushed();
                }
            }
        }
        bytes.drain(..used);
        self.unread.replace(bytes);
    }
}

#[derive(Debug, Eq, PartialEq)]
struct TooLong(usize);

/// How long the first frame is, with the four bytes in front; none if it has not arrived whole. A
/// length beyond the limit is refused before its bytes have come.
fn frame_length(bytes: &[u8]) -> Result<Option<usize>, TooLong> {
    let Some((prefix, rest)) = bytes.split_first_chunk() else {
        return Ok(None);
    };
    let length = u32::from_be_bytes(*prefix) as usize;
    if length > FRAME_MAX {
        return Err(TooLong(length));
    }
    Ok((rest.len() >= length).then_some(prefix.len() + length))
}

/// Room for a file's block or a screenful of JSON; a connection may hold that much of our memory.
const FRAME_MAX: usize = 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_not_there_before_its_last_byte() {
        let bytes = [0, 0, 0, 2, b'o', b'k', 0, 0, 0, 0];
        for arrived in 0..6 {
            assert_eq!(frame_length(&bytes[..arrived]), Ok(None), "{arrived} bytes");
        }
        assert_eq!(frame_length(&bytes), Ok(Some(6)));
        assert_eq!(
            frame_length(&bytes[6..]),
            Ok(Some(4)),
            "an empty frame is one"
        );
    }

    #[test]
    fn a_length_beyond_the_limit_is_refused_at_once() {
        let just_right = (FRAME_MAX as u32).to_be_bytes();
        assert_eq!(frame_length(&just_right), Ok(None));
        let too_long = (FRAME_MAX as u32 + 1).to_be_bytes();
        assert_eq!(frame_length(&too_long), Err(TooLong(FRAME_MAX + 1)));
    }
}
