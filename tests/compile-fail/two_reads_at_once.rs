//~ cannot borrow `stream` as mutable more than once at a time

use iostream::{Error, IoStream};

async fn read_twice(mut stream: IoStream) -> Result<(), Error> {
    let first = stream.read_until(b"\n", 4096);
    let second = stream.read_until(b"\n", 4096);
    second.await?;
    first.await?;
    Ok(())
}

fn main() {
    ioloop::IoLoop::current()
        .run_until(read_twice(IoStream::pair().0))
        .unwrap();
}
