//! What a head says of its message: where the body ends, and whether the connection goes on.

use std::mem;

use http::Version;

use crate::lines::{FieldLine, trim};
use crate::reject::{BAD_REQUEST, BODY_TOO_LARGE, EXPECTATION_FAILED, NOT_IMPLEMENTED, Reject};
use crate::target::is_host;

/// Where a request's body ends (RFC 9112, 6.3).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Framing {
    #[default]
    None,
    Length(u64),
    Chunked,
}

/// What the header fields say that concern a server, gathered one by one.
///
/// What could be understood in two ways is refused, also where RFC 9112 lets a server choose: a
/// proxy in front may have chosen otherwise.
#[derive(Debug, Default)]
pub(crate) struct Fields {
    content_length: Option<u64>,
    /// Every element of every Transfer-Encoding field, as long as all are `chunked`.
    codings: usize,
    has_transfer_encoding: bool,
    has_host: bool,
    expects_continue: bool,
    expects_else: bool,
    has_close: bool,
    has_keep_alive: bool,
    /// The Connection field lists it.
    has_upgrade: bool,
    /// There is an Upgrade field.
    names_protocol: bool,
}

impl Fields {
    /// Takes note of a field.
    #[inline]
    pub(crate) fn add(&mut self, field: FieldLine<'_>) -> Result<(), Reject> {
        let name = field.name;
        // By length: most fields are none of ours.
        match name.len() {
            4 if is(name, b"host") => self.host(field)?,
            6 if is(name, b"expect") => self.expect(field.value()),
            7 if is(name, b"upgrade") => self.names_protocol = true,
            10 if is(name, b"connection") => self.connection(field.value()),
            14 if is(name, b"content-length") => self.content_length(field.value())?,
            17 if is(name, b"transfer-encoding") => self.transfer_encoding(field.value())?,
            _ => {}
        }
        Ok(())
    }

    /// HTTP/1.1 wants one (RFC 9112, 3.2).
    pub(crate) fn check_host(&self, version: Version) -> Result<(), Reject> {
        match self.has_host || version == Version::HTTP_10 {
            true => Ok(()),
            false => Err(BAD_REQUEST.because("no Host")),
        }
    }

    pub(crate) fn framing(&self, version: Version) -> Result<Framing, Reject> {
        if self.has_transfer_encoding {
            return match (self.codings, self.content_length) {
                (_, Some(_)) => {
                    Err(BAD_REQUEST.because("both Content-Length and Transfer-Encoding"))
                }
                _ if version == Version::HTTP_10 => {
                    Err(BAD_REQUEST.because("a Transfer-Encoding in HTTP/1.0"))
                }
                (1, None) => Ok(Framing::Chunked),
                _ => Err(BAD_REQUEST.because("a bad Transfer-Encoding")),
            };
        }
        match self.content_length {
            None | Some(0) => Ok(Framing::None),
            Some(length) => Ok(Framing::Length(length)),
        }
    }

    /// Kept unless somebody says otherwise in HTTP/1.1, closed unless in 1.0 (RFC 9112, 9.3).
    pub(crate) fn keeps_alive(&self, version: Version) -> bool {
        !self.has_close && (version == Version::HTTP_11 || self.has_keep_alive)
    }

    /// HTTP/1.0 knows no expectations (RFC 9110, 10.1.1).
    pub(crate) fn expects_continue(&self, version: Version) -> Result<bool, Reject> {
        match version {
            Version::HTTP_10 => Ok(false),
            _ if self.expects_else => Err(EXPECTATION_FAILED),
            _ => Ok(self.expects_continue),
        }
    }

    pub(crate) fn may_upgrade(&self, version: Version) -> bool {
        self.has_upgrade && self.names_protocol && version == Version::HTTP_11
    }

    // By themselves, this and those below: inlined, they would have all of `self` moved about for
    // fields that are none of ours.
    #[inline(never)]
    fn connection(&mut self, value: &[u8]) {
        for option in elements(value) {
            self.has_close |= option.eq_ignore_ascii_case(b"close");
            self.has_keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
            self.has_upgrade |= option.eq_ignore_ascii_case(b"upgrade");
        }
    }

    /// Not more than one, and nothing else than a host in it.
    #[inline(never)]
    fn host(&mut self, field: FieldLine<'_>) -> Result<(), Reject> {
        if mem::replace(&mut self.has_host, true) {
            return Err(BAD_REQUEST.because("more than one Host"));
        }
        match is_host(field.value()) {
            true => Ok(()),
            false => Err(BAD_REQUEST.because("a bad Host")),
        }
    }

    #[inline(never)]
    fn expect(&mut self, value: &[u8]) {
        match value.eq_ignore_ascii_case(b"100-continue") {
            true => self.expects_continue = true,
            false => self.expects_else = true,
        }
    }

    #[inline(never)]
    fn content_length(&mut self, value: &[u8]) -> Result<(), Reject> {
        match self.content_length.replace(decimal(value)?) {
            Some(_) => Err(BAD_REQUEST.because("more than one Content-Length")),
            None => Ok(()),
        }
    }

    #[inline(never)]
    fn transfer_encoding(&mut self, value: &[u8]) -> Result<(), Reject> {
        self.has_transfer_encoding = true;
        for coding in elements(value) {
            if !coding.eq_ignore_ascii_case(b"chunked") {
                return Err(NOT_IMPLEMENTED.because("a Transfer-Encoding other than chunked"));
            }
            self.codings += 1;
        }
        Ok(())
    }
}

/// Whether a token is `known`, which is of small letters and dashes, in whatever case.
#[inline]
fn is<const LENGTH: usize>(token: &[u8], known: &[u8; LENGTH]) -> bool {
    // The bit that makes letters small makes no other byte of a token one of these.
    <[u8; LENGTH]>::try_from(token).is_ok_and(|token| token.map(|byte| byte | 0x20) == *known)
}

/// The elements of a list, of which empty ones do not count (RFC 9110, 5.6.1).
fn elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value
        .split(|&byte| byte == b',')
        .map(trim)
        .filter(|element| !element.is_empty())
}

/// Digits and nothing else: no sign, no blank, no underscore.
pub(crate) fn decimal(digits: &[u8]) -> Result<u64, Reject> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(BAD_REQUEST.because("a Content-Length that is no number"));
    }
    let add = |number: u64, digit: &u8| {
        let number = number.checked_mul(10)?;
        number.checked_add(u64::from(digit - b'0'))
    };
    digits.iter().try_fold(0, add).ok_or(BODY_TOO_LARGE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lines::field_line;

    fn lines(headers: &[(&str, &str)]) -> Vec<String> {
        let line = |(name, value): &(&str, &str)| format!("{name}: {value}\r\n");
        headers.iter().map(line).collect()
    }

    fn fields(lines: &[String]) -> Result<Fields, Reject> {
        let mut fields = Fields::default();
        for line in lines {
            fields.add(field_line(line.as_bytes())?.expect("it is whole"))?;
        }
        Ok(fields)
    }

    fn framing(headers: &[(&str, &str)]) -> Result<Framing, u16> {
        fields(&lines(headers))
            .and_then(|fields| fields.framing(Version::HTTP_11))
            .map_err(|reject| reject.status.as_u16())
    }

    #[test]
    fn a_body_has_one_end_or_the_request_is_refused() {
        let (length, coding) = ("Content-Length", "transfer-encoding");
        assert_eq!(framing(&[]), Ok(Framing::None));
        assert_eq!(framing(&[(length, "5")]), Ok(Framing::Length(5)));
        assert_eq!(framing(&[(length, "00")]), Ok(Framing::None));
        assert_eq!(framing(&[(coding, ", Chunked\t,")]), Ok(Framing::Chunked));
        for bad in ["", "+5", "5 5", "5,5", "0x5", "5_0", "-1"] {
            assert_eq!(framing(&[(length, bad)]), Err(400), "{bad}");
        }
        assert_eq!(framing(&[(length, "18446744073709551616")]), Err(413));
        assert_eq!(framing(&[(length, "5"), (length, "5")]), Err(400));
        assert_eq!(framing(&[(length, "5"), (coding, "chunked")]), Err(400));
        assert_eq!(framing(&[(coding, "chunked, chunked")]), Err(400));
        assert_eq!(
            framing(&[(coding, "chunked"), (coding, "chunked")]),
            Err(400)
        );
        assert_eq!(framing(&[(coding, "")]), Err(400));
        assert_eq!(framing(&[(coding, "gzip, chunked")]), Err(501));
        let chunked = lines(&[(coding, "chunked")]);
        let old = fields(&chunked).unwrap();
        assert!(old.framing(Version::HTTP_10).is_err());
    }

    #[test]
    fn a_connection_is_kept_as_the_version_and_the_options_say() {
        let keeps = |value, version| {
            let headers = lines(&[("Connection", value)]);
            fields(&headers).unwrap().keeps_alive(version)
        };
        assert!(keeps("", Version::HTTP_11));
        assert!(keeps(",, Keep-Alive,,x", Version::HTTP_11));
        assert!(!keeps("foo, CLOSE", Version::HTTP_11));
        assert!(!keeps("close, keep-alive", Version::HTTP_11));
        assert!(!keeps("foo", Version::HTTP_10));
        assert!(keeps("keep-alive", Version::HTTP_10));
    }
}
