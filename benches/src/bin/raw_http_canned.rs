//! The least that can be called an HTTP server: it looks for blank lines and answers each with the
//! same bytes. Nobody can be faster, nobody should be used like this.

use std::error::Error;

use memchr::memmem::Finder;

use squall_benches::date::Date;
use squall_benches::hello;
use squall_benches::raw::http::{HEAD_MAX, HttpConnection, Responded, Responder, Shared};
use squall_benches::raw::server;

fn main() -> Result<(), Box<dyn Error>> {
    let mut response = Vec::new();
    hello::write_head(&mut response, Date::now().as_bytes());
    response.extend_from_slice(b"\r\n");
    response.extend_from_slice(hello::BODY.as_bytes());
    let canned = Canned {
        blank_line: Finder::new(b"\r\n\r\n"),
        response,
    };
    server::serve::<HttpConnection<Canned>>(Shared::new(canned))
}

struct Canned {
    blank_line: Finder<'static>,
    response: Vec<u8>,
}

impl Responder for Canned {
    fn respond(&mut self, input: &[u8], output: &mut Vec<u8>) -> Responded {
        let mut taken = 0;
        while let Some(end) = self.blank_line.find(&input[taken..]) {
            taken += end + self.blank_line.needle().len();
            output.extend_from_slice(&self.response);
        }
        let ends = input.len() - taken > HEAD_MAX;
        Responded { taken, ends }
    }
}
