//! What is bencode, and what is not.

use super::*;

#[test]
fn each_kind_of_value_is_read() {
    let value = parse(b"d1:bl0:i-7ee2:nod0:d1:xleeee").unwrap();
    let list = value.get("b").unwrap().list().unwrap();
    assert_eq!(list[0].bytes(), Some(&b""[..]));
    assert_eq!(list[1].integer::<i8>(), Some(-7));
    let inner = value.get("no").unwrap();
    assert_eq!(
        inner.get("").unwrap().get("x").unwrap().list(),
        Some(&[][..])
    );
    assert_eq!(inner.raw(), b"d0:d1:xleee");
    assert!(value.get("a").is_none() && value.list().is_none() && value.bytes().is_none());
    assert!(list[0].integer::<u64>().is_none() && list[0].get("b").is_none());
    assert_eq!(parse(b"1:\xff").unwrap().text(), None);
}

#[test]
fn integers_go_from_the_least_i64_to_the_greatest_u64() {
    let integer = |text: &str| parse(text.as_bytes()).map(|value| value.integer::<i128>());
    assert_eq!(integer("i0e"), Ok(Some(0)));
    assert_eq!(
        integer(&format!("i{}e", u64::MAX)),
        Ok(Some(u64::MAX.into()))
    );
    assert_eq!(
        integer(&format!("i{}e", i64::MIN)),
        Ok(Some(i64::MIN.into()))
    );
    assert!(integer("i18446744073709551616e").is_err());
    assert!(integer("i-9223372036854775809e").is_err());
}

#[test]
fn a_second_encoding_of_anything_is_refused() {
    for bad in [
        "",
        "i01e",
        "i-0e",
        "i-01e",
        "i00e",
        "ie",
        "i-e",
        "i+1e",
        "i 1e",
        "i1 e",
        "i1",
        "i",
        "01:a",
        "00:",
        "-1:a",
        "1",
        "1a",
        "2:a",
        "0",
        ":",
        "99999999999999999999:a",
        "18446744073709551615:a",
        "l",
        "li1e",
        "e",
        "d",
        "d1:a",
        "d1:ae",
        "di1ei1ee",
        "dlei1ee",
        "d1:bi1e1:ai1ee",
        "d1:ai1e1:ai1ee",
        "d2:aai1e1:bi1e2:abi1ee",
        "i1ei2e",
        "i1e\n",
        "x",
    ] {
        assert!(parse(bad.as_bytes()).is_err(), "{bad}");
    }
}

#[test]
fn depth_has_a_limit_before_the_stack_has() {
    let nested = |depth: usize| ["l".repeat(depth), "e".repeat(depth)].concat();
    assert!(parse(nested(DEPTH_MAX).as_bytes()).is_ok());
    let error = parse(nested(DEPTH_MAX + 1).as_bytes()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "not bencode: nesting deeper than 100 at byte 100"
    );
    assert!(parse("l".repeat(1_000_000).as_bytes()).is_err());
    assert!(parse("d0:".repeat(1_000_000).as_bytes()).is_err());
}

#[test]
fn a_value_is_not_larger_than_it_was() {
    assert!(
        size_of::<Value<'_>>() <= 64,
        "the documentation says how large"
    );
}

#[test]
fn the_number_of_values_has_a_limit() {
    let list = |count: usize| format!("l{}e", "0:".repeat(count));
    assert!(parse(list(VALUES_MAX - 1).as_bytes()).is_ok());
    assert!(parse(list(VALUES_MAX).as_bytes()).is_err());
}
