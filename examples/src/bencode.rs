//! Bencode, BitTorrent's encoding of integers, strings, lists and dictionaries; read strictly.
//!
//! Every value has one encoding only, and any other is refused: leading zeros, `-0`, keys that are
//! not sorted or come twice, bytes behind the end. What is read borrows from the input, and keeps
//! the literal bytes of each value, since the hash of a torrent is one of bytes.
//!
//! Why not a crate: `bt_bencode` 0.8 takes `i01e` and unsorted keys, and deep nesting overflows its
//! stack. `bendy` 0.6 is strict, but BSD-3-Clause, which deny.toml does not allow; the range of
//! integers and bytes behind the end would still be for us to check.

use std::fmt::{self, Display};

/// Reads one value, which must be all of `input`.
///
/// # Errors
/// What is wrong, and where. Also integers outside of `i64::MIN` to `u64::MAX`, nesting deeper
/// than 100, and more than a million values: a list of empty strings takes 32 times its encoding.
/// Whoever reads from strangers bounds the input as well.
///
/// ```
/// let torrent = examples::bencode::parse(b"d4:infod4:name1:xee")?;
/// let info = torrent.get("info").expect("it has one");
/// assert_eq!(info.raw(), b"d4:name1:xe");
/// assert!(examples::bencode::parse(b"i01e").is_err());
/// # Ok::<(), examples::bencode::Malformed>(())
/// ```
pub fn parse(input: &[u8]) -> Result<Value<'_>, Malformed> {
    let (value, rest) = parse_first(input)?;
    if !rest.is_empty() {
        return Err(Malformed {
            problem: "bytes behind the end",
            at: input.len() - rest.len(),
        });
    }
    Ok(value)
}

/// Reads the value that `input` begins with, and gives it and what lies behind it: for files and
/// streams of one value after another.
///
/// # Errors
/// Those of [`parse`], but for bytes behind the end.
///
/// ```
/// let (first, rest) = examples::bencode::parse_first(b"i1ei2e")?;
/// assert_eq!((first.integer(), rest), (Some(1), &b"i2e"[..]));
/// # Ok::<(), examples::bencode::Malformed>(())
/// ```
pub fn parse_first(input: &[u8]) -> Result<(Value<'_>, &[u8]), Malformed> {
    let mut parser = Parser {
        input,
        at: 0,
        values_left: VALUES_MAX,
    };
    let value = parser.value(DEPTH_MAX)?;
    Ok((value, &input[parser.at..]))
}

/// A value within the input it was read from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Value<'a> {
    raw: &'a [u8],
    kind: Kind<'a>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum Kind<'a> {
    /// Holds both `i64` and `u64`, and nothing beyond.
    Integer(i128),
    Bytes(&'a [u8]),
    List(Vec<Value<'a>>),
    /// Sorted by key.
    Dictionary(Vec<(&'a [u8], Value<'a>)>),
}

impl<'a> Value<'a> {
    /// The literal bytes of the value.
    ///
    /// ```
    /// assert_eq!(examples::bencode::parse(b"i7e")?.raw(), b"i7e");
    /// # Ok::<(), examples::bencode::Malformed>(())
    /// ```
    pub fn raw(&self) -> &'a [u8] {
        self.raw
    }

    /// The integer, if it is one and within the range of `T`.
    ///
    /// ```
    /// let value = examples::bencode::parse(b"i300e")?;
    /// assert_eq!(value.integer::<u16>(), Some(300));
    /// assert_eq!(value.integer::<u8>(), None);
    /// # Ok::<(), examples::bencode::Malformed>(())
    /// ```
    pub fn integer<T: TryFrom<i128>>(&self) -> Option<T> {
        match self.kind {
            Kind::Integer(integer) => T::try_from(integer).ok(),
            _ => None,
        }
    }

    /// The string, if it is one. Bencode's strings are bytes.
    ///
    /// ```
    /// assert_eq!(examples::bencode::parse(b"2:hi")?.bytes(), Some(&b"hi"[..]));
    /// # Ok::<(), examples::bencode::Malformed>(())
    /// ```
    pub fn bytes(&self) -> Option<&'a [u8]> {
        match self.kind {
            Kind::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The string, if it is one and UTF-8.
    ///
    /// ```
    /// assert_eq!(examples::bencode::parse(b"2:hi")?.text(), Some("hi"));
    /// # Ok::<(), examples::bencode::Malformed>(())
    /// ```
    pub fn text(&self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()?).ok()
    }

    /// The elements, if it is a list.
    ///
    /// ```
    /// let value = examples::bencode::parse(b"li1ei2ee")?;
    /// assert_eq!(value.list().map(<[_]>::len), Some(2));
    /// # Ok::<(), examples::bencode::Malformed>(())
    /// ```
    pub fn list(&self) -> Option<&[Value<'a>]> {
        match &self.kind {
            Kind::List(values) => Some(values),
            _ => None,
        }
    }

    /// The entries in the order of their keys, if it is a dictionary.
    ///
    /// ```
    /// let value = examples::bencode::parse(b"d1:ai1ee")?;
    /// assert_eq!(value.dictionary().map(<[_]>::len), Some(1));
    /// # Ok::<(), examples::bencode::Malformed>(())
    /// ```
    pub fn dictionary(&self) -> Option<&[(&'a [u8], Value<'a>)]> {
        match &self.kind {
            Kind::Dictionary(entries) => Some(entries),
            _ => None,
        }
    }

    /// The value of `key`, if it is a dictionary that has one.
    ///
    /// ```
    /// let value = examples::bencode::parse(b"d1:ai1ee")?;
    /// assert!(value.get("a").is_some() && value.get("b").is_none());
    /// # Ok::<(), examples::bencode::Malformed>(())
    /// ```
    pub fn get(&self, key: impl AsRef<[u8]>) -> Option<&Value<'a>> {
        let entries = self.dictionary()?;
        let place = entries.binary_search_by_key(&key.as_ref(), |(key, _)| key);
        place.ok().map(|place| &entries[place].1)
    }
}

/// Why something is not bencode.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Malformed {
    problem: &'static str,
    at: usize,
}

impl Display for Malformed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "not bencode: {} at byte {}",
            self.problem, self.at
        )
    }
}

impl std::error::Error for Malformed {}

struct Parser<'a> {
    input: &'a [u8],
    /// Never beyond the end of the input.
    at: usize,
    values_left: usize,
}

impl<'a> Parser<'a> {
    fn value(&mut self, depth_left: usize) -> Result<Value<'a>, Malformed> {
        self.values_left = match self.values_left.checked_sub(1) {
            Some(left) => left,
            None => return Err(self.malformed("more than a million values")),
        };
        let start = self.at;
        let kind = match self.peek() {
            Some(b'0'..=b'9') => Kind::Bytes(self.string()?),
            Some(b'i') => Kind::Integer(self.integer()?),
            Some(b'l' | b'd') if depth_left == 0 => {
                return Err(self.malformed("nesting deeper than 100"));
            }
            Some(b'l') => Kind::List(self.list(depth_left - 1)?),
            Some(b'd') => Kind::Dictionary(self.dictionary(depth_left - 1)?),
            Some(_) => return Err(self.malformed("neither 'i', 'l', 'd' nor a length")),
            None => return Err(self.malformed("an end where a value should be")),
        };
        let raw = &self.input[start..self.at];
        Ok(Value { raw, kind })
    }

    fn integer(&mut self) -> Result<i128, Malformed> {
        self.at += 1; // 'i'
        let is_negative = self.skip(b'-');
        let magnitude = i128::from(self.decimal()?);
        if is_negative && magnitude == 0 {
            return Err(self.malformed("-0"));
        }
        let integer = if is_negative { -magnitude } else { magnitude };
        if integer < i64::MIN.into() {
            return Err(self.malformed("an integer out of range"));
        }
        if !self.skip(b'e') {
            return Err(self.malformed("an integer without its 'e'"));
        }
        Ok(integer)
    }

    fn string(&mut self) -> Result<&'a [u8], Malformed> {
        let length = self.decimal()?;
        if !self.skip(b':') {
            return Err(self.malformed("a length without its ':'"));
        }
        let rest = &self.input[self.at..];
        let string = usize::try_from(length).ok().and_then(|n| rest.get(..n));
        let string = string.ok_or(self.malformed("a string longer than the input"))?;
        self.at += string.len();
        Ok(string)
    }

    fn list(&mut self, depth_left: usize) -> Result<Vec<Value<'a>>, Malformed> {
        self.at += 1; // 'l'
        let mut values = Vec::new();
        while !self.skip(b'e') {
            values.push(self.value(depth_left)?);
        }
        Ok(values)
    }

    fn dictionary(&mut self, depth_left: usize) -> Result<Vec<(&'a [u8], Value<'a>)>, Malformed> {
        self.at += 1; // 'd'
        let mut entries: Vec<(&[u8], Value<'_>)> = Vec::new();
        while !self.skip(b'e') {
            if !matches!(self.peek(), Some(b'0'..=b'9')) {
                return Err(self.malformed("a key that is no string"));
            }
            let key = self.string()?;
            if entries.last().is_some_and(|(before, _)| *before >= key) {
                return Err(self.malformed("a key that is not behind the one before"));
            }
            entries.push((key, self.value(depth_left)?));
        }
        Ok(entries)
    }

    /// Digits without a leading zero.
    fn decimal(&mut self) -> Result<u64, Malformed> {
        let start = self.at;
        let mut number = 0_u64;
        while let Some(digit @ b'0'..=b'9') = self.peek() {
            let next = number.checked_mul(10);
            let next = next.and_then(|tens| tens.checked_add((digit - b'0').into()));
            number = next.ok_or(self.malformed("a number out of range"))?;
            self.at += 1;
        }
        match &self.input[start..self.at] {
            [] => Err(self.malformed("a number without digits")),
            [b'0', _, ..] => Err(self.malformed("a number with a leading zero")),
            _ => Ok(number),
        }
    }

    fn peek(&self) -> Option<u8> {
        self.input.get(self.at).copied()
    }

    fn skip(&mut self, byte: u8) -> bool {
        let is_there = self.peek() == Some(byte);
        self.at += usize::from(is_there);
        is_there
    }

    fn malformed(&self, problem: &'static str) -> Malformed {
        Malformed {
            problem,
            at: self.at,
        }
    }
}

/// Torrents have three levels, or a few dozen with deep folders; the stack holds thousands.
const DEPTH_MAX: usize = 100;
/// 64 MB of values. A torrent of 200,000 files has as many.
const VALUES_MAX: usize = 1_000_000;

#[cfg(test)]
mod tests;
