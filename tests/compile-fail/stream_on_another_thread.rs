//~ cannot be sent between threads safely
//~ within the type `IoStream`

use std::thread;

use iostream::IoStream;

fn main() {
    let (stream, _peer) = IoStream::pair();
    thread::spawn(move || stream.abort());
}
