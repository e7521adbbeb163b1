//! What the servers on tokio have in common: one thread, a task for each connection, no timeouts.

use std::error::Error;
use std::io;

use squall_benches::address::address_from_arguments;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime;

/// Listens where `--address` and `--port` say, tells where that is, and serves for ever.
pub fn serve<F>(handle: fn(TcpStream) -> F) -> Result<(), Box<dyn Error>>
where
    F: Future<Output = io::Result<()>> + Send + 'static,
{
    let runtime = runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(address_from_arguments()?).await?;
        println!("listening on {}", listener.local_addr()?);
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            // An error is that the client went away.
            tokio::spawn(async move { drop(handle(stream).await) });
        }
    })
}
