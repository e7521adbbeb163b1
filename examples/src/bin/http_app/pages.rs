//! The pages, put together once, and the policy that lets a browser run nothing but their own
//! script and style.

use examples::content_policy;
use httpserver::{Bytes, Error, Response, StatusCode};

pub(crate) struct Pages {
    home: Bytes,
    not_found: Bytes,
    policy: String,
}

impl Pages {
    pub(crate) fn new() -> Pages {
        let home = format!(include_str!("page.html"), style = STYLE, script = SCRIPT);
        let not_found = format!(include_str!("not_found.html"), style = STYLE);
        Pages {
            home: home.into(),
            not_found: not_found.into(),
            policy: content_policy(SCRIPT, STYLE),
        }
    }

    pub(crate) fn home(&self) -> Result<Response, Error> {
        self.with_policy(Response::html(self.home.clone()))
    }

    pub(crate) fn not_found(&self) -> Result<Response, Error> {
        let page = Response::html(self.not_found.clone());
        self.with_policy(page.with_status(StatusCode::NOT_FOUND))
    }

    fn with_policy(&self, page: Response) -> Result<Response, Error> {
        page.with_header("Content-Security-Policy", &self.policy)?
            .with_header("Referrer-Policy", "no-referrer")?
            .with_header("Cache-Control", "no-cache")
    }
}

const STYLE: &str = concat!(include_str!("../../page.css"), include_str!("page.css"));
const SCRIPT: &str = include_str!("page.js");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_script_or_style_ends_its_element_early() {
        assert!(!SCRIPT.to_lowercase().contains("</script"));
        assert!(!SCRIPT.contains("<!--"));
        assert!(!STYLE.to_lowercase().contains("</style"));
    }

    #[test]
    fn the_pages_have_exactly_what_the_policy_allows() {
        let pages = Pages::new();
        let home = String::from_utf8(pages.home.to_vec()).unwrap();
        assert!(home.contains(&format!("<style>{STYLE}</style>")));
        assert!(home.contains(&format!("<script>{SCRIPT}</script>")));
        // What the policy would keep from working, and nobody would notice at once.
        for forbidden in [" style=", " onclick=", " src=", "https://"] {
            assert!(!home.contains(forbidden), "{forbidden}");
        }
    }
}
