//! Listening on a Unix socket, without taking the place of a server that is alive.

use std::fs::{self, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;

use iostream::Address;
use socket2::{Domain, SockAddr, Socket, Type};

use crate::bind::Listener;
use crate::explain::cannot_listen;

/// Opens a listening Unix socket at `path` with the permissions `mode`, such as `0o600`.
///
/// A socket file that is there already is removed only if nobody listens on it: after a connect
/// was refused. The file stays when the server ends; the next start removes it. Makes no loop.
///
/// # Errors
/// One sentence that says which path and why: `AddrInUse` if a server is alive there,
/// `AlreadyExists` if the file is no socket; otherwise what the system says.
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// let path = std::env::temp_dir().join(format!("tcpserver-doc-{}", std::process::id()));
/// let listener = tcpserver::bind_unix_socket(&path, 0o600)?;
/// let second = tcpserver::bind_unix_socket(&path, 0o600);
/// assert!(second.unwrap_err().to_string().ends_with("a server is listening there already"));
/// # std::fs::remove_file(path)?;
/// # Ok(())
/// # }
/// ```
pub fn bind_unix_socket(path: impl AsRef<Path>, mode: u32) -> io::Result<Listener> {
    let path = path.as_ref();
    remove_stale(path)?;
    bind(path, mode).map_err(|error| cannot_listen(path.display(), error))
}

fn bind(path: &Path, mode: u32) -> io::Result<Listener> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::unix(path)?)?;
    // Between bind and listen every connect is refused, so nobody slips in before the permissions
    // are what was asked for.
    fs::set_permissions(path, Permissions::from_mode(mode))?;
    socket.listen(BACKLOG)?;
    Ok(Listener::new(socket, Address::Unix(Some(path.to_owned()))))
}

/// Removes a socket file that nobody listens on.
fn remove_stale(path: &Path) -> io::Result<()> {
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(cannot_listen(path.display(), error)),
    };
    if !found.file_type().is_socket() {
        return Err(refused(
            path,
            ErrorKind::AlreadyExists,
            "there is a file that is no socket",
        ));
    }
    match try_connect(path) {
        Ok(()) => Err(refused(
            path,
            ErrorKind::AddrInUse,
            "a server is listening there already",
        )),
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(|error| cannot_listen(path.display(), error))
        }
        // A full backlog, or a socket of another kind: somebody is alive there.
        Err(_) => Err(refused(
            path,
            ErrorKind::AddrInUse,
            "the socket there is in use",
        )),
    }
}

fn try_connect(path: &Path) -> io::Result<()> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.connect(&SockAddr::unix(path)?)
}

fn refused(path: &Path, kind: ErrorKind, why: &str) -> io::Error {
    io::Error::new(kind, cannot_listen(path.display(), why).to_string())
}

/// As for TCP: bursts of a thousand clients are ordinary.
const BACKLOG: i32 = 1024;
