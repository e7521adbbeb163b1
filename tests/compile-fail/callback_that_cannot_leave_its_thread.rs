//~ `Rc<u32>` cannot be sent between threads safely
//~ required by a bound in `Remote::add_callback`

use std::rc::Rc;

use ioloop::IoLoop;

fn main() {
    let ours = Rc::new(1_u32);
    let remote = IoLoop::current().remote();
    let _ = remote.add_callback(move || drop(ours));
}
