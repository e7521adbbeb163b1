//~ cannot be sent between threads safely
//~ within the type `Task<Rc<u32>>`

use std::rc::Rc;
use std::thread;

use ioloop::IoLoop;

fn main() {
    let task = IoLoop::current().spawn(async { Rc::new(1_u32) });
    thread::spawn(move || drop(task));
}
