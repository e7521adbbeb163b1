//~ borrow of moved value: `stream`
//~ `stream` moved due to this method call

use iostream::{Error, IoStream};

async fn say_more(stream: IoStream) -> Result<(), Error> {
    stream.shutdown().await?;
    stream.write(b"and another thing\n").await
}

fn main() {
    ioloop::IoLoop::current()
        .run_until(say_more(IoStream::pair().0))
        .unwrap();
}
