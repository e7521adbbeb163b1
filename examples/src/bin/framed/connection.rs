//! One connection: a request, its reply, the next request.

use std::rc::Rc;
use std::time::Duration;

use iostream::frame::decimal_prefixed;
use iostream::{Error, IoStream};
use tcpserver::{BoxError, Connection, StreamHandler};

use crate::business::{Answer, answer};
use crate::protocol::{DIGITS, header, progress};
use crate::status::{Entry, State, Status};

/// The server's handler.
pub(crate) struct Framed {
    /// How long a request may take to arrive.
    pub(crate) read_timeout: Duration,
    /// The most bytes of a request.
    pub(crate) frame_max: usize,
    pub(crate) status: Rc<Status>,
}

impl StreamHandler for Framed {
    async fn handle_stream(
        &self,
        mut stream: IoStream,
        connection: Connection,
    ) -> Result<(), BoxError> {
        let now = stream.io_loop().now();
        let entry = self.status.enter(connection.peer_address(), now);
        // The stream has a limit of its own, which must not come before ours.
        stream.set_max_buffer_size(self.frame_max.saturating_add(DIGITS));
        loop {
            let next_request = self.next_request(&mut stream, &entry);
            let request = connection.unless_draining(next_request).await;
            let Some(request) = request.transpose()?.flatten() else {
                return Ok(());
            };
            entry.set(State::Working);
            let reply = match answer(request) {
                Answer::Now(reply) => reply,
                Answer::Later(work) => stream.io_loop().run_blocking(work).await,
            };
            send(&stream, &reply, &entry).await?;
        }
    }
}

impl Framed {
    /// None if the client had nothing more to say for so long that we close.
    async fn next_request(
        &self,
        stream: &mut IoStream,
        entry: &Entry,
    ) -> Result<Option<Vec<u8>>, BoxError> {
        let now = stream.io_loop().now();
        stream.set_deadline(now.checked_add(self.read_timeout));
        let mut frame = decimal_prefixed(DIGITS, self.frame_max);
        let request = stream.read_with(|bytes| {
            let parsed = frame(bytes)?;
            if parsed.is_none() {
                entry.set(State::Reading(progress(bytes)));
            }
            Ok(parsed)
        });
        match request.await {
            Ok(request) if request.is_empty() => Err("an empty request".into()),
            Ok(request) => Ok(Some(request)),
            Err(Error::TimedOut) if entry.is_idle() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// Sends a reply piece by piece, each when the client has taken those before: it may be slow, but
/// not stand still.
async fn send(stream: &IoStream, reply: &[u8], entry: &Entry) -> Result<(), BoxError> {
    let header = header(reply.len()).ok_or("the reply is longer than ten digits can say")?;
    let (first, rest) = reply.split_at(reply.len().min(PIECE));
    let mut taken = 0;
    let mut begin = |piece: &[u8]| {
        entry.set(State::Writing(taken, reply.len()));
        stream.set_deadline(stream.io_loop().now().checked_add(WRITE_TIMEOUT));
        taken += piece.len();
    };
    begin(first);
    // Most replies are small, and copying one costs less than telling the system of two parts.
    stream.write(&[&header[..], first].concat()).await?;
    for piece in rest.chunks(PIECE) {
        begin(piece);
        stream.write(piece).await?;
    }
    if !rest.is_empty() {
        // The time for the next request begins when this reply has gone out.
        begin(&[]);
        stream.flush().await?;
    }
    Ok(())
}

/// How much of a reply is handed over at a time.
const PIECE: usize = 64 * 1024;

/// A client that takes no piece for so long has gone away without telling: as long as a stream
/// waits for one after its handler has ended.
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use ioloop::IoLoop;
    use tcpserver::TcpServer;

    use super::*;

    fn server() -> TcpServer<Framed> {
        TcpServer::new(Framed {
            read_timeout: READ_TIMEOUT,
            frame_max: 100,
            status: Rc::default(),
        })
    }

    fn now() -> Instant {
        IoLoop::current().now()
    }

    /// Everything that the server sends until it closes.
    async fn rest(client: &mut IoStream) -> String {
        let bytes = client.read_until_close(1000).await.unwrap();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_frame_cut_anywhere_is_not_misread() {
        ioloop::testing::run(async {
            let server = server();
            let frames = b"0000000005hello0000000001x";
            for cut in 0..=frames.len() {
                let mut client = server.connect_in_memory();
                client.write(&frames[..cut]).await.unwrap();
                ioloop::sleep(Duration::from_secs(1)).await;
                client.write(&frames[cut..]).await.unwrap();
                let replies = client.read_bytes(frames.len()).await.unwrap();
                assert_eq!(replies, frames, "cut at {cut}");
            }
        });
    }

    #[test]
    fn replies_to_frames_sent_together_are_not_out_of_order() {
        ioloop::testing::run(async {
            let mut client = server().connect_in_memory();
            let frames = b"0000000001a0000000007sleep 50000000010repeat 2 b0000000001c";
            client.write(frames).await.unwrap();
            let replies = b"0000000001a00000000000000000002bb0000000001c";
            assert_eq!(client.read_bytes(replies.len()).await.unwrap(), replies);
        });
    }

    #[test]
    fn what_is_not_a_length_is_not_waited_for() {
        ioloop::testing::run(async {
            let server = server();
            for header in [
                "+5",
                " 000000005",
                "0x00000005",
                "000000000a",
                "-000000001",
                "00000000\r\n",
                "GET / HTTP/1.1\r\n\r\n",
                "\0",
                "٥",
                "００００００００",
                "0000000000",
                "0000000101",
                "9999999999",
            ] {
                let mut client = server.connect_in_memory();
                client.write(b"0000000002ok").await.unwrap();
                client.write(header.as_bytes()).await.unwrap();
                let before = now();
                assert_eq!(rest(&mut client).await, "0000000002ok", "{header}");
                assert_eq!(now(), before, "{header}");
            }
        });
    }

    #[test]
    fn a_client_that_stops_anywhere_in_a_frame_is_not_waited_for_longer() {
        ioloop::testing::run(async {
            let server = server();
            for start in ["", "0", "000000000", "0000000005", "0000000005hell"] {
                let mut client = server.connect_in_memory();
                client.write(b"0000000002ok").await.unwrap();
                client.read_bytes(12).await.unwrap();
                client.write(start.as_bytes()).await.unwrap();
                let before = now();
                assert_eq!(rest(&mut client).await, "", "{start}");
                assert_eq!(now() - before, READ_TIMEOUT, "{start}");
            }
        });
    }

    #[test]
    fn a_client_that_sends_a_byte_now_and_then_does_not_win_time() {
        ioloop::testing::run(async {
            let mut client = server().connect_in_memory();
            client.write(b"0000000100").await.unwrap();
            let writer = client.writer();
            let before = now();
            let dripping = IoLoop::current().spawn(async move {
                while writer.write(b"x").await.is_ok() {
                    ioloop::sleep(READ_TIMEOUT / 20).await;
                }
            });
            assert_eq!(rest(&mut client).await, "");
            assert_eq!(now() - before, READ_TIMEOUT);
            drop(dripping);
        });
    }

    #[test]
    fn half_a_frame_does_not_hold_up_the_end() {
        ioloop::testing::run(async {
            let server = server();
            let mut idle = server.connect_in_memory();
            let mut half = server.connect_in_memory();
            half.write(b"0000000002ok0000000005hel").await.unwrap();
            half.read_bytes(12).await.unwrap();
            let drained = server.shutdown(READ_TIMEOUT).await;
            assert_eq!((drained.finished, drained.cut), (2, 0));
            assert_eq!(rest(&mut idle).await + &rest(&mut half).await, "");
        });
    }

    const READ_TIMEOUT: Duration = Duration::from_secs(30);
}
