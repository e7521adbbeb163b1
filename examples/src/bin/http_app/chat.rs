//! Saying something: `POST /messages` with `{"name": "anna", "text": "hello"}`.

use std::time::Instant;

use httpserver::{Error, Request, Response, StatusCode};
use ioloop::IoLoop;
use serde_json::{Value, json};

use crate::app::App;

pub(crate) struct Message {
    name: String,
    text: String,
    said: Instant,
}

impl Message {
    /// What the page is told. It gets an age, not a time: nobody's clock need be right.
    pub(crate) fn to_json(&self, now: Instant) -> String {
        let age = now.saturating_duration_since(self.said).as_secs();
        json!({ "name": self.name, "text": self.text, "age": age }).to_string()
    }
}

pub(crate) async fn post(app: &App, request: &mut Request) -> Result<Response, Error> {
    if !is_from_our_page(request.header("origin"), request.host()) {
        return Err(refused(StatusCode::FORBIDDEN, "not from another site"));
    }
    request.body().set_max_size(BODY_MAX);
    let (name, text) = parse(&request.body().text().await?)?;
    let said = IoLoop::current().now();
    app.messages.borrow_mut().push(Message { name, text, said });
    app.news.notify(usize::MAX);
    Ok(Response::from(StatusCode::NO_CONTENT))
}

/// A browser says which site's page it acts for; no other site speaks for its visitors here. What
/// is no browser says nothing.
fn is_from_our_page(origin: Option<&str>, host: Option<&str>) -> bool {
    let site = origin.map(|origin| origin.split_once("://").unwrap_or_default().1);
    site.is_none_or(|site| Some(site) == host)
}

/// The name and the text.
fn parse(body: &str) -> Result<(String, String), Error> {
    let message: Value = serde_json::from_str(body)
        .map_err(|error| refused(StatusCode::BAD_REQUEST, format!("no JSON: {error}")))?;
    let field = |name: &str, max: usize| {
        let unfit = |why: String| refused(StatusCode::UNPROCESSABLE_ENTITY, why);
        let text = message[name].as_str().unwrap_or_default().trim();
        match text.len() {
            0 => Err(unfit(format!("a message needs a {name}"))),
            length if length > max => Err(unfit(format!(
                "the {name} has {length} bytes, {max} are allowed"
            ))),
            _ => Ok(text.to_owned()),
        }
    };
    Ok((field("name", NAME_MAX)?, field("text", TEXT_MAX)?))
}

fn refused(status: StatusCode, why: impl Into<String>) -> Error {
    Error::new(status).with_message(why)
}

/// Messages that are kept for tabs that come back; two megabytes and a half at most.
pub(crate) const KEPT_MAX: usize = 1000;

/// Bytes of a name: forty letters, or ten of the longest characters.
const NAME_MAX: usize = 40;

/// Bytes of a text: a screenful.
const TEXT_MAX: usize = 2000;

/// Bytes of a body: JSON may write each byte of a text as six.
const BODY_MAX: u64 = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn status(body: &str) -> u16 {
        parse(body).map_or_else(|error| error.status().as_u16(), |_| 204)
    }

    #[test]
    fn what_is_no_message_is_not_taken_for_one() {
        assert_eq!(status(r#"{"name": "anna", "text": "hello"}"#), 204);
        for body in ["", "hello", r#"{"name": "anna", "text": "#] {
            assert_eq!(status(body), 400, "{body}");
        }
        for body in [
            "[]",
            "7",
            r#"{"name": "anna"}"#,
            r#"{"name": 1, "text": "a"}"#,
        ] {
            assert_eq!(status(body), 422, "{body}");
        }
    }

    #[test]
    fn neither_name_nor_text_is_empty_or_over_its_limit() {
        let status =
            |name: &str, text: &str| status(&json!({ "name": name, "text": text }).to_string());
        assert_eq!(status(&"a".repeat(NAME_MAX), &"b".repeat(TEXT_MAX)), 204);
        assert_eq!(status(&"a".repeat(NAME_MAX + 1), "b"), 422);
        assert_eq!(status("a", &"ü".repeat(TEXT_MAX / 2 + 1)), 422);
        assert_eq!(status(" \n", "b"), 422);
        assert_eq!(status("a", "\u{2003}"), 422);
    }

    #[test]
    fn the_longest_text_is_not_over_the_limit_of_a_body_however_it_is_written() {
        let escaped = r"\u0001".repeat(NAME_MAX + TEXT_MAX);
        assert!(escaped.len() + r#"{"name":"","text":""}"#.len() < BODY_MAX as usize);
    }

    #[test]
    fn another_site_does_not_speak_for_its_visitors() {
        let host = Some("127.0.0.1:8888");
        assert!(is_from_our_page(Some("http://127.0.0.1:8888"), host));
        assert!(is_from_our_page(None, host));
        assert!(!is_from_our_page(Some("http://127.0.0.1:9999"), host));
        assert!(!is_from_our_page(Some("null"), host));
        assert!(!is_from_our_page(Some("null"), None));
    }
}
