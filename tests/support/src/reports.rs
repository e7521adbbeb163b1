//! What was reported through `tracing`, for tests to look at.

use std::cell::RefCell;
use std::fmt::{self, Write};
use std::sync::Once;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber, span};

/// Takes the warnings and errors that were reported on this thread since the last call.
pub fn reports() -> Vec<String> {
    REPORTS.with(RefCell::take)
}

/// Takes what `tcpserver` has said on this thread below the level of a warning.
pub fn remarks() -> Vec<String> {
    REMARKS.with(RefCell::take)
}

/// Begins to listen, in the whole process, and forgets what this thread has heard.
pub fn capture_reports() {
    static INSTALL: Once = Once::new();
    INSTALL.call_once(|| {
        let installed = tracing::subscriber::set_global_default(Recorder);
        installed.expect("nobody else installs a subscriber");
    });
    drop((reports(), remarks()));
}

thread_local! {
    static REPORTS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
    static REMARKS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// One subscriber for the process, with lists for each thread.
struct Recorder;

impl Subscriber for Recorder {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::WARN || metadata.target().starts_with("tcpserver")
    }

    fn event(&self, event: &Event<'_>) {
        let mut text = Text(String::new());
        event.record(&mut text);
        let list = match *event.metadata().level() <= Level::WARN {
            true => &REPORTS,
            false => &REMARKS,
        };
        let _ = list.try_with(|list| {
            let mut list = list.borrow_mut();
            if list.len() < REPORTS_MAX {
                list.push(text.0);
            }
        });
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

/// A report as text: `field=value` for each field.
struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let _ = write!(self.0, "{}={value:?} ", field.name());
    }
}

/// Code that goes round in circles would otherwise fill the memory with what it says.
const REPORTS_MAX: usize = 100;
