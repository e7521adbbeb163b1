//! A client's view of what a server sends: strict, so that every test that looks at an answer
//! checks its form too.

/// One answer, interim ones included.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let mut values = self.all(name);
        let first = values.next();
        assert_eq!(values.next(), None, "more than one {name}");
        first
    }

    pub(crate) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        let is_it = move |(known, _): &&(String, String)| known.eq_ignore_ascii_case(name);
        self.fields
            .iter()
            .filter(is_it)
            .map(|(_, value)| &value[..])
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn says_close(&self) -> bool {
        self.field("connection") == Some("close")
    }

    /// Without what depends on when it was made.
    pub(crate) fn undated(mut self) -> Answer {
        self.fields
            .retain(|(name, _)| !name.eq_ignore_ascii_case("date"));
        self
    }
}

/// The answer at the front of `bytes`, and how many it takes, if it is whole. An answer whose end
/// is that of the connection is never whole: see [`close_delimited`].
pub(crate) fn parse(bytes: &[u8], is_head: bool) -> Option<(Answer, usize)> {
    let (mut answer, start) = parse_head(bytes)?;
    let rest = &bytes[start..];
    let length = answer.field("content-length").map(|length| {
        assert!(length.bytes().all(|byte| byte.is_ascii_digit()), "{length}");
        length.parse::<usize>().unwrap()
    });
    let coding = answer.field("transfer-encoding").map(str::to_owned);
    assert!(length.is_none() || coding.is_none(), "two lengths");
    if answer.status < 200 || answer.status == 204 {
        assert!(
            length.is_none() && coding.is_none(),
            "a length with {}",
            answer.status
        );
    }
    let used = match (length, coding) {
        _ if is_head || answer.status < 200 || matches!(answer.status, 204 | 304) => 0,
        (Some(length), None) => {
            answer.body = rest.get(..length)?.to_vec();
            length
        }
        (None, Some(coding)) => {
            assert_eq!(coding, "chunked");
            let (body, used) = dechunk(rest)?;
            answer.body = body;
            used
        }
        _ => return None,
    };
    Some((answer, start + used))
}

/// All of what a connection has brought as one answer that ends with it.
pub(crate) fn close_delimited(bytes: &[u8]) -> Answer {
    let (mut answer, start) = parse_head(bytes).expect("a head");
    assert_eq!(answer.field("content-length"), None);
    assert_eq!(answer.field("transfer-encoding"), None);
    answer.body = bytes[start..].to_vec();
    answer
}

/// All answers in `bytes`, which must be whole, to requests of these methods. Those whose
/// requests have no method here were not to `HEAD`.
pub(crate) fn parse_all(bytes: &[u8], methods: &[&str]) -> Vec<Answer> {
    let mut methods = methods.iter();
    let mut is_head = methods.next() == Some(&"HEAD");
    let (mut answers, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let rest = &bytes[at..];
        let Some((answer, used)) = parse(rest, is_head) else {
            panic!("half an answer: {:?}", String::from_utf8_lossy(rest));
        };
        if answer.status >= 200 {
            is_head = methods.next() == Some(&"HEAD");
        }
        at += used;
        answers.push(answer);
    }
    answers
}

pub(crate) fn parse_head(bytes: &[u8]) -> Option<(Answer, usize)> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&bytes[..end]).unwrap();
    let mut lines = head.split("\r\n");
    let line = lines.next().unwrap();
    let (version, rest) = line.split_once(' ').expect("a status line");
    assert_eq!(version, "HTTP/1.1", "{line}");
    let (status, _reason) = rest.split_once(' ').expect("a blank behind the status");
    let fields = lines.map(|line| {
        assert!(!line.contains(['\r', '\n']), "{line:?}");
        let (name, value) = line.split_once(": ").expect("a field");
        (name.to_owned(), value.to_owned())
    });
    let answer = Answer {
        status: status.parse().unwrap(),
        fields: fields.collect(),
        body: Vec::new(),
    };
    assert_eq!(answer.field("server"), None);
    match answer.status {
        100 => assert!(answer.fields.is_empty(), "{head}"),
        _ => {
            let date = answer.field("date").expect("a date");
            assert!(httpdate::parse_http_date(date).is_ok(), "{date}");
        }
    }
    Some((answer, end + 4))
}

fn dechunk(bytes: &[u8]) -> Option<(Vec<u8>, usize)> {
    let (mut body, mut at) = (Vec::new(), 0);
    loop {
        let rest = &bytes[at..];
        let end = rest.windows(2).position(|window| window == b"\r\n")?;
        let digits = std::str::from_utf8(&rest[..end]).unwrap();
        let size = usize::from_str_radix(digits, 16).unwrap();
        assert_eq!(digits, format!("{size:x}"));
        let data = rest.get(end + 2..end + 2 + size + 2)?;
        assert_eq!(&data[size..], b"\r\n");
        body.extend_from_slice(&data[..size]);
        at += end + 2 + size + 2;
        if size == 0 {
            return Some((body, at));
        }
    }
}
