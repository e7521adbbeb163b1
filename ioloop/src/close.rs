//! Closing a loop: everything in it is dropped, in an order in which nothing is missed.

use std::panic::Location;
use std::rc::Rc;

use crate::handlers::Source;
use crate::io_loop::IoLoop;
use crate::panics::contain;
use crate::thread;

impl IoLoop {
    /// Drops every task, callback, timer and handler, and gives this thread the chance of another
    /// loop. A loop that nobody closes is closed when its thread ends.
    ///
    /// Tasks go first, since they own streams that deregister; then callbacks and timers, then
    /// handlers; the poller goes with the last handle. What destructors add meanwhile is refused.
    /// Closing twice does nothing.
    ///
    /// # Panics
    /// Inside a callback, handler or task: call [`stop`](IoLoop::stop) there, and close when
    /// [`start`](IoLoop::start) has returned.
    ///
    /// ```
    /// use ioloop::IoLoop;
    ///
    /// let io_loop = IoLoop::current();
    /// io_loop.spawn(std::future::pending::<()>()).detach();
    /// io_loop.close();
    /// assert_eq!(io_loop.metrics().live_tasks, 0);
    /// ```
    pub fn close(&self) {
        let core = &self.core;
        assert!(
            !core.running.get(),
            "IoLoop::close was called while the loop is running: call stop, and close when start \
             has returned"
        );
        if core.closed.replace(true) {
            return;
        }
        core.inbox.begin_close();
        self.drop_tasks();
        self.drop_callbacks_and_timers();
        self.drop_sources();
        core.inbox.finish_close();
        thread::uninstall(core.id);
    }

    /// Wakes every task, so that its runnable arrives, and drops that; until none is left.
    ///
    /// A runnable may be in the hands of another thread that has just woken the task and has not
    /// yet pushed it, which takes microseconds: dropping the future is ours alone, so we wait.
    fn drop_tasks(&self) {
        loop {
            let wakers = self.core.tasks.borrow().wakers();
            for waker in wakers {
                waker.wake();
            }
            self.drop_runnables();
            if self.core.tasks.borrow().is_empty() {
                return;
            }
            std::thread::yield_now();
        }
    }

    fn drop_runnables(&self) {
        thread::requeue_yielded();
        while let Some(runnable) = thread::pop_ready() {
            drop(runnable);
        }
        for mail in self.core.inbox.take() {
            contain_drop(mail);
        }
    }

    fn drop_callbacks_and_timers(&self) {
        let callbacks = self.core.callbacks.take();
        callbacks.into_iter().for_each(contain_drop);
        let timers = self.core.timers.borrow_mut().take_all();
        timers.into_iter().for_each(contain_drop);
        let objects = self.core.end_of_turn.take();
        objects.into_iter().for_each(contain_drop);
    }

    fn drop_sources(&self) {
        let sources = self.core.sources.borrow_mut().take_all();
        for source in sources {
            self.drop_source(source);
        }
    }

    /// Deleting fails for those that were not in the poller, and for descriptors that are gone.
    fn drop_source(&self, source: Rc<dyn Source>) {
        let _ = self.core.poller.delete(source.as_fd());
        contain_drop(source);
    }
}

/// Destructors are user code: one that panics must not keep the rest from being dropped.
fn contain_drop<T>(value: T) {
    contain("a destructor", Location::caller(), move || {
        let _dropped = value;
    });
}
