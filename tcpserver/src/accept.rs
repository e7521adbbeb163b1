//! Accepting connections: in bounded batches, and with a way to live when descriptors run out.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::{Rc, Weak};
use std::time::Duration;

use ioloop::{Event, HandlerId, Interest, IoLoop, Notice, Notify, Source, TimerId};
use iostream::Address;
use rustix::io::Errno;

use crate::bind::Listener;

/// Calls `callback` on this thread's loop with each connection that `listener` accepts, and with
/// its peer's address, until the returned handle is dropped. The connections are non-blocking.
///
/// At most 128 connections are accepted per turn of the loop; one only from a socket that was made
/// before this process was forked, which leaves the next one to the other workers. When the process
/// is out of descriptors, accepting pauses and is tried again ten times a second, with one log line;
/// what is established goes on undisturbed.
///
/// The accepting also ends, and the listening socket is closed, when the callback panics and when
/// the loop is closed.
///
/// # Errors
/// What the system says when it refuses to watch the socket.
///
/// ```
/// use ioloop::IoLoop;
/// use tcpserver::{BindOptions, add_accept_handler, bind_sockets};
///
/// # fn main() -> std::io::Result<()> {
/// let listener = bind_sockets("127.0.0.1:0", &BindOptions::new())?.remove(0);
/// let address = listener.address().ip().unwrap();
/// let handle = add_accept_handler(listener, |connection, peer| {
///     println!("{peer} has connected: {connection:?}");
///     IoLoop::current().stop();
/// })?;
/// let client = std::net::TcpStream::connect(address)?;
/// IoLoop::current().start();
/// # Ok(())
/// # }
/// ```
#[must_use = "dropping the handle ends the accepting"]
pub fn add_accept_handler(
    listener: Listener,
    callback: impl FnMut(OwnedFd, Address) + 'static,
) -> io::Result<AcceptHandle> {
    let address = listener.address().clone();
    let accepts_per_turn = if listener.is_shared() {
        ACCEPTS_PER_TURN_SHARED
    } else {
        ACCEPTS_PER_TURN
    };
    let acceptor = Rc::new(Acceptor {
        listener,
        accepts_per_turn,
        callback: RefCell::new(Some(Box::new(callback))),
        io_loop: IoLoop::current(),
        id: Cell::new(None),
        is_held: Cell::new(false),
        retry: Cell::new(None),
        is_troubled: Cell::new(false),
    });
    let id = acceptor
        .io_loop
        .add_source(acceptor.clone(), Interest::READ)?;
    acceptor.id.set(Some(id));
    Ok(AcceptHandle {
        acceptor: Rc::downgrade(&acceptor),
        address,
    })
}

/// Ends the accepting, and closes the listening socket, when it is dropped; see
/// [`add_accept_handler`].
#[must_use = "dropping the handle ends the accepting"]
pub struct AcceptHandle {
    /// The loop owns it. A handle that did would be owned by itself, through a callback that holds
    /// it as a server's does, and the socket would stay open when the loop is closed.
    acceptor: Weak<Acceptor>,
    address: Address,
}

impl AcceptHandle {
    /// Where it listens.
    ///
    /// ```
    /// # use tcpserver::{BindOptions, add_accept_handler, bind_sockets};
    /// # fn main() -> std::io::Result<()> {
    /// # let listener = bind_sockets("127.0.0.1:0", &BindOptions::new())?.remove(0);
    /// let handle = add_accept_handler(listener, |_connection, _peer| {})?;
    /// println!("listening on {}", handle.address());
    /// # Ok(())
    /// # }
    /// ```
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Stops accepting for now; those who connect wait in the kernel's queue.
    ///
    /// ```
    /// # use tcpserver::{BindOptions, add_accept_handler, bind_sockets};
    /// # fn main() -> std::io::Result<()> {
    /// # let listener = bind_sockets("127.0.0.1:0", &BindOptions::new())?.remove(0);
    /// let handle = add_accept_handler(listener, |_connection, _peer| {})?;
    /// handle.pause();
    /// handle.resume();
    /// # Ok(())
    /// # }
    /// ```
    pub fn pause(&self) {
        self.hold(true);
    }

    /// Accepts again after [`pause`](AcceptHandle::pause).
    ///
    /// ```
    /// # use tcpserver::{BindOptions, add_accept_handler, bind_sockets};
    /// # fn main() -> std::io::Result<()> {
    /// # let listener = bind_sockets("127.0.0.1:0", &BindOptions::new())?.remove(0);
    /// let handle = add_accept_handler(listener, |_connection, _peer| {})?;
    /// handle.resume();
    /// # Ok(())
    /// # }
    /// ```
    pub fn resume(&self) {
        self.hold(false);
    }

    pub(crate) fn hold(&self, is_held: bool) {
        if let Some(acceptor) = self.acceptor.upgrade() {
            acceptor.is_held.set(is_held);
            acceptor.update();
        }
    }
}

impl Drop for AcceptHandle {
    fn drop(&mut self) {
        if let Some(acceptor) = self.acceptor.upgrade() {
            acceptor.end();
        }
    }
}

impl fmt::Debug for AcceptHandle {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_tuple("AcceptHandle")
            .field(self.address())
            .finish()
    }
}

type Callback = Box<dyn FnMut(OwnedFd, Address)>;

struct Acceptor {
    listener: Listener,
    accepts_per_turn: usize,
    /// Empty while it runs.
    callback: RefCell<Option<Callback>>,
    io_loop: IoLoop,
    /// None once the handle was dropped.
    id: Cell<Option<HandlerId>>,
    /// Paused by the handle's owner.
    is_held: Cell<bool>,
    /// Paused because nothing can be accepted, until this timer.
    retry: Cell<Option<TimerId>>,
    /// That was logged, and not every connection that waits could be accepted since.
    is_troubled: Cell<bool>,
}

impl Acceptor {
    /// Whether the next connection may be accepted. Asked before each, since the callback may
    /// pause or drop the handle.
    fn is_accepting(&self) -> bool {
        self.id.get().is_some() && !self.is_held.get() && self.retry.get().is_none()
    }

    fn update(&self) {
        if let Some(id) = self.id.get() {
            let wanted = if self.is_accepting() {
                Interest::READ
            } else {
                Interest::NONE
            };
            if let Err(error) = self.io_loop.update_handler(id, wanted) {
                let address = self.listener.address();
                tracing::error!(%address, %error, "cannot watch a listening socket any more");
            }
        }
    }

    fn accept_batch(self: &Rc<Self>, callback: &mut Callback) {
        for _ in 0..self.accepts_per_turn {
            if !self.is_accepting() {
                return;
            }
            match accept(&self.listener) {
                Ok((connection, peer)) => callback(connection, peer),
                Err(Errno::AGAIN) => {
                    self.is_troubled.set(false);
                    return;
                }
                // The peer has left before it was accepted, or its network reports something.
                Err(error) if concerns_one_connection(error) => {
                    tracing::debug!(error = %io::Error::from(error), "not accepted");
                }
                Err(error) => return self.wait_for_better(error),
            }
        }
    }

    /// Out of descriptors, in most cases. Level-triggered readiness would call us again at once:
    /// pause instead of spinning.
    fn wait_for_better(self: &Rc<Self>, error: Errno) {
        if !self.is_troubled.replace(true) {
            let (address, error) = (self.listener.address(), io::Error::from(error));
            tracing::warn!(%address, %error, "cannot accept connections; trying again until it works");
        }
        let retry_at = self.io_loop.now() + RETRY;
        self.retry
            .set(Some(self.io_loop.notify_at(retry_at, self.clone())));
        self.update();
    }

    fn end(&self) {
        if let Some(id) = self.id.take() {
            self.io_loop.remove_handler(id);
        }
        if let Some(timer) = self.retry.take() {
            self.io_loop.remove_timeout(timer);
        }
    }
}

impl AsFd for Acceptor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

impl Source for Acceptor {
    fn ready(self: Rc<Self>, _: Event) {
        let callback = self.callback.borrow_mut().take();
        if let Some(mut callback) = callback {
            self.accept_batch(&mut callback);
            *self.callback.borrow_mut() = Some(callback);
        }
    }
}

impl Notify for Acceptor {
    fn notify(self: Rc<Self>, _: Notice) {
        self.retry.set(None);
        self.update();
    }
}

/// Accepts one connection, non-blocking and closed on exec.
fn accept(listener: &Listener) -> rustix::io::Result<(OwnedFd, Address)> {
    #[cfg(not(target_vendor = "apple"))]
    let (connection, peer) = {
        use rustix::net::{SocketFlags, acceptfrom_with};
        acceptfrom_with(listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC)?
    };
    #[cfg(target_vendor = "apple")]
    let (connection, peer) = {
        let (connection, peer) = rustix::net::acceptfrom(listener)?;
        rustix::io::fcntl_setfd(&connection, rustix::io::FdFlags::CLOEXEC)?;
        rustix::io::ioctl_fionbio(&connection, true)?;
        (connection, peer)
    };
    let peer = match peer.map(std::net::SocketAddr::try_from) {
        Some(Ok(ip)) => Address::Ip(ip),
        // Clients of Unix sockets rarely have a path, and nobody has asked for it.
        _ => Address::Unix(None),
    };
    Ok((connection, peer))
}

/// Whether the next connection may be accepted although this one was not: it has left the queue.
/// After any other error the next attempt would meet the same, also after those that nobody has
/// thought of.
fn concerns_one_connection(error: Errno) -> bool {
    matches!(
        error,
        Errno::CONNABORTED
            | Errno::HOSTDOWN
            | Errno::HOSTUNREACH
            | Errno::INTR
            | Errno::NETDOWN
            | Errno::NETUNREACH
            | Errno::NOPROTOOPT
            | Errno::PROTO
            | Errno::TIMEDOUT
    )
}

/// Tornado's number. One listener cannot hold the loop for longer than this many connections.
const ACCEPTS_PER_TURN: usize = 128;

/// Whoever wakes first would take all that wait, and the other workers none. With one each, those
/// who connect in a burst are spread over all workers that are not busy.
const ACCEPTS_PER_TURN_SHARED: usize = 1;

/// How soon accepting is tried again without descriptors: soon enough for a person, and too rare
/// to cost anything.
const RETRY: Duration = Duration::from_millis(100);
