//! Where a server is told to listen.

use std::error::Error;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// From `--address` and `--port`, as every server here takes them.
pub fn address_from_arguments() -> Result<SocketAddr, Box<dyn Error>> {
    let mut address = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let mut port = 8888;
    let mut arguments = std::env::args().skip(1);
    while let Some(flag) = arguments.next() {
        let value = arguments.next().ok_or(USAGE)?;
        match flag.as_str() {
            "--address" => address = value.parse()?,
            "--port" => port = value.parse()?,
            _ => return Err(USAGE.into()),
        }
    }
    Ok(SocketAddr::new(address, port))
}

const USAGE: &str = "flags: [--address 127.0.0.1] [--port 8888]";
