//! A server that runs for one test, and how a client talks to it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

pub struct Server {
    child: Child,
    pub address: SocketAddr,
}

impl Server {
    pub fn start(program: &str) -> Server {
        let mut command = Command::new(program);
        let mut child = command
            .args(["--port", "0"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let address = line.trim().strip_prefix("listening on ").unwrap();
        let address = address.parse().unwrap();
        Server { child, address }
    }

    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

pub fn receive(stream: &mut TcpStream, count: usize) -> Vec<u8> {
    let mut received = vec![0; count];
    stream.read_exact(&mut received).unwrap();
    received
}

/// How much the server took, although nobody read its answers.
pub fn send_until_blocked(stream: &mut TcpStream, data: &[u8]) -> usize {
    stream.set_write_timeout(Some(BLOCKED)).unwrap();
    let mut sent = 0;
    while let Ok(count) = stream.write(&data[sent..]) {
        assert!(count > 0, "all of it fitted into the sockets' buffers");
        sent += count;
    }
    sent
}

const PATIENCE: Duration = Duration::from_secs(10);

const BLOCKED: Duration = Duration::from_millis(200);
