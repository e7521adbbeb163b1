//! HTTP to trackers, from the address that we listen at. It blocks: it is for the pool of threads.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

use socket2::{Domain, Socket, Type};
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, Transport,
};
use ureq::{Agent, Error};

/// The body of what is at `url`, whatever its status: trackers say what is wrong in it.
///
/// Peers are told to connect to where an announce comes from, so with a `source` that is what it
/// comes from.
pub(crate) fn get(url: &str, source: Option<IpAddr>) -> Result<Vec<u8>, Error> {
    let config = Agent::config_builder()
        .timeout_global(Some(TIMEOUT))
        .http_status_as_error(false)
        .max_redirects(REDIRECTS_MAX)
        .user_agent("squall-peer")
        .proxy(None)
        .build();
    let agent = Agent::with_parts(config, From { source }, DefaultResolver::default());
    let mut response = agent.get(url).call()?;
    response
        .body_mut()
        .with_config()
        .limit(BODY_MAX)
        .read_to_vec()
}

/// Opens sockets that are bound to an address.
#[derive(Debug)]
struct From {
    source: Option<IpAddr>,
}

impl Connector for From {
    type Out = Plain;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        _: Option<()>,
    ) -> Result<Option<Plain>, Error> {
        if details.needs_tls() {
            return Err(Error::TlsRequired);
        }
        let mut result = Err(Error::HostNotFound);
        for address in &details.addrs {
            result = self.open(*address, details);
            if result.is_ok() {
                break;
            }
        }
        result.map(Some)
    }
}

impl From {
    fn open(&self, address: SocketAddr, details: &ConnectionDetails<'_>) -> Result<Plain, Error> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        if let Some(source) = self.source {
            // With the other family this fails, and the next address is tried.
            socket.bind(&SocketAddr::new(source, 0).into())?;
        }
        let limit = details.timeout.not_zero().map_or(TIMEOUT, |limit| *limit);
        socket.connect_timeout(&address.into(), limit)?;
        let config = details.config;
        Ok(Plain {
            stream: socket.into(),
            buffers: LazyBuffers::new(config.input_buffer_size(), config.output_buffer_size()),
        })
    }
}

/// A socket as ureq wants it.
#[derive(Debug)]
struct Plain {
    stream: TcpStream,
    buffers: LazyBuffers,
}

impl Transport for Plain {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        self.stream
            .set_write_timeout(timeout.not_zero().map(|limit| *limit))?;
        Ok(self.stream.write_all(&self.buffers.output()[..amount])?)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        self.stream
            .set_read_timeout(timeout.not_zero().map(|limit| *limit))?;
        let count = self.stream.read(self.buffers.input_append_buf())?;
        self.buffers.input_appended(count);
        Ok(count > 0)
    }

    /// There is one request, and no pool.
    fn is_open(&mut self) -> bool {
        false
    }
}

/// A tracker that has not answered by then is tried again later.
const TIMEOUT: Duration = Duration::from_secs(30);

const REDIRECTS_MAX: u32 = 5;

/// Thousands of peers; we want fifty.
const BODY_MAX: u64 = 1024 * 1024;
