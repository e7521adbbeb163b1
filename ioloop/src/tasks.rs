//! Tasks: futures that the loop polls, and the handle to one.

use std::fmt;
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, Waker};

use async_task::{Builder, ScheduleInfo, WithInfo};
use pin_project_lite::pin_project;
use slab::Slab;

use crate::io_loop::{Core, IoLoop};
use crate::panics::{Reported, contain, report};
use crate::places::Place;
use crate::thread;

/// A handle to a spawned future; awaiting it gives the future's output.
///
/// Dropping the handle cancels the task: the loop drops its future, at the next turn at latest. Call
/// [`detach`](Task::detach) to let it run on by itself.
///
/// # Panics
/// Awaiting a task that panicked goes on with that panic, which was reported already. Awaiting a
/// task whose loop was closed panics too.
///
/// # Cancel safety
/// Awaiting by `&mut` may be given up and taken up again.
///
/// ```
/// let io_loop = ioloop::IoLoop::current();
/// let task = io_loop.spawn(async { 6 * 7 });
/// assert_eq!(io_loop.run_until(task), 42);
/// ```
#[must_use = "dropping a task cancels it; call detach() to let it run by itself"]
pub struct Task<T> {
    inner: async_task::Task<Outcome<T>, Label>,
}

impl<T> Task<T> {
    /// Lets the task run to its end by itself. A panic in it is still reported.
    ///
    /// ```
    /// ioloop::IoLoop::current().spawn(async { println!("hello") }).detach();
    /// ```
    pub fn detach(self) {
        self.inner.detach();
    }

    /// Cancels the task and waits until its future is dropped. Gives the output if the task had
    /// finished before.
    ///
    /// ```
    /// let io_loop = ioloop::IoLoop::current();
    /// let forever = io_loop.spawn(std::future::pending::<()>());
    /// assert_eq!(io_loop.run_until(forever.cancel()), None);
    /// ```
    pub async fn cancel(self) -> Option<T> {
        let outcome = self.inner.fallible().cancel().await?;
        outcome.take().ok()
    }

    /// Whether the task has finished or was cancelled.
    ///
    /// ```
    /// let io_loop = ioloop::IoLoop::current();
    /// let task = io_loop.spawn(async {});
    /// assert!(!task.is_finished());
    /// io_loop.turn(Some(std::time::Duration::ZERO));
    /// assert!(task.is_finished());
    /// ```
    pub fn is_finished(&self) -> bool {
        self.inner.is_finished()
    }
}

impl<T> Future for Task<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        if self.inner.metadata().is_dropped() {
            panic!("no output: the task's event loop is closed");
        }
        let outcome = Pin::new(&mut self.inner).poll(context);
        outcome.map(|outcome| match outcome.take() {
            Ok(output) => output,
            Err(reported) => resume_unwind(reported),
        })
    }
}

impl<T> fmt::Debug for Task<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Task")
            .field("is_finished", &self.is_finished())
            .finish()
    }
}

impl IoLoop {
    /// Runs `future` on this loop, beside everything else. It is first polled by the loop, in this
    /// turn or the next, never inline.
    ///
    /// The future need not be `Send`: it never leaves this thread. A panic in it is reported once
    /// through `tracing`, also when the task is detached, and ends only this task. On a loop that
    /// is closed the future is dropped at once.
    ///
    /// ```
    /// use std::{cell::Cell, rc::Rc};
    ///
    /// let io_loop = ioloop::IoLoop::current();
    /// let done = Rc::new(Cell::new(false));
    /// let flag = done.clone();
    /// let task = io_loop.spawn(async move { flag.set(true) });
    /// io_loop.run_until(task);
    /// assert!(done.get());
    /// ```
    #[track_caller]
    pub fn spawn<F>(&self, future: F) -> Task<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        self.spawn_at(Location::caller(), future)
    }

    /// Has every task polled once more, as if something that it waits for had happened. For a word
    /// that all of them may wait for, so rarely said that nobody wants to keep a list of who does.
    ///
    /// ```
    /// let io_loop = ioloop::IoLoop::current();
    /// let _task = io_loop.spawn(std::future::pending::<()>());
    /// io_loop.turn(Some(std::time::Duration::ZERO));
    /// io_loop.wake_tasks();
    /// io_loop.turn(Some(std::time::Duration::ZERO));
    /// assert_eq!(io_loop.metrics().polls, 2);
    /// ```
    pub fn wake_tasks(&self) {
        let wakers = self.core.tasks.borrow().wakers();
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Whether `waker` is that of the task which this thread's loop polls just now: whether
    /// [`wake_tasks`](IoLoop::wake_tasks) wakes whoever polls with it.
    ///
    /// ```
    /// use std::future::poll_fn;
    /// use std::task::{Poll, Waker};
    /// use ioloop::IoLoop;
    ///
    /// let io_loop = IoLoop::current();
    /// let task = io_loop.spawn(poll_fn(|context| {
    ///     assert!(!IoLoop::polls_with(Waker::noop()));
    ///     Poll::Ready(IoLoop::polls_with(context.waker()))
    /// }));
    /// assert!(io_loop.run_until(task));
    /// ```
    #[inline]
    pub fn polls_with(waker: &Waker) -> bool {
        thread::polls_with(waker)
    }

    pub(crate) fn spawn_at<F>(
        &self,
        location: &'static Location<'static>,
        future: F,
    ) -> Task<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        let place = self.core.places.number(location);
        let index = self.core.tasks.borrow_mut().insert(place);
        let entry = TaskEntry {
            core: self.core.clone(),
            index,
            place,
        };
        let inbox = self.core.inbox.clone();
        let schedule = move |runnable: LabelledRunnable, info: ScheduleInfo| {
            thread::schedule(&inbox, runnable, info);
        };
        let label = Label(AtomicU32::new(index));
        let (runnable, task) = Builder::new().metadata(label).spawn_local(
            |_| Tracked {
                live: Some(Live { future, entry }),
            },
            WithInfo(schedule),
        );

        if self.is_closed() {
            drop_unfinished(runnable);
        } else {
            self.core
                .tasks
                .borrow_mut()
                .set_waker(index, runnable.waker());
            runnable.schedule();
        }
        Task { inner: task }
    }
}

/// What async-task keeps beside a future, in a gap of its own header that has room for no more:
/// the task's number in the table, or [`DROPPED`](Label::DROPPED).
pub(crate) struct Label(AtomicU32);

impl Label {
    /// The loop was closed before the task had an output.
    const DROPPED: u32 = u32::MAX;

    fn index(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }

    fn is_dropped(&self) -> bool {
        self.index() == Label::DROPPED
    }
}

/// A task that is to be polled.
pub(crate) type LabelledRunnable = async_task::Runnable<Label>;

/// Drops the future of a task, for closing.
pub(crate) fn drop_unfinished(runnable: LabelledRunnable) {
    let label = runnable.metadata();
    label.0.store(Label::DROPPED, Ordering::Relaxed);
    drop(runnable);
}

pin_project! {
    /// A spawned future, with its panics contained and its place in the table given back.
    struct Tracked<F> {
        // None only while this is dropped.
        #[pin]
        live: Option<Live<F>>,
    }

    impl<F> PinnedDrop for Tracked<F> {
        /// async-task aborts the process if a destructor panics while it drops a task.
        fn drop(this: Pin<&mut Self>) {
            let mut live = this.project().live;
            if let Some(entry) = live.as_mut().as_pin_mut().map(|live| live.project().entry) {
                entry.enter();
                let location = entry.location();
                contain("the destructor of a task", || location, || live.set(None));
            }
        }
    }
}

pin_project! {
    struct Live<F> {
        // Dropped first, so that the table is empty only when every future is gone.
        #[pin]
        future: F,
        entry: TaskEntry,
    }
}

impl<F: Future> Future for Tracked<F> {
    type Output = Outcome<F::Output>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let live = self.project().live.as_pin_mut();
        let live = live.expect("async-task polls no finished task").project();
        let (future, entry) = (live.future, live.entry);
        entry.enter();
        thread::begin_poll(context.waker());
        let result = match catch_unwind(AssertUnwindSafe(|| future.poll(context))) {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(output)) => Ok(output),
            Err(payload) => Err(report("a task", entry.location(), payload)),
        };
        Poll::Ready(Outcome {
            result: Some(result),
            location: entry.location(),
        })
    }
}

/// What a task leaves behind: its output, or the panic that ended it.
struct Outcome<T> {
    /// Empty only while this is dropped.
    result: Option<Result<T, Box<Reported>>>,
    location: &'static Location<'static>,
}

impl<T> Outcome<T> {
    fn take(mut self) -> Result<T, Box<Reported>> {
        self.result
            .take()
            .expect("it is taken only here and in `drop`")
    }
}

impl<T> Drop for Outcome<T> {
    /// async-task aborts the process if the destructor of an output that nobody takes panics.
    fn drop(&mut self) {
        if let Some(result) = self.result.take() {
            contain(
                "the destructor of an output",
                || self.location,
                || {
                    drop(result);
                },
            );
        }
    }
}

/// A task's place in the table; gives it back when the future is gone.
struct TaskEntry {
    core: Rc<Core>,
    index: u32,
    place: Place,
}

impl TaskEntry {
    /// The task's own code runs next.
    fn enter(&self) {
        self.core.last_task.set(Some(self.place));
    }

    /// Where the task was made.
    fn location(&self) -> &'static Location<'static> {
        self.core.places.location(self.place)
    }
}

impl Drop for TaskEntry {
    fn drop(&mut self) {
        // The waker may hold the last reference to the task: it goes when the borrow has ended.
        let waker = self.core.tasks.borrow_mut().remove(self.index, self.place);
        drop(waker);
    }
}

/// Every task that has not ended, so that `close` can reach it and `dump` can name it.
#[derive(Default)]
pub(crate) struct TaskTable {
    /// A waker that does nothing stands for a task that is just being made.
    wakers: Slab<Waker>,
    /// How many there are of each place, by its number.
    made_at: Vec<usize>,
}

impl TaskTable {
    fn insert(&mut self, place: Place) -> u32 {
        if self.made_at.len() <= place.index() {
            self.made_at.resize(place.index() + 1, 0);
        }
        self.made_at[place.index()] += 1;
        self.wakers.insert(Waker::noop().clone()) as u32
    }

    fn set_waker(&mut self, index: u32, waker: Waker) {
        self.wakers[index as usize] = waker;
    }

    fn remove(&mut self, index: u32, place: Place) -> Waker {
        self.made_at[place.index()] -= 1;
        self.wakers.remove(index as usize)
    }

    pub(crate) fn wakers(&self) -> Vec<Waker> {
        self.wakers.iter().map(|(_, waker)| waker.clone()).collect()
    }

    /// How many tasks were made at each place.
    pub(crate) fn made_at(&self) -> &[usize] {
        &self.made_at
    }

    pub(crate) fn len(&self) -> usize {
        self.wakers.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.wakers.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_pointer_width = "64")]
    fn a_task_is_not_larger_than_it_was() {
        // Every idle connection pays for it.
        assert_eq!(size_of::<Tracked<u64>>(), size_of::<u64>() + 16);
        assert_eq!(size_of::<Label>(), 4);
    }
}
