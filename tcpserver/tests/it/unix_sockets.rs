//! Listening on Unix sockets: whose file is removed and whose is not, and what is said.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use tcpserver::{IoStream, TcpServer, bind_unix_socket};

use crate::support::{answers, echo, no_forks, on_loop};

/// A folder of this test's own, which goes with it.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("tcpserver-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    fn socket(&self) -> PathBuf {
        self.0.join("socket")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn connect(path: &Path) -> IoStream {
    IoStream::from_fd(UnixStream::connect(path).unwrap()).unwrap()
}

#[test]
fn a_stale_file_does_not_keep_a_server_from_starting() {
    let folder = Folder::new("stale");
    on_loop(async move {
        drop(UnixListener::bind(folder.socket()).unwrap());
        assert!(folder.socket().exists());
        let server = TcpServer::new(echo);
        let listener = bind_unix_socket(folder.socket(), 0o600).unwrap();
        server.add_sockets(vec![listener]).unwrap();
        assert!(answers(&mut connect(&folder.socket())).await);
    });
}

#[test]
fn a_server_that_is_alive_does_not_lose_its_place() {
    let folder = Folder::new("alive");
    on_loop(async move {
        let server = TcpServer::new(echo);
        let listener = bind_unix_socket(folder.socket(), 0o600).unwrap();
        server.add_sockets(vec![listener]).unwrap();

        let error = bind_unix_socket(folder.socket(), 0o600).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        let path = folder.socket();
        let path = path.display();
        assert_eq!(
            error.to_string(),
            format!("cannot listen on {path}: a server is listening there already")
        );
        assert!(answers(&mut connect(&folder.socket())).await);
    });
}

#[test]
fn a_server_that_is_too_busy_to_accept_does_not_lose_its_place() {
    let folder = Folder::new("busy");
    let listener =
        socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap();
    let address = socket2::SockAddr::unix(folder.socket()).unwrap();
    listener.bind(&address).unwrap();
    listener.listen(0).unwrap();
    let mut waiting = Vec::new();
    // Until its queue is full.
    let refusal = loop {
        let client =
            socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None).unwrap();
        client.set_nonblocking(true).unwrap();
        match client.connect(&address) {
            Ok(()) => waiting.push(client),
            Err(error) => break error,
        }
        assert!(waiting.len() < 100, "the queue has no end");
    };
    assert_eq!(refusal.kind(), ErrorKind::WouldBlock);

    let error = bind_unix_socket(folder.socket(), 0o600).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
    assert!(folder.socket().exists());
}

#[test]
fn a_file_that_is_no_socket_is_not_removed() {
    let folder = Folder::new("file");
    fs::write(folder.socket(), "precious").unwrap();
    let error = bind_unix_socket(folder.socket(), 0o600).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    assert!(
        error
            .to_string()
            .ends_with("/socket: there is a file that is no socket"),
        "{error}"
    );
    assert_eq!(fs::read_to_string(folder.socket()).unwrap(), "precious");
}

#[test]
fn a_link_is_not_followed_to_somebody_elses_socket() {
    let folder = Folder::new("link");
    let target = folder.0.join("target");
    drop(UnixListener::bind(&target).unwrap());
    std::os::unix::fs::symlink(&target, folder.socket()).unwrap();
    let error = bind_unix_socket(folder.socket(), 0o600).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    assert!(target.exists());
}

#[test]
fn permissions_are_not_left_to_the_umask() {
    let (folder, _forks) = (Folder::new("mode"), no_forks());
    for mode in [0o600, 0o660, 0o666] {
        let listener = bind_unix_socket(folder.socket(), mode).unwrap();
        let found = fs::symlink_metadata(folder.socket()).unwrap();
        assert!(found.file_type().is_socket());
        assert_eq!(found.permissions().mode() & 0o777, mode);
        drop(listener);
    }
}

#[test]
fn a_path_that_cannot_be_is_not_reported_without_the_path() {
    let folder = Folder::new("long");
    let long = folder.0.join("x".repeat(200));
    let missing = folder.0.join("nowhere").join("socket");
    for (path, kind) in [
        (long, ErrorKind::InvalidInput),
        (missing, ErrorKind::NotFound),
    ] {
        let error = bind_unix_socket(&path, 0o600).unwrap_err();
        let text = error.to_string();
        assert!(
            text.starts_with(&format!("cannot listen on {}: ", path.display())),
            "{text}"
        );
        assert_eq!(error.kind(), kind, "{text}");
        assert!(!path.exists());
    }
}

#[test]
fn a_unix_listener_does_not_hide_where_it_listens() {
    let folder = Folder::new("address");
    let listener = bind_unix_socket(folder.socket(), 0o600).unwrap();
    let address = listener.address();
    assert_eq!(
        address.to_string(),
        format!("unix:{}", folder.socket().display())
    );
    assert_eq!(address.ip(), None);
}
