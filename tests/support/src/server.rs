//! Servers as their users start them: as programs, on a port that the system chooses.
//!
//! Nothing here sleeps. Whatever a test waits for comes through a pipe or a socket, with a
//! time-out that ends the test.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, kill_process};

pub use rustix::process::Signal;

/// A running server, which is killed when it goes out of scope.
#[derive(Debug)]
pub struct Server {
    child: Child,
    address: SocketAddr,
    output: Lines,
    log: Lines,
}

/// How a server has ended.
#[derive(Debug)]
pub struct Ending {
    /// Zero, one hopes.
    pub status: ExitStatus,
    /// Everything it wrote to standard output.
    pub output: String,
    /// Everything it wrote to standard error.
    pub log: String,
}

impl Server {
    /// Starts a program with `--port 0`, and waits until it says where it listens. RUST_LOG is what
    /// the command says, if it says anything.
    pub fn start(command: &mut Command) -> Server {
        if command.get_envs().all(|(name, _)| name != "RUST_LOG") {
            command.env_remove("RUST_LOG");
        }
        let mut child = command
            .args(["--port", "0"])
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = Lines::of(child.stderr.take().unwrap());
        let mut output = Lines::of(child.stdout.take().unwrap());
        let Some(line) = output.next() else {
            panic!("it does not say where it listens:\n{}", log.rest());
        };
        Server {
            child,
            address: listening(&line),
            output,
            log,
        }
    }

    /// As [`start`](Server::start), with so many descriptors, of which it needs a dozen for itself.
    pub fn start_with_descriptors(command: &Command, limit: u32) -> Server {
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!(r#"ulimit -n {limit}; exec "$0" "$@""#)]);
        shell.arg(command.get_program()).args(command.get_args());
        Server::start(&mut shell)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The number of its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// A new client of it.
    pub fn connect(&self) -> Client {
        Client::new(TcpStream::connect(self.address).unwrap())
    }

    /// Sends a signal to the process.
    pub fn send(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// The next address that it says it listens at.
    pub fn next_address(&mut self) -> SocketAddr {
        listening(&self.output.next().unwrap())
    }

    /// Waits for a line of its output with `text` in it.
    pub fn wait_for_output(&mut self, text: &str) {
        self.output.wait_for(text);
    }

    /// Waits for a log line with `text` in it.
    pub fn wait_for_log(&mut self, text: &str) {
        self.log.wait_for(text);
    }

    /// The next line that it logs, without its end.
    pub fn log_line(&mut self) -> String {
        self.log.next().unwrap().trim_end().to_owned()
    }

    /// Whether its process has ended.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Interrupts it; what it logged until it ended, which must be with success.
    pub fn log_after_interrupt(self) -> String {
        self.send(Signal::INT);
        self.finish().log_of_success()
    }

    /// Waits for the process to end by itself.
    pub fn finish(self) -> Ending {
        self.finish_within(TOO_LONG)
    }

    /// Waits for the process to end by itself, and fails if it is silent for so long.
    pub fn finish_within(mut self, patience: Duration) -> Ending {
        self.log.patience = patience;
        let log = self.log.rest();
        let output = self.output.rest();
        let status = self.child.wait().unwrap();
        Ending {
            status,
            output,
            log,
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Ending {
    /// Fails unless the process has ended with status 0; returns its log.
    pub fn log_of_success(self) -> String {
        assert!(self.status.success(), "{}\n{}", self.status, self.log);
        self.log
    }

    /// What it has warned of, except of a busy machine that took the processor away.
    pub fn complaints(&self) -> Vec<&str> {
        let is_complaint = |line: &&str| line.contains("WARN") || line.contains("ERROR");
        let is_ours = |line: &&str| !line.contains("held the loop");
        let lines = self.log.lines();
        lines.filter(is_complaint).filter(is_ours).collect()
    }
}

/// A blocking client. No read or write waits for ever.
#[derive(Debug)]
pub struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    fn new(stream: TcpStream) -> Client {
        stream.set_read_timeout(Some(TOO_LONG)).unwrap();
        stream.set_write_timeout(Some(TOO_LONG)).unwrap();
        stream.set_nodelay(true).unwrap();
        let stream = BufReader::new(stream);
        Client { stream }
    }

    /// The socket below, of which nothing was read ahead as long as only whole answers were read.
    pub fn socket(&self) -> &TcpStream {
        self.stream.get_ref()
    }

    /// Sends text.
    pub fn say(&mut self, text: &str) {
        self.stream.get_mut().write_all(text.as_bytes()).unwrap();
    }

    /// The next line, without its end.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.stream.read_line(&mut line).unwrap();
        assert!(line.ends_with('\n'), "closed after {line:?}");
        line.trim_end().to_owned()
    }

    /// The next bytes, exactly as long as `text`, must be `text`.
    pub fn expect(&mut self, text: &str) {
        let mut bytes = vec![0; text.len()];
        self.stream.read_exact(&mut bytes).unwrap();
        let bytes = String::from_utf8_lossy(&bytes);
        assert!(bytes == text, "{bytes:.200?} instead of {text:.200?}");
    }

    /// Sends a line and waits for it to come back.
    pub fn exchange(&mut self, line: &str) {
        let line = format!("{line}\n");
        self.say(&line);
        self.expect(&line);
    }

    /// Says that nothing more will come.
    pub fn half_close(&self) {
        let how = std::net::Shutdown::Write;
        self.socket().shutdown(how).unwrap();
    }

    /// Everything up to the end, which may be a reset.
    pub fn rest(&mut self) -> String {
        let mut bytes = Vec::new();
        if let Err(error) = self.stream.read_to_end(&mut bytes) {
            assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}");
        }
        String::from_utf8(bytes).unwrap()
    }
}

/// What a process writes, line by line as it comes. A thread reads, so that the process never
/// waits for the test and the test never waits for ever.
#[derive(Debug)]
struct Lines {
    lines: Receiver<String>,
    /// Everything up to now.
    seen: String,
    /// How long the next line may take.
    patience: Duration,
}

impl Lines {
    fn of(pipe: impl Read + Send + 'static) -> Lines {
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                // Whoever has stopped listening does not stop the process from writing.
                let _ = sender.send(line + "\n");
            }
        });
        Lines {
            lines,
            seen: String::new(),
            patience: TOO_LONG,
        }
    }

    /// The next line; none at the end.
    fn next(&mut self) -> Option<String> {
        // In steps: if the whole machine was stopped for a while, that is one step.
        for _ in 0..STEPS {
            match self.lines.recv_timeout(self.patience / STEPS) {
                Ok(line) => {
                    self.seen.push_str(&line);
                    return Some(line);
                }
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
        panic!("nothing for {:?} after:\n{}", self.patience, self.seen)
    }

    fn wait_for(&mut self, text: &str) {
        while let Some(line) = self.next() {
            if line.contains(text) {
                return;
            }
        }
        panic!("it ended without '{text}':\n{}", self.seen);
    }

    fn rest(&mut self) -> String {
        while self.next().is_some() {}
        std::mem::take(&mut self.seen)
    }
}

/// The address in a line that says so, whatever is spoken there.
fn listening(line: &str) -> SocketAddr {
    let address = line.trim_end().strip_prefix("listening on ").unwrap();
    let (_, address) = address.split_once("://").unwrap_or(("", address));
    address.parse().unwrap()
}

/// Longer than anything takes on a busy machine, and less than the 8 s that a server gives its
/// connections to finish: who waits for it has found a bug.
const TOO_LONG: Duration = Duration::from_secs(6);

/// In how many steps somebody waits.
const STEPS: u32 = 20;
