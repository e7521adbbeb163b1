//! What a request may be addressed to: its target and its Host, as pure checks.

use std::net::Ipv6Addr;
use std::str::FromStr;

use http::Method;

use crate::lines::{run_length, table};
use crate::reject::{BAD_REQUEST, NOT_IMPLEMENTED, Reject};

/// Checks the form of a target (RFC 9112, 3.2), whose characters are in order, and says where its
/// path begins; at the end, if the target has none.
#[inline]
pub(crate) fn check_target(method: &Method, target: &[u8]) -> Result<usize, Reject> {
    if *method == Method::CONNECT {
        return Err(NOT_IMPLEMENTED.because("CONNECT: this is no proxy"));
    }
    match target {
        [b'/', ..] => Ok(0),
        b"*" if *method == Method::OPTIONS => Ok(0),
        _ => check_uri(target),
    }
}

fn check_uri(target: &[u8]) -> Result<usize, Reject> {
    let target = std::str::from_utf8(target).unwrap_or_default();
    let Some(authority) = authority(target) else {
        return Err(BAD_REQUEST.because("a target that is neither a path nor a URI"));
    };
    if authority.is_empty() || authority.starts_with(':') || !is_host(authority.as_bytes()) {
        return Err(BAD_REQUEST.because("a target with a bad authority"));
    }
    Ok(authority.as_ptr() as usize - target.as_ptr() as usize + authority.len())
}

/// The authority of a target in absolute form.
pub(crate) fn authority(target: &str) -> Option<&str> {
    let (scheme, rest) = target.split_once("://")?;
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return None;
    }
    rest.split(['/', '?']).next()
}

/// Whether `host` may stand in a Host field: a name or an address, and perhaps a port (RFC 9110,
/// 7.2). It may be empty. User information may not stand there, nor may a comma, which is what
/// two fields look like when somebody has joined them.
pub(crate) fn is_host(host: &[u8]) -> bool {
    let port = match host.strip_prefix(b"[") {
        Some(rest) => match rest.iter().position(|&byte| byte == b']') {
            Some(end) if is_ip_literal(&rest[..end]) => &rest[end + 1..],
            _ => return false,
        },
        None => &host[run_length(host, &NAME_BYTES)..],
    };
    match port {
        [] => true,
        [b':', digits @ ..] => digits.iter().all(u8::is_ascii_digit),
        _ => false,
    }
}

fn is_ip_literal(address: &[u8]) -> bool {
    let Ok(address) = std::str::from_utf8(address) else {
        return false;
    };
    match address.strip_prefix(['v', 'V']) {
        // An address of a version that nobody has seen yet.
        Some(future) => future.split_once('.').is_some_and(|(version, rest)| {
            !version.is_empty()
                && version.bytes().all(|byte| byte.is_ascii_hexdigit())
                && !rest.is_empty()
                && rest.bytes().all(|byte| is_name_byte(byte) || byte == b':')
        }),
        None => Ipv6Addr::from_str(address).is_ok(),
    }
}

/// What RFC 3986 lets a registered name have, but for escapes, which no host's name needs, and for
/// commas.
fn is_name_byte(byte: u8) -> bool {
    NAME_BYTES[byte as usize]
}

static NAME_BYTES: [bool; 256] = table(b"-._~!$&'()*+;=");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_of_every_form_have_a_path() {
        let path = |method: Method, target: &str| {
            check_target(&method, target.as_bytes()).map(|start| target[start..].to_owned())
        };
        assert_eq!(path(Method::GET, "/a?b").unwrap(), "/a?b");
        assert_eq!(path(Method::GET, "http://host:80/a?b").unwrap(), "/a?b");
        assert_eq!(path(Method::GET, "HTTPS://[::1]:443").unwrap(), "");
        assert_eq!(path(Method::GET, "http://host?b").unwrap(), "?b");
        assert_eq!(path(Method::OPTIONS, "*").unwrap(), "*");
        for bad in [
            "*",
            "",
            "a",
            "host:80",
            "http:/a",
            "http://",
            "http://u@h/",
            "ftp://h/",
        ] {
            assert!(path(Method::GET, bad).is_err(), "{bad}");
        }
        assert_eq!(path(Method::CONNECT, "host:80").unwrap_err().status, 501);
    }

    #[test]
    fn hosts_are_names_or_addresses_with_a_port() {
        for good in [
            "",
            "a",
            "a.b-c_d",
            "1.2.3.4:80",
            "[::1]",
            "[::1]:80",
            "a:",
            "[v1.a:b]",
        ] {
            assert!(is_host(good.as_bytes()), "{good}");
        }
        for bad in [
            "a b", "a/b", "a?b", "u@h", "a:b", "a:80:80", "::1", "[::1", "[::1]x", "[g]",
        ] {
            assert!(!is_host(bad.as_bytes()), "{bad}");
        }
        for bad in ["a,b", "a\\b", "a#b", "%20", "h\u{e9}", "[v.a]", "[]"] {
            assert!(!is_host(bad.as_bytes()), "{bad}");
        }
    }
}
