//! A chat room: `cargo run --release --bin chat`, then `nc 127.0.0.1 8888` in several terminals.

use std::{cell::RefCell, collections::BTreeMap, rc::Rc};

use examples::Flags;
use iostream::WriteHalf;
use tcpserver::{BoxError, Connection, IoStream, TcpServer};

/// Who is in the room, by name.
type Room = Rc<RefCell<BTreeMap<String, WriteHalf>>>;

/// Sends a line to everybody. Who reads so slowly that the queue is full is dropped at once, and
/// nobody waits for them.
fn say(room: &Room, line: &str) {
    let members: Vec<WriteHalf> = room.borrow().values().cloned().collect();
    for member in members {
        if member.queue(format!("{line}\n").as_bytes()).is_err() {
            member.abort();
        }
    }
}

/// A place in the room, given up when it is dropped: however the connection ended.
struct Seat(Room, String);

impl Seat {
    /// Takes the place, if the name is one and nobody has it.
    fn take(room: &Room, name: &str, member: WriteHalf) -> Option<Seat> {
        let is_name = (1..=20).contains(&name.len()) && name.chars().all(char::is_alphanumeric);
        if !is_name || room.borrow().contains_key(name) {
            return None;
        }
        say(room, &format!("* {name} joins"));
        room.borrow_mut().insert(name.to_owned(), member);
        Some(Seat(room.clone(), name.to_owned()))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let _member = self.0.borrow_mut().remove(&self.1);
        say(&self.0, &format!("* {} leaves", self.1));
    }
}

async fn chat(room: &Room, mut stream: IoStream, here: Connection) -> Result<(), BoxError> {
    stream.set_max_write_buffer_size(64 * 1024);
    stream.write(b"your name? ").await?;
    let next_line = stream.read_until(b"\n", LINE_MAX);
    let Some(name) = here.unless_draining(next_line).await.transpose()? else {
        return Ok(());
    };
    let name = String::from_utf8_lossy(&name);
    let Some(seat) = Seat::take(room, name.trim(), stream.writer()) else {
        return Ok(stream.queue(b"taken, or not 1 to 20 letters and digits\n")?);
    };
    let names = room.borrow().keys().cloned().collect::<Vec<_>>().join(", ");
    stream.queue(format!("* here: {names}\n").as_bytes())?;
    loop {
        let next_line = stream.read_until(b"\n", LINE_MAX);
        let Some(line) = here.unless_draining(next_line).await.transpose()? else {
            return Ok(stream.queue(b"* the room closes\n")?);
        };
        let line = String::from_utf8_lossy(&line);
        say(room, &format!("{}: {}", seat.1, line.trim_end()));
    }
}

fn main() -> Result<(), BoxError> {
    let flags = Flags::parse("chat", "");
    let room = Room::default();
    let server = TcpServer::new(async move |stream: IoStream, here: Connection| {
        chat(&room, stream, here).await
    });
    let addresses = server.listen(flags.address())?;
    server.serve_and(|| println!("listening on {}", addresses[0]))
}

/// A longer line ends the connection.
const LINE_MAX: usize = 1024;
