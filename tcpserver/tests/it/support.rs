//! What every test needs: a loop, servers and clients, and processes of its own.

use std::cell::Cell;
use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, RwLock, RwLockReadGuard};
use std::task::{Wake, Waker};
use std::time::Duration;

use tcpserver::{
    BindOptions, BoxError, Connection, IoStream, Listener, StreamHandler, TcpServer, bind_sockets,
};
pub(crate) use test_support::{counter, flag, increment, spawn, timed, turns, until};

/// As the one in [`test_support`], while no other test starts a process.
pub(crate) fn on_loop<F: Future<Output: 'static> + 'static>(test: F) -> F::Output {
    let _forks = no_forks();
    test_support::on_loop(test)
}

/// As the one in [`test_support`], while no other test starts a process.
pub(crate) fn on_virtual_loop<F: Future<Output: 'static> + 'static>(test: F) -> F::Output {
    let _forks = no_forks();
    test_support::on_virtual_loop(test)
}

/// Lines come back until the peer leaves.
pub(crate) async fn echo(mut stream: IoStream, _: Connection) -> Result<(), BoxError> {
    loop {
        let line = stream.read_until(b"\n", 4096).await?;
        stream.write(&line).await?;
    }
}

/// Lines come back until the peer leaves or the server drains.
pub(crate) async fn polite(mut stream: IoStream, connection: Connection) -> Result<(), BoxError> {
    while let Some(line) = connection
        .unless_draining(stream.read_until(b"\n", 4096))
        .await
    {
        stream.write(&line?).await?;
    }
    Ok(())
}

/// Never ends by itself.
pub(crate) async fn deaf(_stream: IoStream, _: Connection) -> Result<(), BoxError> {
    std::future::pending().await
}

/// An address that no other test listens on, where the system has more than one for itself: when
/// a test closes a port, nobody else may be found behind it.
pub(crate) fn loopback() -> SocketAddr {
    static GIVEN: AtomicU8 = AtomicU8::new(0);
    let [_, _, high, low] = std::process::id().to_be_bytes();
    let last = 1 + GIVEN.fetch_add(1, Ordering::Relaxed) % 254;
    let address = match cfg!(target_os = "linux") {
        true => Ipv4Addr::new(127, high, low, last),
        false => Ipv4Addr::LOCALHOST,
    };
    SocketAddr::from((address, 0))
}

/// Where a server listens on a port of the system's choice.
pub(crate) fn listen<H: StreamHandler>(server: &TcpServer<H>) -> SocketAddr {
    server.listen(loopback()).unwrap()[0].ip().unwrap()
}

/// A listening socket, and where it listens.
pub(crate) fn bind() -> (Listener, SocketAddr) {
    let mut listeners = bind_sockets(loopback(), &BindOptions::new()).unwrap();
    let listener = listeners.remove(0);
    let address = listener.address().ip().unwrap();
    (listener, address)
}

/// Clients that have connected, and that nobody has accepted yet.
pub(crate) fn clients(address: SocketAddr, count: usize) -> Vec<TcpStream> {
    let connected = (0..count).map(|_| TcpStream::connect(address).unwrap());
    connected.collect()
}

/// Connects; the kernel does that without the server's doing.
pub(crate) fn connect(address: SocketAddr) -> IoStream {
    IoStream::from_fd(TcpStream::connect(address).unwrap()).unwrap()
}

/// Whether the stream answers, as one of [`echo`] does.
pub(crate) async fn answers(stream: &mut IoStream) -> bool {
    stream.write(b"still there?\n").await.is_ok()
        && stream
            .read_until(b"\n", 100)
            .await
            .is_ok_and(|line| line == b"still there?\n")
}

/// A waker that counts how often it was cloned.
pub(crate) fn counting_waker() -> (Waker, impl Fn() -> usize) {
    struct Nothing;
    impl Wake for Nothing {
        fn wake(self: Arc<Self>) {}
    }
    let counted = Arc::new(Nothing);
    let waker = Waker::from(counted.clone());
    (waker, move || Arc::strong_count(&counted))
}

/// Sets its flag when it is dropped.
pub(crate) struct OnDrop(pub(crate) Rc<Cell<bool>>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.set(true);
    }
}

/// Runs `test`, whose full name is `name`, alone in a process: signals, limits of the process and
/// numbers of its descriptors are not this one's only.
pub(crate) fn in_a_process_of_its_own(name: &str, test: impl FnOnce()) {
    if std::env::var_os(CHILD).is_some() {
        let (_until_it_ends, end) = mpsc::channel::<()>();
        std::thread::spawn(move || {
            if end.recv_timeout(CHILD_TIME_MAX) == Err(RecvTimeoutError::Timeout) {
                eprintln!("not within {CHILD_TIME_MAX:?}");
                std::process::exit(1);
            }
        });
        return test();
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(CHILD, "1")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let child = {
        let _alone = FORKS.write().unwrap();
        let mut child = command.spawn().unwrap();
        // The first byte that it says: it is another program now.
        let _ = child.stdout.as_mut().unwrap().read_exact(&mut [0]);
        child
    };
    let child = child.wait_with_output().unwrap();
    let output = String::from_utf8_lossy(&child.stdout);
    let errors = String::from_utf8_lossy(&child.stderr);
    assert!(
        child.status.success(),
        "{}\n{output}\n{errors}",
        child.status
    );
    assert!(output.contains("1 passed"), "there is no test '{name}'");
}

/// Until it is given back, no other test starts a process. A child has, until it has become
/// another program, every descriptor of its parent's: a socket that is closed here would still
/// listen there.
pub(crate) fn no_forks() -> RwLockReadGuard<'static, ()> {
    FORKS.read().unwrap()
}

static FORKS: RwLock<()> = RwLock::new(());

const CHILD: &str = "SQUALL_TEST_IN_A_PROCESS_OF_ITS_OWN";

const CHILD_TIME_MAX: Duration = Duration::from_secs(30);
