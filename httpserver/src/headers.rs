//! Header fields in the form in which they travel, looked up when somebody asks.

use std::{fmt, io};

use memchr::memchr;

use crate::lines::{is_text_byte, is_token_byte, trim};

/// The header fields of a request or a response, in order.
///
/// Names are found whatever their case (RFC 9110, 5.1). Looking one up reads through the fields
/// anew: keep what you need twice.
///
/// ```
/// use httpserver::{Error, Request, Response};
///
/// async fn list(request: Request) -> Result<Response, Error> {
///     let mut text = String::new();
///     for (name, value) in request.headers() {
///         text += &format!("{name} is {}\n", String::from_utf8_lossy(value));
///     }
///     Ok(Response::text(text))
/// }
/// # let _server = httpserver::HttpServer::new(list);
/// ```
#[derive(Clone, Copy)]
pub struct Headers<'a> {
    /// Lines of `name: value`, each ending in CR LF; the names are tokens.
    lines: &'a [u8],
}

impl<'a> Headers<'a> {
    pub(crate) fn new(lines: &'a [u8]) -> Headers<'a> {
        Headers { lines }
    }

    /// The first value of that name, if it is UTF-8; see [`get_all`](Headers::get_all) for others.
    ///
    /// ```
    /// use httpserver::Response;
    ///
    /// assert_eq!(Response::html("").headers().get("CONTENT-TYPE"), Some("text/html; charset=utf-8"));
    /// ```
    pub fn get(&self, name: &str) -> Option<&'a str> {
        let value = self.get_all(name).next()?;
        std::str::from_utf8(value).ok()
    }

    /// Every value of that name, one for each line. A value that is a list is not taken apart.
    ///
    /// ```
    /// # fn main() -> Result<(), httpserver::Error> {
    /// use httpserver::Response;
    ///
    /// let response = Response::text("hi").with_header("Set-Cookie", "a=1")?.with_header("Set-Cookie", "b=2")?;
    /// assert_eq!(response.headers().get_all("set-cookie").count(), 2);
    /// # Ok(())
    /// # }
    /// ```
    pub fn get_all(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        self.into_iter()
            .filter(move |(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }
}

impl<'a> IntoIterator for Headers<'a> {
    type Item = (&'a str, &'a [u8]);
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        Iter { lines: self.lines }
    }
}

impl fmt::Debug for Headers<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields = self.into_iter();
        let fields = fields.map(|(name, value)| (name, String::from_utf8_lossy(value)));
        formatter.debug_map().entries(fields).finish()
    }
}

/// The fields of [`Headers`], one after another: name, and value without the blanks around it.
#[derive(Clone, Debug)]
pub struct Iter<'a> {
    lines: &'a [u8],
}

impl<'a> Iterator for Iter<'a> {
    type Item = (&'a str, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let end = memchr(b'\n', self.lines)?;
        let line = &self.lines[..end];
        self.lines = &self.lines[end + 1..];
        let colon = memchr(b':', line)?;
        let name = std::str::from_utf8(&line[..colon]).ok()?;
        let value = line[colon + 1..].strip_suffix(b"\r")?;
        Some((name, trim(value)))
    }
}

/// Adds a line, if it is one: a value with a line end in it would be two (RFC 9110, 5.5).
pub(crate) fn append(lines: &mut Vec<u8>, name: &str, value: &[u8]) -> io::Result<()> {
    let is_name = !name.is_empty() && name.bytes().all(is_token_byte);
    if is_name && value.iter().copied().all(is_text_byte) {
        lines.extend_from_slice(name.as_bytes());
        lines.extend_from_slice(b": ");
        lines.extend_from_slice(value);
        lines.extend_from_slice(b"\r\n");
        return Ok(());
    }
    let what = if is_name { "value" } else { "name" };
    let (name, value) = (name.escape_debug(), value.escape_ascii());
    let text = format!("a bad {what} in the header field '{name}: {value}'");
    Err(io::Error::new(io::ErrorKind::InvalidInput, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_name_and_in_order() {
        let headers = Headers::new(b"Host: a\r\nX:\t 1 \r\nx:2\r\nempty:\r\n");
        assert_eq!(headers.get("HOST"), Some("a"));
        assert_eq!(headers.get("ho"), None);
        assert_eq!(headers.get("empty"), Some(""));
        assert_eq!(headers.get_all("x").collect::<Vec<_>>(), [b"1", b"2"]);
        assert_eq!(headers.into_iter().count(), 4);
        assert_eq!(Headers::new(b"").get("host"), None);
    }

    #[test]
    fn a_field_is_one_line_or_none() {
        let mut lines = Vec::new();
        append(&mut lines, "X-Name", b"caf\xe9 \t.").unwrap();
        assert_eq!(lines, b"X-Name: caf\xe9 \t.\r\n");
        for (name, value) in [
            ("", ""),
            ("a b", ""),
            ("a:", ""),
            ("a\r\nb", ""),
            ("a", "b\r\nc: d"),
        ] {
            append(&mut lines, name, value.as_bytes()).unwrap_err();
        }
        for bad in ["\n", "\r", "\0", "\x7f", "\x0b"] {
            append(&mut lines, "a", bad.as_bytes()).unwrap_err();
        }
        assert_eq!(Headers::new(&lines).into_iter().count(), 1);
    }
}
