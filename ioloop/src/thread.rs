//! What a thread holds of its loop: the handle, and the queue of tasks that are ready to run.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::task::{RawWakerVTable, Waker};
use std::{mem, ptr};

use async_task::ScheduleInfo;

use crate::inbox::Inbox;
use crate::io_loop::IoLoop;
use crate::tasks::LabelledRunnable;

thread_local! {
    static THREAD: Thread = const { Thread::new() };
    /// Zero while the thread has no loop, and when it ends. Apart, as the next: every wake-up asks
    /// for it, and what needs no destructor is reached faster.
    static LOOP_ID: Cell<usize> = const { Cell::new(0) };
    /// What the waker is made of with which a task is polled just now. While the loop goes from one
    /// task to the next it is the last one's: no code asks then that polls with another's.
    static POLLING: Cell<WakerParts> = const { Cell::new(NO_WAKER) };
}

type WakerParts = (*const (), *const RawWakerVTable);
const NO_WAKER: WakerParts = (ptr::null(), ptr::null());

/// One loop per thread makes one queue per thread enough: it belongs to the loop of `LOOP_ID`.
struct Thread {
    ready: RefCell<VecDeque<LabelledRunnable>>,
    /// Tasks that were woken while they ran, as `yield_now` does. They wait for the next turn, so
    /// that giving way lets input and timers in, whatever the budget of a turn is.
    yielded: RefCell<Vec<LabelledRunnable>>,
    current: RefCell<Option<IoLoop>>,
}

impl Thread {
    const fn new() -> Thread {
        Thread {
            ready: RefCell::new(VecDeque::new()),
            yielded: RefCell::new(Vec::new()),
            current: RefCell::new(None),
        }
    }
}

impl Drop for Thread {
    /// The thread ends with a loop that nobody closed. While this runs the thread-local is out of
    /// reach, so what closing wakes goes through the inbox, and what is queued here goes there too.
    fn drop(&mut self) {
        LOOP_ID.set(0);
        // Without a loop the queues are empty.
        let Some(io_loop) = self.current.take() else {
            return;
        };
        let queued = self.ready.take().into_iter().chain(self.yielded.take());
        if io_loop.may_close_with_its_thread() {
            queued.for_each(|runnable| io_loop.core.inbox.post_runnable(runnable));
            io_loop.close();
        } else {
            queued.for_each(mem::forget);
            mem::forget(io_loop);
        }
    }
}

/// This thread's loop, if it has one and the thread is not ending.
pub(crate) fn current() -> Option<IoLoop> {
    with_current(IoLoop::clone)
}

/// Looks at this thread's loop, if it has one. Runs no user code.
pub(crate) fn with_current<R>(look: impl FnOnce(&IoLoop) -> R) -> Option<R> {
    THREAD
        .try_with(|thread| thread.current.borrow().as_ref().map(look))
        .ok()
        .flatten()
}

/// Makes `io_loop` this thread's; the caller has checked that there is none. False if the thread is
/// ending: nobody would close the loop.
pub(crate) fn install(io_loop: IoLoop) -> bool {
    let installed = THREAD.try_with(|thread| {
        LOOP_ID.set(io_loop.id());
        let previous = thread.current.borrow_mut().replace(io_loop);
        debug_assert!(previous.is_none(), "one loop per thread");
    });
    installed.is_ok()
}

/// The loop is closed: the thread may have another.
pub(crate) fn uninstall(loop_id: usize) {
    let _ = THREAD.try_with(|thread| {
        if LOOP_ID.get() == loop_id {
            LOOP_ID.set(0);
            let io_loop = thread.current.borrow_mut().take();
            drop(io_loop);
        }
    });
}

/// Queues a woken task: without a lock on its loop's thread, through the inbox from elsewhere.
pub(crate) fn schedule(inbox: &Inbox, runnable: LabelledRunnable, info: ScheduleInfo) {
    if has_loop(inbox.loop_id) {
        THREAD.with(|thread| match info.woken_while_running {
            true => thread.yielded.borrow_mut().push(runnable),
            false => thread.ready.borrow_mut().push_back(runnable),
        });
    } else {
        inbox.post_runnable(runnable);
    }
}

/// Whether the calling thread's loop is the one of `loop_id`.
pub(crate) fn has_loop(loop_id: usize) -> bool {
    LOOP_ID.get() == loop_id
}

/// A task is polled with `waker`.
#[inline]
pub(crate) fn begin_poll(waker: &Waker) {
    POLLING.set(parts(waker));
}

/// No task is polled any more.
pub(crate) fn end_polls() {
    POLLING.set(NO_WAKER);
}

#[inline]
pub(crate) fn polls_with(waker: &Waker) -> bool {
    POLLING.get() == parts(waker)
}

fn parts(waker: &Waker) -> WakerParts {
    (waker.data(), ptr::from_ref(waker.vtable()))
}

pub(crate) fn push_ready(runnable: LabelledRunnable) {
    THREAD.with(|thread| thread.ready.borrow_mut().push_back(runnable));
}

pub(crate) fn pop_ready() -> Option<LabelledRunnable> {
    THREAD.try_with(|thread| pop(&thread.ready)).ok().flatten()
}

/// Makes the tasks that gave way ready again, behind those that are.
pub(crate) fn requeue_yielded() {
    let _ = THREAD.try_with(|thread| {
        let mut yielded = thread.yielded.borrow_mut();
        if !yielded.is_empty() {
            thread.ready.borrow_mut().extend(yielded.drain(..));
        }
    });
}

pub(crate) fn has_ready() -> bool {
    THREAD
        .try_with(|thread| !thread.ready.borrow().is_empty() || !thread.yielded.borrow().is_empty())
        .unwrap_or(false)
}

/// In a statement of its own: dropping a runnable runs user code, which may queue another.
fn pop(queue: &RefCell<VecDeque<LabelledRunnable>>) -> Option<LabelledRunnable> {
    queue.borrow_mut().pop_front()
}
