//! Being called back as an object instead of through a closure, which costs no allocation.

use std::panic::Location;
use std::rc::Rc;
use std::time::Instant;

use crate::io_loop::{Action, Ending, IoLoop};
use crate::timers::TimerId;

/// An object that the loop calls at a deadline or at the end of a turn.
///
/// What [`IoLoop::call_at`] does with a boxed closure this does with a shared object; streams use
/// it for their deadlines, and to send what a turn has written with one system call.
///
/// ```
/// use std::{cell::Cell, rc::Rc};
/// use ioloop::{IoLoop, Notice, Notify};
///
/// #[derive(Default)]
/// struct Journal(Cell<u32>);
///
/// impl Notify for Journal {
///     fn notify(self: Rc<Self>, notice: Notice) {
///         assert_eq!(notice, Notice::EndOfTurn);
///         self.0.set(self.0.get() + 1);
///     }
/// }
///
/// let journal = Rc::new(Journal::default());
/// let io_loop = IoLoop::current();
/// io_loop.notify_at_end_of_turn(journal.clone());
/// io_loop.turn(Some(std::time::Duration::ZERO));
/// assert_eq!(journal.0.get(), 1);
/// ```
pub trait Notify {
    /// Called once for each call of [`IoLoop::notify_at`] or [`IoLoop::notify_at_end_of_turn`].
    fn notify(self: Rc<Self>, notice: Notice);
}

/// Why an object is notified.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Notice {
    /// The deadline given to [`IoLoop::notify_at`] has passed.
    Deadline,
    /// Tasks and callbacks of this turn have run; next the loop waits.
    EndOfTurn,
}

impl IoLoop {
    /// Notifies `object` once, at `deadline`. The loop holds it until then, or until
    /// [`remove_timeout`](IoLoop::remove_timeout).
    ///
    /// ```
    /// # use std::rc::Rc;
    /// # use ioloop::{IoLoop, Notice, Notify};
    /// struct Stop;
    ///
    /// impl Notify for Stop {
    ///     fn notify(self: Rc<Self>, _: Notice) {
    ///         IoLoop::current().stop();
    ///     }
    /// }
    ///
    /// let io_loop = IoLoop::current();
    /// io_loop.notify_at(io_loop.now(), Rc::new(Stop));
    /// io_loop.start();
    /// ```
    #[track_caller]
    pub fn notify_at(&self, deadline: Instant, object: Rc<dyn Notify>) -> TimerId {
        self.add_timer(deadline, Location::caller(), Action::Notify(object))
    }

    /// Notifies `object` once, before the loop next waits: after this turn's tasks, or after the
    /// next turn's if a handler asks for it. On a closed loop nothing happens. Asking twice notifies
    /// twice: an object that asks often keeps a flag.
    ///
    /// ```
    /// # use std::rc::Rc;
    /// # use ioloop::{IoLoop, Notice, Notify};
    /// # struct Journal;
    /// # impl Notify for Journal {
    /// #     fn notify(self: Rc<Self>, _: Notice) {}
    /// # }
    /// IoLoop::current().notify_at_end_of_turn(Rc::new(Journal));
    /// ```
    #[track_caller]
    pub fn notify_at_end_of_turn(&self, object: Rc<dyn Notify>) {
        if !self.is_closed() {
            let location = Location::caller();
            self.core
                .end_of_turn
                .borrow_mut()
                .push(Ending { object, location });
        }
    }
}
