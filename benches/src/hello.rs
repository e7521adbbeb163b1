//! The one response that all HTTP servers here give: who sends a header more or less is not
//! comparable.

/// Must be what `hello` of `httpserver` sends; the hand-written servers and the peers follow.
pub const HEADERS: [(&str, Value); 3] = [
    ("Content-Type", Value::Fixed("text/plain; charset=utf-8")),
    ("Content-Length", Value::BodyLength),
    ("Date", Value::Now),
];

pub const BODY: &str = "Hello, World!";

pub enum Value {
    Fixed(&'static str),
    BodyLength,
    Now,
}

/// Writes the status line and the headers, piece by piece, without the blank line.
#[inline]
pub fn write_head(output: &mut Vec<u8>, now: &[u8]) {
    output.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
    for (name, value) in &HEADERS {
        output.extend_from_slice(name.as_bytes());
        output.extend_from_slice(b": ");
        match value {
            Value::Fixed(value) => output.extend_from_slice(value.as_bytes()),
            Value::BodyLength => write_decimal(output, BODY.len()),
            Value::Now => output.extend_from_slice(now),
        }
        output.extend_from_slice(b"\r\n");
    }
}

fn write_decimal(output: &mut Vec<u8>, mut number: usize) {
    let mut digits = [0; DIGITS_MAX];
    let mut first = DIGITS_MAX;
    loop {
        first -= 1;
        digits[first] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    output.extend_from_slice(&digits[first..]);
}

/// Of 2^64.
const DIGITS_MAX: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimal_has_no_zeros_in_front_and_loses_none_behind() {
        for number in [0, 7, 10, 1300, usize::MAX] {
            let mut output = Vec::new();
            write_decimal(&mut output, number);
            assert_eq!(output, number.to_string().as_bytes());
        }
    }
}
