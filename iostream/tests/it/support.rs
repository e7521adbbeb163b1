//! What every test needs: a loop, bounded driving, captured reports, and a look at descriptors.

use std::cell::{Cell, RefCell};
use std::fmt::{self, Write};
use std::future::poll_fn;
use std::os::fd::{AsFd, AsRawFd};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Once;
use std::task::Poll;
use std::time::Duration;

use futures_lite::future::yield_now;
use ioloop::{Builder, IoLoop, Task};
use iostream::OnClose;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber, span};

/// Runs `test` on a loop with the real time: for everything that has the kernel carry bytes.
pub(crate) fn on_loop<F: Future<Output: 'static> + 'static>(test: F) -> F::Output {
    on_loop_with(Builder::new(), Duration::from_secs(30), test)
}

/// As [`on_loop`], with virtual time: for everything that has a deadline.
pub(crate) fn on_virtual_loop<F: Future<Output: 'static> + 'static>(test: F) -> F::Output {
    let virtual_time = Builder::new().virtual_time().seed(7);
    on_loop_with(virtual_time, Duration::from_secs(30 * 24 * 3600), test)
}

/// Fails if `test` has not ended by `limit` of the loop's time or after so many turns, and if
/// anything was reported that the test has not taken with [`reports`]: a panic in a task is
/// contained by the loop.
fn on_loop_with<F: Future<Output: 'static> + 'static>(
    builder: Builder,
    limit: Duration,
    test: F,
) -> F::Output {
    capture_reports();
    let made = builder.slow_callback(Duration::MAX).make();
    let open = Open(made.expect("the test before this one has closed its loop"));
    let io_loop = &open.0;
    let task = io_loop.spawn(async {
        let _end = EndTheTurn;
        test.await
    });
    let late = Rc::new(Cell::new(false));
    let is_late = late.clone();
    let watchdog = io_loop.call_later(limit, move || {
        let _end = EndTheTurn;
        is_late.set(true);
    });
    for _ in 0..TURNS_MAX {
        if task.is_finished() {
            break;
        }
        assert!(
            !late.get(),
            "not within {limit:?}; what lives:\n{}",
            io_loop.dump()
        );
        io_loop.turn(None);
    }
    assert!(
        task.is_finished(),
        "not within {TURNS_MAX} turns:\n{}",
        io_loop.dump()
    );
    io_loop.remove_timeout(watchdog);
    let output = io_loop.run_until(task);
    drop(open);
    let unexpected = reports();
    assert!(unexpected.is_empty(), "{unexpected:#?}");
    output
}

/// Keeps this turn from waiting for anything else; also when the test panics.
struct EndTheTurn;

impl Drop for EndTheTurn {
    fn drop(&mut self) {
        if let Some(io_loop) = IoLoop::try_current() {
            io_loop.add_callback(|| {});
        }
    }
}

/// Closes the loop also when the test fails, since the next test may run on this thread.
struct Open(IoLoop);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// Lets everything else have `count` turns.
pub(crate) async fn turns(count: usize) {
    for _ in 0..count {
        yield_now().await;
    }
}

/// Gives everything else turns until `condition` holds; without it the test is stopped.
pub(crate) async fn until(condition: impl Fn() -> bool) {
    while !condition() {
        yield_now().await;
    }
}

/// Spawns on this thread's loop.
#[track_caller]
pub(crate) fn spawn<T: 'static>(future: impl Future<Output = T> + 'static) -> Task<T> {
    IoLoop::current().spawn(future)
}

/// Polls `future` once and drops it, as a combinator does whose other future was ready.
pub(crate) async fn attempt<F: Future>(future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    poll_fn(|context| {
        Poll::Ready(match future.as_mut().poll(context) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        })
    })
    .await
}

/// How long `future` takes by the loop's clock, and what it says.
pub(crate) async fn timed<F: Future>(future: F) -> (Duration, F::Output) {
    let began = IoLoop::current().now();
    let output = future.await;
    (IoLoop::current().now() - began, output)
}

/// Bytes in which every part differs from its neighbours, so that a lost one shows.
pub(crate) fn pattern(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    fastrand::Rng::with_seed(length as u64).fill(&mut bytes);
    bytes
}

/// How many bytes a stream holds that its transport has not taken; it is not in the interface.
pub(crate) fn queued(stream: &impl fmt::Debug) -> usize {
    number(stream, "queued: ")
}

/// How many bytes a stream holds that nobody has read.
pub(crate) fn unread(stream: &impl fmt::Debug) -> usize {
    number(stream, "unread: ")
}

fn number(stream: &impl fmt::Debug, name: &str) -> usize {
    let text = format!("{stream:?}");
    let (_, after) = text.split_once(name).unwrap();
    let (number, _) = after.split_once(',').unwrap();
    number.parse().unwrap()
}

/// Counts how often a stream said that it is closed.
#[derive(Default)]
pub(crate) struct Closes(Cell<usize>);

impl Closes {
    pub(crate) fn new() -> Rc<Closes> {
        Rc::default()
    }

    pub(crate) fn count(&self) -> usize {
        self.0.get()
    }
}

impl OnClose for Closes {
    fn closed(&self) {
        self.0.set(self.0.get() + 1);
    }
}

/// What a descriptor refers to, whatever its number: `socket:[4711]`. Other tests open and close
/// descriptors of their own meanwhile, so counting them would say nothing.
#[derive(Debug)]
pub(crate) struct File(std::path::PathBuf);

impl File {
    pub(crate) fn of(fd: &impl AsFd) -> File {
        let number = fd.as_fd().as_raw_fd();
        File(std::fs::read_link(format!("/proc/self/fd/{number}")).unwrap())
    }

    /// Whether any descriptor of this process refers to it.
    pub(crate) fn is_open(&self) -> bool {
        let descriptors = std::fs::read_dir("/proc/self/fd").unwrap();
        descriptors
            .filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok())
            .any(|target| target == self.0)
    }
}

/// Takes the warnings and errors that were reported on this thread since the last call.
pub(crate) fn reports() -> Vec<String> {
    REPORTS.with(RefCell::take)
}

fn capture_reports() {
    static INSTALL: Once = Once::new();
    INSTALL.call_once(|| {
        let installed = tracing::subscriber::set_global_default(Recorder);
        installed.expect("nobody else installs a subscriber");
    });
    drop(reports());
}

thread_local! {
    static REPORTS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// One subscriber for the process, with a list for each thread.
struct Recorder;

impl Subscriber for Recorder {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::WARN
    }

    fn event(&self, event: &Event<'_>) {
        let mut text = Text(String::new());
        event.record(&mut text);
        let _ = REPORTS.try_with(|reports| reports.borrow_mut().push(text.0));
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

/// A stream that wakes itself for ever would otherwise run for as long as the test does.
const TURNS_MAX: usize = 2_000_000;
