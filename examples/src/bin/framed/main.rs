//! nbNet's protocol: a request is ten ASCII digits and as many bytes, and so is the reply.
//!
//! ```sh
//! cargo run --release --bin framed -- serve --port 8888
//! printf hello | cargo run --release --bin framed -- send --port 8888
//! ```
//!
//! What a request is answered with is `business.rs`, a placeholder for a function of your own:
//!
//! | request | reply |
//! |---|---|
//! | `sleep MS` | nothing, after so many milliseconds: work that takes its time |
//! | `repeat N BYTE` | the byte N times: a reply as large as you like |
//! | `fail` | none: a function that panics ends its connection, and nobody else's |
//! | anything else | itself |
//!
//! The first three run on the pool of threads, so that nobody else waits for them. A connection
//! carries one request after another. It is closed by an empty request, by a length that is not
//! all digits, and by one beyond `--max-frame`, which is refused before its bytes are read. A
//! request has `--read-timeout` seconds to arrive, from the moment when the server begins to wait
//! for it to its last byte.
//!
//! `SIGUSR1` prints one line per connection, sent to the parent those of all processes;
//! `RUST_LOG=debug` tells what becomes of each. `SIGINT` and `SIGTERM` answer what has arrived whole,
//! then end.

mod business;
mod connection;
mod protocol;
mod send;
mod status;

use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use examples::Flags;
use ioloop::{IoLoop, signals};
use tcpserver::{BoxError, TcpServer};

use crate::connection::Framed;
use crate::status::Status;

fn main() -> ExitCode {
    let (command, flags) = Flags::parse_command("framed", &[("serve", SERVE), ("send", "")]);
    let result = match command {
        "serve" => serve(&flags),
        _ => send::send(flags.address()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("framed: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(flags: &Flags) -> Result<(), BoxError> {
    let read_timeout = Duration::try_from_secs_f64(flags.get("read-timeout", 30.0))
        .unwrap_or_else(|error| flags.fail(&format!("--read-timeout: {error}")));
    let status = Rc::new(Status::default());
    let server = TcpServer::new(Framed {
        read_timeout,
        frame_max: flags.get("max-frame", FRAME_MAX),
        status: Rc::clone(&status),
    });
    let server = server.on_serve(move || {
        let io_loop = IoLoop::current();
        let print_status = move || eprint!("{}", status.report(IoLoop::current().now()));
        io_loop
            .add_signal_handler(signals::SIGUSR1, print_status)?
            .detach();
        Ok(())
    });
    let addresses = server.bind(flags.address())?;
    server.serve_processes(flags.get("processes", 1), || {
        println!("listening on {}", addresses[0]);
    })
}

const SERVE: &str = "--processes N --read-timeout S --max-frame BYTES";

/// Room for a photograph or a table; a connection may hold twice as much of our memory.
const FRAME_MAX: usize = 16 * 1024 * 1024;
