//! A tracker that is measured: started on the server's core, ended with its owner.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::load::Over;
use crate::peers::Peers;
use crate::{LOAD_CORE, Outcome, SERVER_CORE, pin};

pub enum Program<'a> {
    Tracker(&'a Path),
    /// Debian's, which answers for torrents on a list only.
    OpenTracker(&'a Path),
}

pub struct Subject {
    pub name: &'static str,
    pub http: SocketAddr,
    pub udp: SocketAddr,
    child: Child,
    folder: Option<PathBuf>,
}

impl Program<'_> {
    pub fn start(&self, peers: &Peers) -> Outcome<Subject> {
        pin(SERVER_CORE)?;
        let started = match self {
            Program::Tracker(path) => start_tracker(path),
            Program::OpenTracker(path) => start_opentracker(path, peers),
        };
        pin(LOAD_CORE)?;
        started
    }
}

fn start_tracker(path: &Path) -> Outcome<Subject> {
    let mut command = Command::new(path);
    command.args(["--port", "0", "--udp-port", "0"]);
    let mut child = command.stdout(Stdio::piped()).spawn()?;
    let mut lines = BufReader::new(child.stdout.take().ok_or("no output")?).lines();
    let mut address = |scheme: &str| -> Outcome<SocketAddr> {
        let line = lines.next().ok_or("the tracker has ended")??;
        let address = line.strip_prefix(&format!("listening on {scheme}://"));
        Ok(address.ok_or(line.as_str())?.parse()?)
    };
    let (http, udp) = (address("http")?, address("udp")?);
    Ok(Subject {
        name: "tracker",
        http,
        udp,
        child,
        folder: None,
    })
}

fn start_opentracker(path: &Path, peers: &Peers) -> Outcome<Subject> {
    let folder = std::env::temp_dir().join(format!("announce_load-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    let hashes = (0..peers.swarms).map(|swarm| peers.info_hash(swarm * peers.per_swarm));
    let hex = hashes.map(|hash| hash.map(|byte| format!("{byte:02x}")).concat() + "\n");
    fs::write(folder.join("list"), hex.collect::<String>())?;
    // Free a moment ago.
    let http = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let port = http.port().to_string();
    let mut command = Command::new(path);
    command.args(["-i", "127.0.0.1", "-p", &port, "-P", &port]);
    // It makes the folder its root before it reads the list.
    command
        .current_dir(&folder)
        .arg("-d")
        .arg(&folder)
        .args(["-w", "list"]);
    let child = command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let subject = Subject {
        name: "opentracker",
        http,
        udp: http,
        child,
        folder: Some(folder),
    };
    let begun = Instant::now();
    while TcpStream::connect(http).is_err() {
        if begun.elapsed() > STARTS {
            return Err("opentracker does not answer".into());
        }
        thread::sleep(Duration::from_millis(10));
    }
    Ok(subject)
}

impl Subject {
    /// Debian's opentracker closes each connection, whatever the client wants.
    pub fn at_best(&self, over: Over) -> Over {
        match over {
            Over::KeptConnections if self.name == "opentracker" => Over::Connections,
            over => over,
        }
    }

    /// Time on a processor since the start, of all threads.
    pub fn cpu_time(&self) -> Outcome<Duration> {
        let mut nanoseconds: u64 = 0;
        for thread in fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            let figures = fs::read_to_string(thread?.path().join("schedstat"))?;
            nanoseconds += figures
                .split(' ')
                .next()
                .unwrap_or_default()
                .parse::<u64>()?;
        }
        Ok(Duration::from_nanos(nanoseconds))
    }

    /// Bytes of heap and stacks.
    pub fn memory(&self) -> Outcome<u64> {
        let rollup = fs::read_to_string(format!("/proc/{}/smaps_rollup", self.child.id()))?;
        let figure = rollup
            .lines()
            .find_map(|line| line.strip_prefix("Pss_Anon:"));
        let kilobytes = figure.and_then(|figure| figure.split_whitespace().next());
        Ok(kilobytes.ok_or("no Pss_Anon")?.parse::<u64>()? * 1024)
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        // Fails when there is nothing left to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(folder) = &self.folder {
            let _ = fs::remove_dir_all(folder);
        }
    }
}

const STARTS: Duration = Duration::from_secs(10);
