//! BitTorrent's RawServer, rebuilt on the `ioloop` crate alone: callbacks, no streams, no `async`.
//!
//! `cargo run --release --bin raw_server -- --handler echo|frames|http`. The module (`raw_server`,
//! `single_socket`) knows sockets and tasks, the three handlers know what the bytes mean, and
//! neither knows more of the other than the `Handler` trait. `--timeout 0` never cuts a connection.

#![expect(
    unreachable_pub,
    reason = "`pub` is what a module offers its users, `pub(super)` what its two files share"
)]

mod echo;
mod frames;
mod http;
mod raw_server;
mod single_socket;
#[cfg(test)]
mod tests;

use std::io::{self, Write};
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use examples::Flags;
use ioloop::{IoLoop, signals};

use crate::echo::Echo;
use crate::frames::Frames;
use crate::http::Http;
use crate::raw_server::{Handler, RawServer};

fn main() -> ExitCode {
    let usage = "--max-connections N --timeout S --handler echo|frames|http";
    match run(&Flags::parse("raw_server", usage)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("raw_server: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(flags: &Flags) -> io::Result<()> {
    let (scheme, handler): (_, Rc<dyn Handler>) = match &*flags.get("handler", "echo".to_owned()) {
        "echo" => ("", Rc::new(Echo)),
        "frames" => ("", Rc::new(Frames::default())),
        "http" => ("http://", Rc::new(Http::default())),
        other => return Err(io::Error::other(format!("--handler: what is '{other}'?"))),
    };
    let timeout = Duration::from_secs(flags.get("timeout", 300));
    let server = RawServer::new(flags.get("max-connections", 1000), timeout);
    let address = server.bind(flags.address())?;
    for signal in [signals::SIGINT, signals::SIGTERM] {
        let server = server.clone();
        let stop = move || server.shut_down(GRACE);
        IoLoop::current().add_signal_handler(signal, stop)?.detach();
    }
    println!("listening on {scheme}{address}");
    io::stdout().flush()?;
    server.listen_forever(handler)
}

/// How long queued output may take to go out after a signal.
const GRACE: Duration = Duration::from_secs(2);
