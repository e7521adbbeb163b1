//! Hearing of the end of a stream, which may come long after its handles are gone.

/// Told when a stream's descriptor is closed, which may be long after its handles were dropped.
///
/// A server counts connections with it.
///
/// ```
/// use std::{cell::Cell, rc::Rc};
/// use iostream::{IoStream, OnClose};
///
/// #[derive(Default)]
/// struct Gone(Cell<bool>);
///
/// impl OnClose for Gone {
///     fn closed(&self) {
///         self.0.set(true);
///     }
/// }
///
/// # ioloop::testing::run(async {
/// let (client, server) = IoStream::pair();
/// let gone = Rc::new(Gone::default());
/// server.on_close(gone.clone());
/// server.abort();
/// assert!(gone.0.get());
/// # });
/// ```
pub trait OnClose {
    /// The descriptor is closed, or about to be in this very call.
    fn closed(&self);
}
