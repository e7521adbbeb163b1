//! Serving in several processes: what callers see of it.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What this process is after [`fork_processes`] or [`TcpServer::start`](crate::TcpServer::start).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use = "a worker has to serve, and the parent of workers that have ended must not"]
pub enum Role {
    /// A worker, which serves; they are numbered from zero.
    Worker(usize),
    /// The parent of workers, all of which have ended: there is nothing left to do.
    Parent,
}

/// Forks `processes` workers, and returns in each with its number; as Tornado's function of this
/// name. Zero or `None` means as many as there are processors for this process.
///
/// ```no_run
/// use tcpserver::{
///     BindOptions, BoxError, Connection, IoStream, Role, TcpServer, bind_sockets, fork_processes,
/// };
///
/// async fn echo(mut stream: IoStream, _: Connection) -> Result<(), BoxError> {
///     loop {
///         let line = stream.read_until(b"\n", 4096).await?;
///         stream.write(&line).await?;
///     }
/// }
///
/// fn main() -> Result<(), BoxError> {
///     let sockets = bind_sockets("127.0.0.1:8888", &BindOptions::new())?;
///     if fork_processes(0, None)? == Role::Parent {
///         return Ok(());
///     }
///     let server = TcpServer::new(echo);
///     server.add_sockets(sockets)?;
///     server.serve()
/// }
/// ```
///
/// The parent stays in the call until all workers have ended, and then returns [`Role::Parent`].
///
/// - A worker that exits with status 0 has done its work. One that a signal kills, or that exits
///   with another status, is started again **under the same number**: at once the first time; after
///   125 ms the second time, then twice as long each time, up to 4 s. A worker that has lived for
///   10 s begins anew.
/// - More than `max_restarts` in total, 100 unless given, end all: the other workers are sent
///   `SIGTERM`, after 10 s `SIGKILL`, and the parent returns an error.
/// - `SIGINT`, `SIGTERM` and `SIGQUIT` are passed on to the workers, and none is started again; a
///   second one kills them. [`TcpServer::serve`](crate::TcpServer::serve) drains on the first two,
///   and leaves `SIGQUIT` its default effect, which is a core dump of each worker.
/// - `SIGHUP`, `SIGUSR1` and `SIGUSR2` are passed on as well, and mean what a worker's handler makes
///   of them: reloading, opening logs anew, printing a status. A worker without a handler is killed,
///   as any process is: after `SIGHUP` it stays away, after the other two it is started again.
/// - The workers end with the parent, also when that is killed: the system sends them `SIGKILL`.
///   No process is left behind when the function returns, with success or without.
///
/// Call it first thing in `main`: before anything makes an event loop, and before there are other
/// threads. [`bind_sockets`](crate::bind_sockets), [`TcpServer::new`](crate::TcpServer::new) and
/// [`TcpServer::bind`](crate::TcpServer::bind) make none. Sockets that were bound before are served
/// by all workers together, each connection by one of them that is not busy, which spreads work
/// rather than numbers: each worker accepts one connection per turn from them, and leaves the next
/// to others. Limits such as [`max_connections`](crate::TcpServer::max_connections) are each
/// worker's own.
///
/// Workers have the signals' effects that the process had before the call, and copies of its
/// memory: a random generator that was seeded before gives them all the same numbers. Those of
/// event loops are seeded when the loop is made. A worker's standard input is the parent's.
///
/// A worker in which [`TcpServer::serve`](crate::TcpServer::serve) runs leaves a second signal to
/// its parent, since one may reach it twice: Ctrl-C goes to all processes on a terminal, and from
/// the parent to the workers.
///
/// # Errors
/// Before the fork: if an event loop was made in this process, if it has other threads, or if the
/// system refuses. Later, in the parent: too many restarts. `Unsupported` on other systems than
/// Linux, where it can neither be told how many threads there are nor workers be made to end with
/// their parent.
#[doc(alias = "fork")]
pub fn fork_processes(
    processes: impl Into<Option<usize>>,
    max_restarts: impl Into<Option<usize>>,
) -> io::Result<Role> {
    let (role, _) = fork_and(processes.into(), max_restarts.into(), || {}, || {})?;
    Ok(role)
}

/// The number of the worker that this process is; none in the parent, and where nothing was forked.
/// Tornado calls it `task_id`.
///
/// ```
/// assert_eq!(tcpserver::worker_id(), None);
/// ```
#[doc(alias = "task_id")]
pub fn worker_id() -> Option<usize> {
    WORKER.load(Ordering::Relaxed).checked_sub(1)
}

/// [`fork_processes`] that calls `forked`, in the parent, when all workers run, and `ending` when
/// none will be started again. In a worker, signals wait until what comes with its role is dropped.
#[cfg(target_os = "linux")]
pub(crate) fn fork_and(
    processes: Option<usize>,
    max_restarts: Option<usize>,
    forked: impl FnOnce(),
    ending: impl FnOnce(),
) -> io::Result<(Role, HeldSignals)> {
    let processes = processes.filter(|processes| *processes > 0);
    let processors = || std::thread::available_parallelism().map_or(1, usize::from);
    let processes = processes.unwrap_or_else(processors);
    let max_restarts = max_restarts.unwrap_or(RESTARTS_MAX);
    crate::supervise::supervise(processes, max_restarts, forked, ending)
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn fork_and(
    _: Option<usize>,
    _: Option<usize>,
    _: impl FnOnce(),
    _: impl FnOnce(),
) -> io::Result<(Role, HeldSignals)> {
    let message = "cannot fork: several processes are supported on Linux only";
    Err(io::Error::new(io::ErrorKind::Unsupported, message))
}

#[cfg(target_os = "linux")]
pub(crate) use crate::parent_signals::ParentSignals as HeldSignals;

/// Nobody forks here, so there are none.
#[cfg(not(target_os = "linux"))]
pub(crate) enum HeldSignals {}

#[cfg(target_os = "linux")]
pub(crate) fn become_worker(id: usize) {
    WORKER.store(id + 1, Ordering::Relaxed);
}

/// The worker's number and one.
static WORKER: AtomicUsize = AtomicUsize::new(0);

/// Tornado's number. It is for the whole life of the parent: who loses a worker a week will have
/// restarted everything before.
#[cfg(target_os = "linux")]
const RESTARTS_MAX: usize = 100;
