//! Sends back what comes in.

use std::rc::Rc;

use crate::raw_server::Handler;
use crate::single_socket::SingleSocket;

/// One for all connections: it remembers nothing of them.
pub struct Echo;

impl Handler for Echo {
    fn data_came_in(&self, socket: &Rc<SingleSocket>, data: &[u8]) {
        socket.write(data);
    }
}
