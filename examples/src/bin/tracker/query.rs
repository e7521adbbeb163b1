//! The query of a request: names and percent-encoded bytes.

/// The items of a query in order; one without a `=` has an empty value.
pub(crate) fn items(query: &str) -> impl Iterator<Item = (&str, &str)> {
    let items = query.split('&').filter(|item| !item.is_empty());
    items.map(|item| item.split_once('=').unwrap_or((item, "")))
}

/// The bytes that a value stands for, one after another; `None` for a `%` that is followed by
/// anything but two hexadecimal digits.
pub(crate) fn decode(value: &str) -> impl Iterator<Item = Option<u8>> {
    let mut bytes = value.bytes();
    std::iter::from_fn(move || {
        Some(match bytes.next()? {
            b'%' => digit(bytes.next())
                .zip(digit(bytes.next()))
                .map(|(high, low)| high << 4 | low),
            b'+' => Some(b' '),
            byte => Some(byte),
        })
    })
}

/// A value that stands for exactly twenty bytes.
pub(crate) fn twenty(value: &str) -> Option<[u8; 20]> {
    let mut bytes = [0; 20];
    let mut decoded = decode(value);
    for byte in &mut bytes {
        *byte = decoded.next()??;
    }
    decoded.next().is_none().then_some(bytes)
}

/// Digits and nothing else; a number that `T` cannot hold is none.
pub(crate) fn number<T: std::str::FromStr>(value: &str) -> Option<T> {
    let is_number = value.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { value.parse().ok() } else { None }
}

fn digit(byte: Option<u8>) -> Option<u8> {
    let digit = char::from(byte?).to_digit(16)?;
    u8::try_from(digit).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(value: &str) -> Option<Vec<u8>> {
        decode(value).collect()
    }

    #[test]
    fn an_item_without_a_value_is_not_an_error() {
        let all: Vec<_> = items("a=1&&b&c=&d=x=y&").collect();
        assert_eq!(all, [("a", "1"), ("b", ""), ("c", ""), ("d", "x=y")]);
        assert_eq!(items("").count(), 0);
    }

    #[test]
    fn escapes_of_either_case_are_read_and_bad_ones_are_not() {
        assert_eq!(decoded("%ea%EA!+%2b"), Some(b"\xea\xea! +".to_vec()));
        for bad in ["%", "%1", "%g0", "%0g", "a%", "%%30", "%+1"] {
            assert_eq!(decoded(bad), None, "{bad}");
        }
    }

    #[test]
    fn twenty_bytes_are_neither_more_nor_less() {
        assert_eq!(twenty(&"%01".repeat(20)), Some([1; 20]));
        assert_eq!(twenty(&"a".repeat(20)), Some([b'a'; 20]));
        for bad in [
            "",
            &"a".repeat(19),
            &"a".repeat(21),
            &format!("{}%", "a".repeat(20)),
        ] {
            assert_eq!(twenty(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_number_has_digits_only() {
        assert_eq!(number("65535"), Some(65535_u16));
        for bad in ["", "+1", "-1", "65536", "1 ", "0x1", "1.0"] {
            assert_eq!(number::<u16>(bad), None, "{bad}");
        }
    }
}
