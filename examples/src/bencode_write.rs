//! Writing bencode: dictionaries whose keys come in the order that their readers insist on.

/// Appends `d`, the entries that `write` makes, and `e`.
///
/// ```
/// use examples::bencode_write::dictionary;
///
/// let mut out = Vec::new();
/// dictionary(&mut out, |reply| {
///     reply.integer("interval", 1800);
///     reply.bytes("peers", b"\x7f\0\0\x01\x1a\xe1");
/// });
/// assert_eq!(out, b"d8:intervali1800e5:peers6:\x7f\0\0\x01\x1a\xe1e");
/// ```
pub fn dictionary(out: &mut Vec<u8>, write: impl FnOnce(&mut Dictionary<'_>)) {
    out.push(b'd');
    write(&mut Dictionary {
        out,
        last_key: 0..0,
    });
    out.push(b'e');
}

/// Appends `l`, what `write` makes of each item, and `e`.
///
/// ```
/// use examples::bencode_write::{integer, list};
///
/// let mut out = Vec::new();
/// list(&mut out, [1, 2], |out, number| integer(out, number));
/// assert_eq!(out, b"li1ei2ee");
/// ```
pub fn list<T>(
    out: &mut Vec<u8>,
    items: impl IntoIterator<Item = T>,
    mut write: impl FnMut(&mut Vec<u8>, T),
) {
    out.push(b'l');
    items.into_iter().for_each(|item| write(out, item));
    out.push(b'e');
}

/// Appends a string, which may be any bytes.
///
/// ```
/// let mut out = Vec::new();
/// examples::bencode_write::bytes(&mut out, "spam");
/// assert_eq!(out, b"4:spam");
/// ```
pub fn bytes(out: &mut Vec<u8>, bytes: impl AsRef<[u8]>) {
    let bytes = bytes.as_ref();
    out.extend_from_slice(itoa::Buffer::new().format(bytes.len()).as_bytes());
    out.push(b':');
    out.extend_from_slice(bytes);
}

/// Appends an integer.
///
/// ```
/// let mut out = Vec::new();
/// examples::bencode_write::integer(&mut out, -3);
/// assert_eq!(out, b"i-3e");
/// ```
pub fn integer(out: &mut Vec<u8>, integer: impl itoa::Integer) {
    out.push(b'i');
    out.extend_from_slice(itoa::Buffer::new().format(integer).as_bytes());
    out.push(b'e');
}

/// A dictionary that is being written. Its keys must come sorted as bytes, each once.
#[derive(Debug)]
pub struct Dictionary<'a> {
    out: &'a mut Vec<u8>,
    /// Where the key before lies in `out`; empty before the first.
    last_key: std::ops::Range<usize>,
}

impl Dictionary<'_> {
    /// Adds an entry; `write` appends its value, which must be one whole value.
    ///
    /// # Panics
    /// In debug builds, if the key does not belong behind the one before.
    ///
    /// ```
    /// use examples::bencode_write::{dictionary, list, integer};
    ///
    /// let mut out = Vec::new();
    /// dictionary(&mut out, |d| d.entry("l", |out| list(out, [1], integer)));
    /// assert_eq!(out, b"d1:lli1eee");
    /// ```
    pub fn entry(&mut self, key: impl AsRef<[u8]>, write: impl FnOnce(&mut Vec<u8>)) {
        let key = key.as_ref();
        debug_assert!(
            self.last_key.is_empty() || &self.out[self.last_key.clone()] < key,
            "'{}' is not behind the key before",
            key.escape_ascii()
        );
        bytes(self.out, key);
        self.last_key = self.out.len() - key.len()..self.out.len();
        write(self.out);
    }

    /// Adds a string. As [`entry`](Dictionary::entry).
    pub fn bytes(&mut self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
        self.entry(key, |out| bytes(out, value));
    }

    /// Adds an integer. As [`entry`](Dictionary::entry).
    pub fn integer(&mut self, key: impl AsRef<[u8]>, value: impl itoa::Integer) {
        self.entry(key, |out| integer(out, value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bencode::{Value, parse};

    fn write_again(out: &mut Vec<u8>, value: &Value<'_>) {
        if let Some(text) = value.bytes() {
            bytes(out, text);
        } else if let Some(number) = value.integer::<i128>() {
            integer(out, number);
        } else if let Some(values) = value.list() {
            list(out, values, write_again);
        } else if let Some(entries) = value.dictionary() {
            dictionary(out, |dictionary| {
                for (key, value) in entries {
                    dictionary.entry(key, |out| write_again(out, value));
                }
            });
        }
    }

    /// Whatever is accepted has no second encoding, and is cut into values that are whole.
    #[test]
    fn what_is_accepted_is_written_as_it_was_read() {
        let mut random = fastrand::Rng::with_seed(7);
        let alphabet = b"0123459ilde:-ab";
        let mut accepted = 0;
        for _ in 0..200_000 {
            let length = random.usize(1..14);
            let input: Vec<u8> = (0..length)
                .map(|_| alphabet[random.usize(..alphabet.len())])
                .collect();
            let Ok(value) = parse(&input) else { continue };
            accepted += 1;
            let mut output = Vec::new();
            write_again(&mut output, &value);
            assert_eq!(output, input, "{}", input.escape_ascii());
        }
        assert!(accepted > 100, "{accepted} of the inputs said anything");
    }

    #[test]
    #[cfg(debug_assertions)]
    #[should_panic(expected = "'a' is not behind the key before")]
    fn keys_out_of_order_are_found_by_tests() {
        dictionary(&mut Vec::new(), |dictionary| {
            dictionary.integer("b", 1);
            dictionary.integer("a", 2);
        });
    }
}
