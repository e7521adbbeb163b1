//! Answers one HTTP/1.0 request per connection; some answers come later, or from elsewhere.
//!
//! `/` answers at once, `/primes` from another thread, and `/reachable/PORT` when we have tried to
//! connect to that port of whoever asks, as BitTorrent's tracker did to find out who is behind NAT.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::thread;

use ioloop::HandlerId;

use crate::raw_server::{Handler, RawServer};
use crate::single_socket::SingleSocket;

/// One per connection.
#[derive(Default)]
pub struct Http {
    /// What has come of the request's head.
    head: RefCell<Vec<u8>>,
    /// The head was complete, and is answered now or later.
    asked: Cell<bool>,
}

impl Handler for Http {
    fn external_connection_made(&self, socket: &Rc<SingleSocket>) {
        socket.set_handler(Rc::new(Http::default()));
    }

    fn data_came_in(&self, socket: &Rc<SingleSocket>, data: &[u8]) {
        if self.asked.get() {
            return;
        }
        let mut head = self.head.take();
        let seen = head.len();
        head.extend_from_slice(data);
        let end = head_end(&head, seen);
        let request = match end {
            _ if end.unwrap_or(head.len()) > HEAD_MAX => Err(HEAD_TOO_LARGE),
            Some(end) => parse_head(&head[..end]),
            None => return drop(self.head.replace(head)),
        };
        self.asked.set(true);
        respond(socket, &request);
    }

    /// A client may half-close when it has asked; only without a question there is no answer.
    fn end_came_in(&self, socket: &Rc<SingleSocket>) {
        if !self.asked.get() {
            socket.close_when_flushed();
        }
    }
}

fn respond(socket: &Rc<SingleSocket>, request: &Result<Request, Status>) {
    let server = &socket.server;
    let head_only = request.as_ref().is_ok_and(|request| request.head_only);
    let reply = Reply {
        socket: socket.id(),
        head_only,
    };
    match request.as_ref().map(|request| &*request.path) {
        Ok("/") => reply.send(server, OK, "try /primes and /reachable/PORT"),
        Ok("/primes") => count_primes(server, reply),
        Ok(path) => match asked_port(path) {
            Some(port) => probe(server, socket.peer, port, reply),
            None => reply.send(server, NOT_FOUND, "no such page"),
        },
        Err(status) => reply.send(server, status, status),
    }
}

/// On another thread. There are at most as many as connections, each of which asks once.
fn count_primes(server: &RawServer, reply: Reply) {
    let tasks = server.external_tasks();
    thread::spawn(move || {
        let is_prime = |n: &u32| (2..).take_while(|d| d * d <= *n).all(|d| n % d != 0);
        let count = (2..PRIMES_BELOW).filter(is_prime).count();
        let body = format!("{count} primes below {PRIMES_BELOW}");
        tasks.add_task(move |server| reply.send(server, OK, &body))
    });
}

/// Only the address that asks is tried, and no port of a system service: anything else would let
/// strangers make this server knock on other people's doors.
fn probe(server: &Rc<RawServer>, mut address: SocketAddr, port: u16, reply: Reply) {
    address.set_port(port);
    if let Err(error) = server.start_connection(address, Rc::new(Probe(reply))) {
        reply.send(server, OK, &format!("not reachable: {error}"));
    }
}

struct Probe(Reply);

impl Handler for Probe {
    fn connection_started(&self, socket: &Rc<SingleSocket>) {
        self.0.send(&socket.server, OK, "reachable");
        socket.close();
    }

    fn connection_lost(&self, socket: &Rc<SingleSocket>, error: Option<&io::Error>) {
        if let Some(error) = error {
            let body = format!("not reachable: {error}");
            self.0.send(&socket.server, OK, &body);
        }
    }
}

/// Where an answer goes. It is plain data, so it can wait anywhere and travel to other threads;
/// should the client be gone by then, nothing happens.
#[derive(Clone, Copy)]
struct Reply {
    socket: HandlerId,
    head_only: bool,
}

impl Reply {
    fn send(self, server: &RawServer, status: Status, line: &str) {
        let Some(socket) = server.socket(self.socket) else {
            return;
        };
        let length = line.len() + 1;
        let head = format!(
            "HTTP/1.0 {status}\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\
             Connection: close\r\n\r\n"
        );
        let body = if self.head_only {
            ""
        } else {
            &format!("{line}\n")
        };
        socket.write(head.as_bytes());
        socket.write(body.as_bytes());
        socket.close_when_flushed();
    }
}

#[derive(Debug, Eq, PartialEq)]
struct Request {
    head_only: bool,
    path: String,
}

type Status = &'static str;

/// Where the head ends: behind the first blank line. Bytes before `from` were looked at already.
fn head_end(bytes: &[u8], from: usize) -> Option<usize> {
    let is_blank = |end: &usize| matches!(bytes[..*end], [.., b'\n'] | [.., b'\n', b'\r']);
    let mut line_ends = (from..bytes.len()).filter(|index| bytes[*index] == b'\n');
    line_ends.find(is_blank).map(|end| end + 1)
}

fn parse_head(head: &[u8]) -> Result<Request, Status> {
    let text = String::from_utf8_lossy(head);
    let mut lines = text.lines().take_while(|line| !line.is_empty());
    let words: Vec<&str> = lines.next().unwrap_or_default().split(' ').collect();
    let [method, path, "HTTP/1.0" | "HTTP/1.1"] = words[..] else {
        return Err(BAD_REQUEST);
    };
    if !path.starts_with('/') || !lines.all(is_header) {
        return Err(BAD_REQUEST);
    }
    match method {
        "GET" | "HEAD" => Ok(Request {
            head_only: method == "HEAD",
            path: path.to_owned(),
        }),
        _ => Err(NOT_IMPLEMENTED),
    }
}

fn is_header(line: &str) -> bool {
    let name = line.split_once(':').map_or("", |(name, _)| name);
    !name.is_empty() && !name.contains(char::is_whitespace)
}

fn asked_port(path: &str) -> Option<u16> {
    let port = path.strip_prefix("/reachable/")?.parse().ok();
    port.filter(|port| *port >= 1024)
}

const OK: Status = "200 OK";
const BAD_REQUEST: Status = "400 Bad Request";
const NOT_FOUND: Status = "404 Not Found";
const HEAD_TOO_LARGE: Status = "431 Request Header Fields Too Large";
const NOT_IMPLEMENTED: Status = "501 Not Implemented";

/// As much as most servers take; a browser with many cookies stays below.
const HEAD_MAX: usize = 8 * 1024;

/// Some milliseconds of work: enough to keep it off the loop.
const PRIMES_BELOW: u32 = 100_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_ends_at_the_first_blank_line_wherever_it_is_cut() {
        for head in ["GET / HTTP/1.0\r\nHost: a\r\n\r\n", "GET / HTTP/1.0\n\n"] {
            let bytes = [head.as_bytes(), b"\r\n\r\nmore"].concat();
            for seen in 0..head.len() {
                assert_eq!(head_end(&bytes[..seen], 0), None);
                assert_eq!(head_end(&bytes, seen), Some(head.len()), "{seen} seen");
            }
        }
    }

    #[test]
    fn requests_of_common_clients_are_understood() {
        let ctorrent = "GET /primes?left=0 HTTP/1.0\r\nUser-Agent: ctorrent\r\n\r\n";
        let request = parse_head(ctorrent.as_bytes()).unwrap();
        assert_eq!(
            (request.head_only, &*request.path),
            (false, "/primes?left=0")
        );
        let curl = "HEAD / HTTP/1.1\r\nHost: a:80\r\nAccept: */*\r\n\r\n";
        assert!(parse_head(curl.as_bytes()).unwrap().head_only);
    }

    #[test]
    fn what_is_not_http_is_refused() {
        for head in [
            "\r\n",
            "GET /\r\n",
            "GET  / HTTP/1.0\r\n",
            "GET / HTTP/2.0\r\n",
            "GET example.org HTTP/1.0\r\n",
            "GET / HTTP/1.0\r\nno colon\r\n",
            "GET / HTTP/1.0\r\n: no name\r\n",
            "GET / HTTP/1.0\r\nA: b\r\n folded\r\n",
            "\x16\x03\x01\x02",
        ] {
            assert_eq!(parse_head(head.as_bytes()), Err(BAD_REQUEST), "{head:?}");
        }
        assert_eq!(parse_head(b"PUT / HTTP/1.0\r\n"), Err(NOT_IMPLEMENTED));
    }

    #[test]
    fn ports_of_system_services_are_not_probed() {
        assert_eq!(asked_port("/reachable/6881"), Some(6881));
        for path in [
            "/reachable/25",
            "/reachable/65536",
            "/reachable/",
            "/other/6881",
        ] {
            assert_eq!(asked_port(path), None, "{path}");
        }
    }
}
