//! How listening sockets are bound.

use std::net::SocketAddr;

/// How sockets are bound. The defaults suit a server.
///
/// ```
/// let options = tcpserver::BindOptions::new().backlog(128).families(tcpserver::Families::V4);
/// let sockets = tcpserver::bind_sockets("127.0.0.1:0", &options).unwrap();
/// assert_eq!(sockets.len(), 1);
/// ```
#[derive(Clone, Debug)]
pub struct BindOptions {
    pub(crate) families: Families,
    pub(crate) v6only: bool,
    pub(crate) backlog: i32,
    pub(crate) reuse_addr: bool,
    pub(crate) reuse_port: bool,
    pub(crate) tos: Option<u32>,
}

/// Which of a name's addresses are used.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Families {
    /// IPv4 and IPv6.
    #[default]
    Both,
    /// IPv4 only.
    V4,
    /// IPv6 only.
    V6,
}

impl BindOptions {
    /// Both families, each on a socket of its own; a backlog of 1,024; `SO_REUSEADDR`.
    ///
    /// ```
    /// let options = tcpserver::BindOptions::new();
    /// ```
    pub fn new() -> BindOptions {
        BindOptions {
            families: Families::Both,
            v6only: true,
            backlog: BACKLOG,
            reuse_addr: true,
            reuse_port: false,
            tos: None,
        }
    }

    /// Which families are used; both unless set.
    ///
    /// ```
    /// let options = tcpserver::BindOptions::new().families(tcpserver::Families::V6);
    /// ```
    pub fn families(mut self, families: Families) -> BindOptions {
        self.families = families;
        self
    }

    /// Whether an IPv6 socket leaves IPv4 alone (`IPV6_V6ONLY`); true unless set, so that both
    /// families can have the same port.
    ///
    /// ```
    /// let options = tcpserver::BindOptions::new().v6only(false);
    /// ```
    pub fn v6only(mut self, v6only: bool) -> BindOptions {
        self.v6only = v6only;
        self
    }

    /// How many connections may wait to be accepted: 1,024 unless set. The system lowers it to
    /// its own limit, `net.core.somaxconn` on Linux.
    ///
    /// ```
    /// let options = tcpserver::BindOptions::new().backlog(4096);
    /// ```
    pub fn backlog(mut self, connections: i32) -> BindOptions {
        self.backlog = connections;
        self
    }

    /// Whether the address may be bound while connections of an earlier server are still dying
    /// (`SO_REUSEADDR`); true unless set.
    ///
    /// ```
    /// let options = tcpserver::BindOptions::new().reuse_addr(false);
    /// ```
    pub fn reuse_addr(mut self, reuse: bool) -> BindOptions {
        self.reuse_addr = reuse;
        self
    }

    /// Whether other sockets may be bound to the same address, each with a queue of its own
    /// (`SO_REUSEPORT`); false unless set. Connections in the queue of a socket that is closed
    /// are lost.
    ///
    /// ```
    /// let options = tcpserver::BindOptions::new().reuse_port(true);
    /// ```
    pub fn reuse_port(mut self, reuse: bool) -> BindOptions {
        self.reuse_port = reuse;
        self
    }

    /// The type of service of IPv4 packets (`IP_TOS`); the system's default unless set. Accepted
    /// connections inherit it.
    ///
    /// ```
    /// let options = tcpserver::BindOptions::new().tos(0x10);
    /// ```
    pub fn tos(mut self, tos: u32) -> BindOptions {
        self.tos = Some(tos);
        self
    }

    pub(crate) fn allows(&self, address: &SocketAddr) -> bool {
        match self.families {
            Families::Both => true,
            Families::V4 => address.is_ipv4(),
            Families::V6 => address.is_ipv6(),
        }
    }
}

impl Default for BindOptions {
    fn default() -> BindOptions {
        BindOptions::new()
    }
}

/// Bursts of a thousand clients are ordinary. Tornado's 128 makes the kernel drop the rest of such
/// a burst, and those come back a second later.
const BACKLOG: i32 = 1024;
