//! The loop alone: a handler on a pipe, a timer, a task and another thread.

use std::io::{Read, Write, pipe};
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use ioloop::{Interest, IoLoop};

fn main() -> std::io::Result<()> {
    let io_loop = IoLoop::current();
    let (reader, mut writer) = pipe()?;
    io_loop.add_handler(Rc::new(reader), Interest::READ, |mut reader, event| {
        let mut bytes = [0; 5];
        let _ = reader.read_exact(&mut bytes);
        println!("ioloop alone says {}", String::from_utf8_lossy(&bytes));
        IoLoop::current().remove_handler(event.id);
        IoLoop::current().stop();
    })?;
    let remote = io_loop.remote();
    let pause = Duration::from_millis(1);
    io_loop.call_later(pause, move || {
        thread::spawn(move || {
            remote.spawn(async move || {
                ioloop::sleep(pause).await;
                let _ = writer.write_all(b"hello");
            })
        });
    });
    io_loop.start();
    Ok(())
}
