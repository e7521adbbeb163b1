//! The connections of a server: how many there are, when they end, and how to end them.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use ioloop::Task;
use iostream::{Aborter, Address};
use slab::Slab;

use crate::drain::Drain;

/// Every connection from the accept until both its handler has ended and its stream is closed,
/// which may be in either order: a stream may be sent by the loop after its handler has returned.
#[derive(Default)]
pub(crate) struct Connections {
    entries: RefCell<Slab<Entry>>,
    pub(crate) drain: Drain,
    /// Connections that have ended by themselves, not cut.
    ended: Cell<u64>,
    /// Told when the last connection has ended, or when there is room again.
    on_change: RefCell<Option<Rc<dyn Fn()>>>,
    waiting: RefCell<Vec<Waker>>,
}

struct Entry {
    /// None before the handler was spawned and after it has ended.
    task: Option<Task<()>>,
    /// None while there is no stream: before the handler's task has begun, and after it is closed.
    stream: Option<Aborter>,
    has_handler: bool,
    is_cut: bool,
}

impl Connections {
    /// Enters a connection whose handler is about to be spawned.
    pub(crate) fn enter(&self) -> usize {
        let entry = Entry {
            task: None,
            stream: None,
            has_handler: true,
            is_cut: false,
        };
        self.entries.borrow_mut().insert(entry)
    }

    /// The connection's stream was made.
    pub(crate) fn stream_opened(&self, key: usize, stream: Aborter) {
        if self.drain.has_begun() {
            stream.set_linger_timeout(LINGER_WHILE_DRAINING);
        }
        self.update(key, |entry| entry.stream = Some(stream));
    }

    pub(crate) fn set_task(&self, key: usize, task: Task<()>) {
        let mut task = Some(task);
        if let Some(entry) = self.entries.borrow_mut().get_mut(key) {
            entry.task = task.take();
        }
        if let Some(task) = task {
            // It has ended already.
            task.detach();
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.borrow().len()
    }

    pub(crate) fn ended(&self) -> u64 {
        self.ended.get()
    }

    pub(crate) fn local_address(&self, key: usize) -> io::Result<Address> {
        let entries = self.entries.borrow();
        let stream = entries.get(key).and_then(|entry| entry.stream.clone());
        stream.ok_or(io::ErrorKind::NotConnected)?.local_address()
    }

    /// `tell` is called whenever a connection has ended.
    pub(crate) fn set_on_change(&self, tell: Rc<dyn Fn()>) {
        let replaced = self.on_change.borrow_mut().replace(tell);
        drop(replaced);
    }

    /// The stream's descriptor is closed.
    pub(crate) fn stream_closed(&self, key: usize) {
        self.update(key, |entry| entry.stream = None);
    }

    /// The handler has returned, failed or panicked.
    pub(crate) fn handler_ended(&self, key: usize) {
        let mut task = None;
        self.update(key, |entry| {
            entry.has_handler = false;
            task = entry.task.take();
        });
        // Its memory goes now, though the stream may be sent for long.
        if let Some(task) = task {
            task.detach();
        }
    }

    /// Tells every handler to come to an end, and has streams that are done close soon.
    pub(crate) fn begin_drain(&self) {
        let streams: Vec<Aborter> = self
            .entries
            .borrow()
            .iter()
            .filter_map(|(_, entry)| entry.stream.clone())
            .collect();
        for stream in streams {
            stream.set_linger_timeout(LINGER_WHILE_DRAINING);
        }
        self.drain.begin();
    }

    /// Waits until there is no connection left.
    pub(crate) fn poll_empty(&self, context: &Context<'_>) -> Poll<()> {
        if self.entries.borrow().is_empty() {
            return Poll::Ready(());
        }
        let waker = context.waker();
        let is_known = self
            .waiting
            .borrow()
            .iter()
            .any(|known| known.will_wake(waker));
        if !is_known {
            let waker = waker.clone();
            self.waiting.borrow_mut().push(waker);
        }
        Poll::Pending
    }

    /// Cancels every handler, aborts every stream, and says how many connections that were. They
    /// leave the table when their handlers have been dropped, in the next turn.
    pub(crate) fn cut(&self) -> usize {
        let cut: Vec<_> = {
            let mut entries = self.entries.borrow_mut();
            let uncut = entries.iter_mut().filter(|(_, entry)| !entry.is_cut);
            uncut
                .map(|(_, entry)| {
                    entry.is_cut = true;
                    (entry.task.take(), entry.stream.clone())
                })
                .collect()
        };
        let count = cut.len();
        for (task, stream) in cut {
            drop(task);
            if let Some(stream) = stream {
                stream.abort();
            }
        }
        count
    }

    /// Changes an entry, and takes it out if nothing of the connection is left.
    fn update(&self, key: usize, change: impl FnOnce(&mut Entry)) {
        let gone = {
            let mut entries = self.entries.borrow_mut();
            // Connections of tests have no entry.
            let Some(entry) = entries.get_mut(key) else {
                return;
            };
            change(entry);
            let is_gone = !entry.has_handler && entry.stream.is_none();
            is_gone.then(|| entries.remove(key))
        };
        if let Some(entry) = gone {
            if !entry.is_cut {
                self.ended.set(self.ended.get() + 1);
            }
            self.changed();
        }
    }

    fn changed(&self) {
        if self.entries.borrow().is_empty() {
            let waiting = self.waiting.take();
            waiting.into_iter().for_each(Waker::wake);
        }
        let tell = self.on_change.borrow().clone();
        if let Some(tell) = tell {
            tell();
        }
    }
}

/// While a server stops it does not wait seconds for idle peers to close their side. Everything
/// was handed to the kernel by then, which goes on sending after the process has ended.
const LINGER_WHILE_DRAINING: std::time::Duration = std::time::Duration::from_millis(250);
