//! Server-Sent Events as text (WHATWG HTML, 9.2): pure.

/// Adds an event. A browser keeps its id, and names it when it connects again.
pub(crate) fn write_event(out: &mut String, name: &str, id: &str, data: &str) {
    for (field, value) in [("event", name), ("id", id)] {
        debug_assert!(!value.contains(['\r', '\n', '\0']), "{field}: {value:?}");
        out.extend([field, ": ", value, "\n"]);
    }
    // Every line end that the format knows, or a text could begin fields of its own.
    for line in data.replace("\r\n", "\n").split(['\r', '\n']) {
        out.extend(["data: ", line, "\n"]);
    }
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(data: &str) -> String {
        let mut out = String::new();
        write_event(&mut out, "message", "1", data);
        out
    }

    #[test]
    fn an_event_ends_with_an_empty_line_or_nobody_would_hear_of_it() {
        assert_eq!(event("hello"), "event: message\nid: 1\ndata: hello\n\n");
    }

    #[test]
    fn a_line_end_in_the_data_begins_no_field() {
        for end in ["\n", "\r", "\r\n"] {
            let text = event(&format!("a{end}event: fake"));
            assert_eq!(
                text,
                "event: message\nid: 1\ndata: a\ndata: event: fake\n\n"
            );
        }
        assert_eq!(event("\n"), "event: message\nid: 1\ndata: \ndata: \n\n");
    }
}
