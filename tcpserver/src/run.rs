//! Running a server as a whole program, to the signal that ends it.

use std::fmt::Display;
use std::io;

use futures_lite::future::{or, pending};
use ioloop::{IoLoop, signals};

use crate::handler::{BoxError, StreamHandler};
use crate::processes::{Role, worker_id};
use crate::server::TcpServer;

impl<H: StreamHandler> TcpServer<H> {
    /// Listens on `address` and serves until a signal ends it: [`listen`](TcpServer::listen) and
    /// [`serve`](TcpServer::serve) in one.
    ///
    /// # Errors
    /// Those of [`listen`](TcpServer::listen) and [`serve`](TcpServer::serve).
    ///
    /// ```no_run
    /// use tcpserver::{BoxError, Connection, IoStream, TcpServer};
    ///
    /// async fn greet(stream: IoStream, _: Connection) -> Result<(), BoxError> {
    ///     stream.write(b"hello\n").await?;
    ///     Ok(())
    /// }
    ///
    /// fn main() -> Result<(), BoxError> {
    ///     TcpServer::new(greet).run("127.0.0.1:8888")
    /// }
    /// ```
    pub fn run(&self, address: impl Display) -> Result<(), BoxError> {
        self.listen(address)?;
        self.serve()
    }

    /// Does what [`on_serve`](TcpServer::on_serve) was given, and runs this thread's loop until
    /// `SIGINT` or `SIGTERM`; then drains the server as
    /// [`shutdown`](TcpServer::shutdown) does, with the
    /// [`shutdown_grace`](TcpServer::shutdown_grace). A second signal ends it at once; a worker of
    /// [`fork_processes`](crate::fork_processes) leaves that to its parent.
    ///
    /// # Errors
    /// What `on_serve` was given says, and the system when it refuses to listen for signals.
    ///
    /// ```no_run
    /// # use tcpserver::{BoxError, Connection, IoStream, TcpServer};
    /// # async fn echo(_: IoStream, _: Connection) -> Result<(), BoxError> { Ok(()) }
    /// fn main() -> Result<(), BoxError> {
    ///     let server = TcpServer::new(echo);
    ///     println!("listening on {}", server.listen("127.0.0.1:0")?[0]);
    ///     server.serve()
    /// }
    /// ```
    pub fn serve(&self) -> Result<(), BoxError> {
        self.serve_and(|| {})
    }

    /// As [`serve`](TcpServer::serve), and calls `ready` once a signal would drain the server
    /// rather than kill the process: the moment to tell others that it is up.
    ///
    /// # Errors
    /// Those of [`serve`](TcpServer::serve).
    ///
    /// ```no_run
    /// # use tcpserver::{BoxError, Connection, IoStream, TcpServer};
    /// # async fn echo(_: IoStream, _: Connection) -> Result<(), BoxError> { Ok(()) }
    /// fn main() -> Result<(), BoxError> {
    ///     let server = TcpServer::new(echo);
    ///     let addresses = server.listen("127.0.0.1:0")?;
    ///     server.serve_and(|| println!("listening on {}", addresses[0]))
    /// }
    /// ```
    pub fn serve_and(&self, ready: impl FnOnce()) -> Result<(), BoxError> {
        if let Some(begin) = self.settings().on_serve.take() {
            begin()?;
        }
        IoLoop::current().run_until(self.serve_until_signal(ready))?;
        Ok(())
    }

    /// Serves from what [`bind`](TcpServer::bind) has opened, in so many processes:
    /// [`start`](TcpServer::start) and [`serve`](TcpServer::serve) in one. With one process,
    /// nothing is forked; zero stands for as many as there are processors.
    ///
    /// `ready` is called once: in the parent, when all workers run, or in the only process; never
    /// by a worker that replaces another. From then on no signal comes too early: what is sent to
    /// the parent waits until a worker can handle it. What each process needs for itself is made by
    /// [`on_serve`](TcpServer::on_serve). Returns, with success, when a signal has ended everything.
    ///
    /// # Errors
    /// Those of [`start`](TcpServer::start) and [`serve`](TcpServer::serve).
    ///
    /// ```no_run
    /// # use tcpserver::{BoxError, Connection, IoStream, TcpServer};
    /// # async fn echo(_: IoStream, _: Connection) -> Result<(), BoxError> { Ok(()) }
    /// fn main() -> Result<(), BoxError> {
    ///     let server = TcpServer::new(echo);
    ///     let addresses = server.bind("127.0.0.1:8888")?;
    ///     server.serve_processes(0, || println!("listening on {}", addresses[0]))
    /// }
    /// ```
    pub fn serve_processes(
        &self,
        processes: impl Into<Option<usize>>,
        ready: impl FnOnce(),
    ) -> Result<(), BoxError> {
        let processes = processes.into();
        if processes == Some(1) {
            let _ = self.start(1, None)?;
            return self.serve_and(ready);
        }
        match self.start_and(processes, None, ready)? {
            (Role::Worker(_), held) => self.serve_and(|| drop(held)),
            (Role::Parent, _) => Ok(()),
        }
    }

    async fn serve_until_signal(&self, ready: impl FnOnce()) -> io::Result<()> {
        let interrupt = signals::Listener::new(signals::SIGINT)?;
        let terminate = signals::Listener::new(signals::SIGTERM)?;
        let signal = || or(interrupt.recv(), terminate.recv());
        ready();

        signal().await?;
        self.stop();
        let (connections, worker) = (self.connections(), worker_id());
        tracing::info!(
            connections,
            worker,
            "draining; a second signal ends at once"
        );
        let drained = async { Some(self.shutdown(self.settings().shutdown_grace.get()).await) };
        let interrupted = async {
            // A worker may hear of one Ctrl-C twice, from the terminal and from its parent. The
            // parent counts them, and kills its workers if there were two.
            if worker.is_some() {
                pending::<()>().await;
            }
            let _ = signal().await;
            None
        };
        match or(drained, interrupted).await {
            Some(drained) => {
                tracing::info!(finished = drained.finished, cut = drained.cut, "drained");
            }
            None => {
                let cut = self.cut();
                tracing::info!(cut, "ended by the second signal");
            }
        }
        Ok(())
    }
}
