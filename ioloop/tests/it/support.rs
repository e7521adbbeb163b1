//! What every test needs: a loop for each way of waiting, bounded driving, and captured reports.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::os::fd::AsFd;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use ioloop::{Builder, IoLoop, Waiting};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use test_support::capture_reports;
pub(crate) use test_support::{flag, reports};

/// Runs `test` on a loop that waits directly, then on one that waits portably.
///
/// A panic in a callback, handler or task is contained by the loop, so a failed assertion there
/// shows as a report: whatever the test has not taken with [`reports`] fails it.
pub(crate) fn both_ways(test: impl Fn(&IoLoop)) {
    both_ways_with(patient(), test);
}

/// As [`both_ways`], with virtual time: for everything that has a deadline.
pub(crate) fn both_ways_in_virtual_time(test: impl Fn(&IoLoop)) {
    // A turn may jump as far as it likes.
    WAIT_MAX.set(Duration::from_secs(3600));
    both_ways_with(patient().virtual_time().seed(7), test);
    WAIT_MAX.set(REAL_WAIT_MAX);
}

/// On a busy machine any code may seem to hold the loop; tests of the warning ask for it.
pub(crate) fn patient() -> Builder {
    Builder::new().slow_callback(Duration::MAX)
}

pub(crate) fn both_ways_with(builder: Builder, test: impl Fn(&IoLoop)) {
    capture_reports();
    for waiting in [Waiting::Direct, Waiting::Portable] {
        let made = builder.clone().waiting(waiting).make();
        let open = Open(made.expect("the test before this one has closed its loop"));
        if cfg!(target_os = "linux") {
            assert_eq!(open.0.waiting(), waiting);
        }
        test(&open.0);
        drop(open);
        let unexpected = reports();
        assert!(unexpected.is_empty(), "{waiting:?}: {unexpected:#?}");
    }
}

/// Closes the loop also when the test fails, since the next test may run on this thread.
struct Open(IoLoop);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// Runs turns until `condition` holds; fails after a bounded number of them.
pub(crate) fn drive_until(io_loop: &IoLoop, condition: impl Fn() -> bool) {
    for _ in 0..TURNS_MAX {
        if condition() {
            return;
        }
        io_loop.turn(Some(WAIT_MAX.get()));
    }
    panic!(
        "not within {TURNS_MAX} turns; what lives:\n{}",
        io_loop.dump()
    );
}

/// Runs one turn without waiting.
pub(crate) fn turn(io_loop: &IoLoop) {
    io_loop.turn(Some(Duration::ZERO));
}

/// What the tests note, in order.
#[derive(Clone, Debug)]
pub(crate) struct Notes<T>(Rc<RefCell<Vec<T>>>);

impl<T: Clone> Notes<T> {
    pub(crate) fn new() -> Notes<T> {
        Notes(Rc::default())
    }

    pub(crate) fn add(&self, note: T) {
        self.0.borrow_mut().push(note);
    }

    pub(crate) fn all(&self) -> Vec<T> {
        self.0.borrow().clone()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.borrow().len()
    }
}

/// Sets a flag, or calls a closure, when it is dropped.
pub(crate) struct OnDrop<F: FnMut()>(pub(crate) F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// The waker of whoever awaits this.
pub(crate) async fn own_waker() -> Waker {
    poll_fn(|context| Poll::Ready(context.waker().clone())).await
}

/// Suspends the task until somebody else wakes it.
pub(crate) async fn suspended() {
    let mut asked = false;
    poll_fn(|_| match std::mem::replace(&mut asked, true) {
        true => Poll::Ready(()),
        false => Poll::Pending,
    })
    .await;
}

/// Whether the next wait would return at once, as a host of the loop sees it.
pub(crate) fn has_event(io_loop: &IoLoop) -> bool {
    let mut watched = [PollFd::from_borrowed_fd(io_loop.as_fd(), PollFlags::IN)];
    let nothing = Timespec::try_from(Duration::ZERO).unwrap();
    poll(&mut watched, Some(&nothing)).unwrap() > 0
}

/// Holds the thread for at least `duration`, as slow code does.
#[expect(
    clippy::disallowed_methods,
    reason = "tests of slowness need to be slow"
)]
pub(crate) fn hold_the_thread(duration: Duration) {
    std::thread::sleep(duration);
}

/// The real time, which some tests compare with the loop's.
#[expect(
    clippy::disallowed_methods,
    reason = "the loop's time is what is tested"
)]
pub(crate) fn real_time() -> std::time::Instant {
    std::time::Instant::now()
}

/// Generous: other tests share the processor. No test needs more than a few dozen.
const TURNS_MAX: usize = 2_000;

thread_local! {
    static WAIT_MAX: Cell<Duration> = const { Cell::new(REAL_WAIT_MAX) };
}

/// A turn that waits for another thread waits for this long at most.
const REAL_WAIT_MAX: Duration = Duration::from_millis(10);
