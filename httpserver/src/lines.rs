//! The lines of a head taken apart, strictly and in one pass over their bytes.
//!
//! There is one way to write each: single blanks in a request line, no blank before a colon, no
//! line that continues another, CR LF at the end. RFC 9112 lets a server be lenient here, and two
//! servers that are lenient in different ways are how requests get smuggled.

use http::{Method, Version};

use crate::reject::{BAD_REQUEST, Reject, VERSION_NOT_SUPPORTED};

/// A request line in good order, but for what its target means.
pub(crate) struct RequestLine<'a> {
    pub(crate) method: Method,
    /// Where the target begins; before it are the method and a blank.
    pub(crate) start: usize,
    pub(crate) target: &'a [u8],
    pub(crate) version: Version,
    /// With its line end.
    pub(crate) length: usize,
}

/// A header field in good order.
#[derive(Clone, Copy)]
pub(crate) struct FieldLine<'a> {
    /// A token, so never empty.
    pub(crate) name: &'a [u8],
    /// What follows the colon: few values are of interest, and only those are trimmed.
    text: &'a [u8],
}

impl<'a> FieldLine<'a> {
    /// What the field says, without the blanks around it.
    pub(crate) fn value(&self) -> &'a [u8] {
        trim(self.text)
    }

    /// How many bytes it takes, with its line end.
    pub(crate) fn length(&self) -> usize {
        self.name.len() + 1 + self.text.len() + 2
    }
}

/// The request line that `bytes` begin with; none if it is not complete.
// Always, as the next: handing the result over through memory costs as much as finding it.
#[inline(always)]
pub(crate) fn request_line(bytes: &[u8]) -> Result<Option<RequestLine<'_>>, Reject> {
    let Some((method, start)) = method(bytes)? else {
        return Ok(None);
    };
    let rest = &bytes[start..];
    let (target, rest) = rest.split_at(run_length(rest, &TARGET_BYTES));
    match rest.first() {
        Some(b' ') if !target.is_empty() => {}
        None => return Ok(None),
        Some(_) => return Err(BAD_REQUEST_LINE),
    }
    let Some(version) = version(&rest[1..])? else {
        return Ok(None);
    };
    Ok(Some(RequestLine {
        method,
        start,
        target,
        version,
        length: start + target.len() + 1 + VERSION_LENGTH,
    }))
}

/// The method and the blank behind it, and how long both are.
#[inline(always)]
fn method(bytes: &[u8]) -> Result<Option<(Method, usize)>, Reject> {
    if bytes.starts_with(b"GET ") {
        // As most do.
        return Ok(Some((Method::GET, 4)));
    }
    let (word, rest) = bytes.split_at(run_length(bytes, &TOKEN_BYTES));
    match rest.first() {
        Some(b' ') if !word.is_empty() => {}
        None => return Ok(None),
        Some(_) => return Err(BAD_REQUEST_LINE),
    }
    match Method::from_bytes(word) {
        Ok(method) => Ok(Some((method, word.len() + 1))),
        Err(_) => Err(BAD_REQUEST_LINE),
    }
}

/// The version and the line end behind it.
#[inline]
fn version(bytes: &[u8]) -> Result<Option<Version>, Reject> {
    if bytes.starts_with(b"HTTP/1.1\r\n") {
        return Ok(Some(Version::HTTP_11));
    }
    if bytes.starts_with(b"HTTP/1.0\r\n") {
        return Ok(Some(Version::HTTP_10));
    }
    if bytes.len() < VERSION_LENGTH && !bytes.contains(&b'\n') {
        return Ok(None);
    }
    match bytes.strip_prefix(b"HTTP/") {
        Some([major, b'.', minor, b'\r', b'\n', ..])
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            Err(VERSION_NOT_SUPPORTED)
        }
        _ => Err(BAD_REQUEST.because("a request line without a version")),
    }
}

/// The header field that `bytes` begin with; none if it is not complete.
#[inline(always)]
pub(crate) fn field_line(bytes: &[u8]) -> Result<Option<FieldLine<'_>>, Reject> {
    let (name, rest) = bytes.split_at(run_length(bytes, &TOKEN_BYTES));
    match rest.first() {
        Some(b':') if !name.is_empty() => {}
        None => return Ok(None),
        Some(_) => return Err(BAD_REQUEST.because("a bad header name")),
    }
    let rest = &rest[1..];
    let (text, end) = rest.split_at(text_length(rest));
    match end {
        [b'\r', b'\n', ..] => Ok(Some(FieldLine { name, text })),
        [] | [b'\r'] => Ok(None),
        _ => Err(BAD_REQUEST.because("a bad header value")),
    }
}

/// Only blanks and tabs are whitespace here, whatever Unicode says.
#[inline]
pub(crate) fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = value {
        value = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

#[inline]
pub(crate) fn is_token_byte(byte: u8) -> bool {
    TOKEN_BYTES[byte as usize]
}

/// What may be in a value: anything but control characters, and a tab (RFC 9110, 5.5).
#[inline]
pub(crate) fn is_text_byte(byte: u8) -> bool {
    (byte == b'\t') | (byte >= b' ') & (byte != 0x7f)
}

/// How many bytes of `table` `bytes` begin with.
// By itself, as the next: where there is more to keep in registers, each byte costs twice as much.
#[inline(never)]
pub(crate) fn run_length(bytes: &[u8], table: &[bool; 256]) -> usize {
    let is_other = |&byte: &u8| !table[byte as usize];
    let mut rest = bytes;
    // Four without counting them.
    while let Some((four, behind)) = rest.split_first_chunk::<4>() {
        if let Some(at) = four.iter().position(is_other) {
            return bytes.len() - rest.len() + at;
        }
        rest = behind;
    }
    let end = rest.iter().position(is_other).unwrap_or(rest.len());
    bytes.len() - rest.len() + end
}

/// How many bytes of text `bytes` begin with. Most of a head is values, so this looks at sixteen
/// bytes at a time, and at eight to find the end.
#[inline(never)]
fn text_length(bytes: &[u8]) -> usize {
    let mut rest = bytes;
    while let Some((chunk, behind)) = rest.split_first_chunk::<16>() {
        // In numbers and without a branch: the compiler takes all sixteen at once.
        let others = chunk.iter().map(|&byte| u8::from(!is_text_byte(byte)));
        if others.fold(0, |any, other| any | other) > 0 {
            break;
        }
        rest = behind;
    }
    while let Some((word, behind)) = rest.split_first_chunk() {
        let controls = controls(u64::from_le_bytes(*word));
        if controls == 0 {
            rest = behind;
            continue;
        }
        let at = controls.trailing_zeros() as usize / 8;
        if word[at] != b'\t' {
            return bytes.len() - rest.len() + at;
        }
        rest = &rest[at + 1..];
    }
    let last = rest.iter().take_while(|&&byte| is_text_byte(byte)).count();
    bytes.len() - rest.len() + last
}

/// Has the high bit of the first byte set that is a control character, and none of a byte before
/// it. Behind it bits may be set by a borrow.
#[inline]
fn controls(word: u64) -> u64 {
    const EACH: u64 = u64::MAX / 0xff;
    let below = |word: u64, bound: u64| word.wrapping_sub(EACH * bound) & !word;
    let is_delete = below(word ^ (EACH * 0x7f), 1);
    (below(word, b' '.into()) | is_delete) & (EACH * 0x80)
}

/// Letters, digits and `others`.
pub(crate) const fn table(others: &[u8]) -> [bool; 256] {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let mut rest = others;
    while let [byte, others @ ..] = rest {
        table[*byte as usize] = true;
        rest = others;
    }
    table
}

/// RFC 9110, 5.6.2.
static TOKEN_BYTES: [bool; 256] = table(b"!#$%&'*+-.^_`|~");

/// What may be in a target: every visible character but `#` and `\`. Browsers send some that
/// RFC 3986 would have escaped, as `|`; but what follows a `#` is never sent, and `\` is taken for
/// `/` by some.
static TARGET_BYTES: [bool; 256] = table(b"!\"$%&'()*+,-./:;<=>?@[]^_`{|}~");

const BAD_REQUEST_LINE: Reject = BAD_REQUEST.because("a bad request line");

/// `HTTP/1.1` and CR LF.
const VERSION_LENGTH: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    /// Method, target, version, fields, and how long it is.
    type Parts<'a> = (String, &'a [u8], Version, Vec<(&'a [u8], &'a [u8])>, usize);

    fn parts(bytes: &[u8]) -> Option<Parts<'_>> {
        let line = request_line(bytes).ok()??;
        let (mut end, mut fields) = (line.length, Vec::new());
        while !bytes[end..].starts_with(b"\r\n") {
            let field = field_line(&bytes[end..]).ok()??;
            fields.push((field.name, field.value()));
            end += field.length();
        }
        let method = line.method.to_string();
        Some((method, line.target, line.version, fields, end + 2))
    }

    /// The same by another parser, where that is as strict.
    fn parts_by_httparse(bytes: &[u8]) -> Option<Parts<'_>> {
        let mut fields = [httparse::EMPTY_HEADER; 64];
        let mut request = httparse::Request::new(&mut fields);
        let Ok(httparse::Status::Complete(length)) = request.parse(bytes) else {
            return None;
        };
        let mut lines = bytes[..length].split_inclusive(|&byte| byte == b'\n');
        let target = request.path?.as_bytes();
        let is_strict = is_token_byte(bytes[0])
            && lines.all(|line| line.ends_with(b"\r\n"))
            && target.iter().all(|&byte| TARGET_BYTES[byte as usize]);
        let version = [Version::HTTP_10, Version::HTTP_11][usize::from(request.version?)];
        let fields = request.headers.iter();
        let fields = fields.map(|field| (field.name.as_bytes(), field.value));
        let method = request.method?.to_owned();
        is_strict.then(|| (method, target, version, fields.collect(), length))
    }

    #[test]
    fn no_head_is_understood_otherwise_than_by_another_parser() {
        const ODD: &[u8] = b"\r\n\n \t:\0\x1f\x7f\x80\xff/#\\|\"{}AZaz09_-.";
        let mut random = fastrand::Rng::with_seed(1);
        let mut understood = 0;
        for _ in 0..100_000 {
            let length = random.usize(0..40);
            let value: Vec<u8> = (0..length).map(|_| random.u8(b' '..=b'~')).collect();
            let start = b"GET /a?b HTTP/1.1\r\nHost: a:1\r\nX-Y:\t";
            let mut bytes = [start, &value[..], b" \r\nZ:\r\n\r\nGET"].concat();
            for _ in 0..random.usize(0..3) {
                let at = random.usize(..bytes.len());
                let odd = [ODD[random.usize(..ODD.len())]];
                bytes.splice(
                    at..at + random.usize(0..=1),
                    odd[random.usize(0..=1)..].to_vec(),
                );
            }
            let found = parts(&bytes);
            understood += usize::from(found.is_some());
            assert_eq!(found, parts_by_httparse(&bytes), "{}", bytes.escape_ascii());
        }
        assert!((30_000..95_000).contains(&understood), "{understood}");
    }

    #[test]
    fn a_control_character_ends_a_value_wherever_it_is() {
        for byte in 0..=u8::MAX {
            for before in 0..20 {
                for behind in [0, 1, 7, 8] {
                    let text = [vec![0xff; before], vec![byte], vec![b' '; behind]].concat();
                    let expected = if is_text_byte(byte) {
                        text.len()
                    } else {
                        before
                    };
                    assert_eq!(text_length(&text), expected, "{byte} after {before}");
                }
            }
        }
    }

    #[test]
    fn a_line_that_is_not_complete_is_not_refused() {
        let (line, field) = (b"GET / HTTP/1.1\r\n", b"Host: a\r\n");
        for end in 0..line.len() {
            assert!(request_line(&line[..end]).unwrap().is_none(), "{end}");
        }
        for end in 0..field.len() {
            assert!(field_line(&field[..end]).unwrap().is_none(), "{end}");
        }
        let status = |line: &[u8]| request_line(line).err().unwrap().status.as_u16();
        assert_eq!(status(b"GET / HTTP/1.2\r\n"), 505);
        assert_eq!(status(b"GET / HTTP/1\r\n"), 400);
        assert_eq!(status(b"GET / HTTP/1.1 \r\n"), 400);
        assert_eq!(status(b"GET  / HTTP/1.1\r\n"), 400);
    }
}
