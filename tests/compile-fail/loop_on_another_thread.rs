//~ cannot be sent between threads safely
//~ within the type `IoLoop`

use std::thread;

use ioloop::IoLoop;

fn main() {
    let io_loop = IoLoop::current();
    // This is how it is done, so the compiler has nothing to say to it.
    let remote = io_loop.remote();
    thread::spawn(move || remote.stop());

    thread::spawn(move || io_loop.stop());
}
