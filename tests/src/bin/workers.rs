//! A server in several processes that tells who answers, and fails on demand.
//!
//! `who` is answered with the worker's number and process, `exit STATUS` ends the worker, `deaf`
//! never ends, `block` holds up its worker for a moment, and `slow` says "done" a while after the
//! server was told to end.

use std::future::pending;
use std::process::{exit, id};
use std::thread;
use std::time::Duration;

use examples::Flags;
use ioloop::{IoLoop, signals, sleep};
use tcpserver::{BoxError, Connection, IoStream, Role, TcpServer, worker_id};

async fn obey(mut stream: IoStream, connection: Connection) -> Result<(), BoxError> {
    loop {
        let next_line = stream.read_until(b"\n", 100);
        let Some(line) = connection.unless_draining(next_line).await.transpose()? else {
            return Ok(());
        };
        let line = String::from_utf8(line.to_vec())?;
        match line.trim_end().split_once(' ').unwrap_or((line.trim(), "")) {
            ("who", _) => {
                let who = format!("{} {}\n", worker_id().map_or(-1, |id| id as i32), id());
                stream.write(who.as_bytes()).await?;
            }
            ("block", _) => thread::park_timeout(Duration::from_millis(100)),
            ("exit", status) => exit(status.parse()?),
            ("deaf", _) => {
                stream.write(b"deaf\n").await?;
                pending().await
            }
            ("slow", _) => {
                stream.write(b"slow\n").await?;
                connection.draining().await;
                sleep(Duration::from_millis(300)).await;
                stream.write(b"done\n").await?;
            }
            _ => return Err(format!("what is {line:?}?").into()),
        }
    }
}

fn main() -> Result<(), BoxError> {
    let usage = "--processes N --max-restarts N --before loop|thread --worker crash|handles";
    let flags = Flags::parse("workers", usage);
    match &*flags.get("before", String::new()) {
        "loop" => IoLoop::current().close(),
        "thread" => drop(thread::spawn(thread::park)),
        _ => {}
    }
    let server = TcpServer::new(obey);
    println!("listening on {}", server.bind(flags.address())?[0]);
    let role = server.start(flags.get("processes", 2), flags.get("max-restarts", 100))?;
    let Role::Worker(id) = role else {
        eprintln!("all workers have ended");
        return Ok(());
    };
    match &*flags.get("worker", String::new()) {
        "crash" => exit(101),
        "handles" => {
            for (signal, name) in SIGNALS {
                // In one piece, or it might stand in the middle of another worker's line.
                let line = format!("worker {id} was sent {name}\n");
                let say = move || eprint!("{line}");
                IoLoop::current().add_signal_handler(signal, say)?.detach();
            }
        }
        _ => {}
    }
    server.serve()
}

const SIGNALS: [(i32, &str); 4] = [
    (signals::SIGHUP, "SIGHUP"),
    (signals::SIGQUIT, "SIGQUIT"),
    (signals::SIGUSR1, "SIGUSR1"),
    (signals::SIGUSR2, "SIGUSR2"),
];
