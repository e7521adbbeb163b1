//! Signals as futures and callbacks on a loop.

use std::ffi::c_int;
use std::fmt;
use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::panic::Location;

use signal_hook::SigId;
use signal_hook::low_level::{pipe, unregister};

use crate::io_loop::IoLoop;
use crate::panics::contain;
use crate::tasks::Task;
use crate::watched::Watched;

/// The numbers of the signals that servers handle.
pub use signal_hook::consts::signal::{
    SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2,
};

/// A signal of this process, as something to wait for.
///
/// From the first listener on, the signal no longer has its default effect, also after the
/// listener is dropped. Any number of loops and listeners may wait for one signal; each is told.
///
/// ```no_run
/// use ioloop::{IoLoop, signals};
///
/// # fn main() -> std::io::Result<()> {
/// IoLoop::current().run_until(async {
///     let interrupts = signals::Listener::new(signals::SIGINT)?;
///     interrupts.recv().await?;
///     println!("interrupted");
///     Ok(())
/// })
/// # }
/// ```
pub struct Listener {
    signal: c_int,
    id: SigId,
    /// The signal handler sends a byte to the other end: all that it may do.
    pipe: Watched<UnixStream>,
}

impl Listener {
    /// Listens on this thread's loop. `signal` is one of this module's constants, or any other
    /// that can be handled.
    ///
    /// # Errors
    /// `InvalidInput` for a signal that cannot be handled; what the system says when it refuses
    /// the two descriptors needed.
    ///
    /// # Panics
    /// If `signal` is one that must not be handled, such as `SIGKILL` or `SIGSEGV`.
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// let hangups = ioloop::signals::Listener::new(ioloop::signals::SIGHUP)?;
    /// # Ok(())
    /// # }
    /// ```
    #[track_caller]
    pub fn new(signal: c_int) -> io::Result<Listener> {
        let (ours, handlers) = UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let id = pipe::register(signal, handlers)?;
        Ok(Listener {
            signal,
            id,
            pipe: Watched::new(ours),
        })
    }

    /// Waits for the next time the signal comes. Signals that come in quick succession may be
    /// reported once, as the kernel does.
    ///
    /// # Errors
    /// What the system says when it refuses to watch a descriptor.
    ///
    /// # Cancel safety
    /// A signal that came while nobody waited is reported by the next call.
    ///
    /// ```no_run
    /// # use ioloop::signals;
    /// # async fn example() -> std::io::Result<()> {
    /// let hangups = signals::Listener::new(signals::SIGHUP)?;
    /// loop {
    ///     hangups.recv().await?;
    ///     println!("reload");
    /// }
    /// # }
    /// ```
    pub async fn recv(&self) -> io::Result<()> {
        let mut bytes = [0; 64];
        self.pipe
            .read_with(|mut pipe| pipe.read(&mut bytes))
            .await
            .map(drop)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        unregister(self.id);
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Listener")
            .field("signal", &self.signal)
            .finish()
    }
}

impl IoLoop {
    /// Calls `handler` on this loop each time `signal` comes, until the returned task is dropped.
    /// A panic in it is reported, and the next signal calls it again.
    ///
    /// # Errors
    /// Those of [`Listener::new`]; `NotConnected` if the loop is closed.
    ///
    /// # Panics
    /// If `signal` is one that must not be handled, such as `SIGKILL` or `SIGSEGV`.
    ///
    /// ```
    /// use ioloop::{IoLoop, signals};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let io_loop = IoLoop::current();
    /// let stop = || IoLoop::current().stop();
    /// io_loop.add_signal_handler(signals::SIGTERM, stop)?.detach();
    /// # Ok(())
    /// # }
    /// ```
    #[track_caller]
    pub fn add_signal_handler(
        &self,
        signal: c_int,
        mut handler: impl FnMut() + 'static,
    ) -> io::Result<Task<()>> {
        self.check_open()?;
        let listener = Listener::new(signal)?;
        let location = Location::caller();
        Ok(self.spawn(async move {
            loop {
                match listener.recv().await {
                    // Contained each time: the signal has lost its default effect, so a handler
                    // that ended here would make the process deaf to it.
                    Ok(()) => {
                        contain("a signal handler", || location, &mut handler);
                    }
                    Err(error) => {
                        tracing::error!(signal, %error, "cannot wait for a signal any more");
                        return;
                    }
                }
            }
        }))
    }
}
