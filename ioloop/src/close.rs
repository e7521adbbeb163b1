//! Closing a loop: everything in it is dropped, in an order in which nothing is missed.

use std::panic::Location;

use crate::inbox::Mail;
use crate::io_loop::IoLoop;
use crate::panics::contain;
use crate::sources::Taken;
use crate::tasks::drop_unfinished;
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

    /// Whether the end of the thread may close this loop.
    ///
    /// Not if `std::process::exit` was called inside a callback: that runs destructors of
    /// thread-locals in the middle of a turn. Nor in a process that was forked from the one that
    /// made the loop: closing would take descriptors out of the poller that the parent still uses.
    pub(crate) fn may_close_with_its_thread(&self) -> bool {
        !self.core.running.get() && self.core.process == std::process::id()
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
            drop_unfinished(runnable);
        }
        for mail in self.core.inbox.take() {
            match mail {
                Mail::Runnable(runnable) => drop_unfinished(runnable),
                Mail::Callback(callback, location) => contain_drop(callback, location),
                Mail::Stop => {}
            }
        }
    }

    fn drop_callbacks_and_timers(&self) {
        for callback in self.core.callbacks.take() {
            contain_drop(callback.run, callback.location);
        }
        let timers = self.core.timers.borrow_mut().take_all();
        for (action, place) in timers {
            contain_drop(action, self.core.places.location(place));
        }
        for ending in self.core.end_of_turn.take() {
            contain_drop(ending.object, ending.location);
        }
    }

    fn drop_sources(&self) {
        let sources = self.core.sources.borrow_mut().take_all();
        for Taken { source, place, .. } in sources {
            let location = || self.core.places.location(place);
            // It fails for those that are not in the poller, and for descriptors that are gone.
            contain("a source", location, || {
                let _ = self.core.poller.delete(source.as_fd());
            });
            contain_drop(source, location());
        }
    }
}

/// Destructors are user code: one that panics must not keep the rest from being dropped.
fn contain_drop<T>(value: T, location: &'static Location<'static>) {
    contain(
        "a destructor",
        || location,
        move || {
            let _dropped = value;
        },
    );
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use super::*;

    struct SetOnDrop(Rc<Cell<bool>>);

    impl Drop for SetOnDrop {
        fn drop(&mut self) {
            self.0.set(true);
        }
    }

    #[test]
    fn a_task_in_the_hands_of_another_thread_is_not_left_behind() {
        let io_loop = IoLoop::current();
        let dropped = Rc::new(Cell::new(false));
        let guard = SetOnDrop(dropped.clone());
        let task = async move {
            let _guard = guard;
            std::future::pending::<()>().await;
        };
        io_loop.spawn(task).detach();
        let runnable = thread::pop_ready().expect("it was just spawned");
        let remote = io_loop.remote();
        let other = std::thread::spawn(move || {
            // Until closing has begun, and then for a while.
            while remote.stop().is_ok() {
                std::thread::yield_now();
            }
            (0..1_000).for_each(|_| std::thread::yield_now());
            remote.inbox.post_runnable(runnable);
        });
        io_loop.close();
        assert!(dropped.get());
        other.join().unwrap();
    }
}
