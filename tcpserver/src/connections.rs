//! The connections of a server: how many there are, when they end, and how to end them.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use ioloop::Task;
use iostream::Address;
use slab::Slab;

use crate::connection::Record;
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
    /// None before the handler was spawned, after it has ended, and when it is cut.
    task: Option<Task<()>>,
    record: Rc<Record>,
}

impl Connections {
    /// Enters a connection whose handler is about to be spawned.
    pub(crate) fn enter(self: &Rc<Self>, peer: Address) -> Rc<Record> {
        let mut entries = self.entries.borrow_mut();
        let entry = entries.vacant_entry();
        let key = u32::try_from(entry.key());
        let key = key.expect("a process has fewer descriptors than 2^32");
        let record = Rc::new(Record::new(Rc::clone(self), key, peer));
        entry.insert(Entry {
            task: None,
            record: Rc::clone(&record),
        });
        record
    }

    pub(crate) fn set_task(&self, record: &Record, task: Task<()>) {
        if record.has_handler.get() {
            let mut entries = self.entries.borrow_mut();
            entries[record.key as usize].task = Some(task);
        } else {
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

    /// `tell` is called whenever a connection has ended.
    pub(crate) fn set_on_change(&self, tell: Rc<dyn Fn()>) {
        let replaced = self.on_change.borrow_mut().replace(tell);
        drop(replaced);
    }

    /// The handler of a connection is gone; gives its task, if it was not cut.
    pub(crate) fn take_task(&self, record: &Record) -> Option<Task<()>> {
        let mut entries = self.entries.borrow_mut();
        entries[record.key as usize].task.take()
    }

    /// Nothing is left of a connection.
    pub(crate) fn leave(&self, record: &Record) {
        let entry = self.entries.borrow_mut().remove(record.key as usize);
        drop(entry);
        if !record.is_cut.get() {
            self.ended.set(self.ended.get() + 1);
        }
        self.changed();
    }

    /// Tells every handler to come to an end, and has streams that are done close soon.
    pub(crate) fn begin_drain(&self) {
        let entries = self.entries.borrow();
        let records = entries.iter().map(|(_, entry)| &entry.record);
        let streams: Vec<_> = records.filter_map(|record| record.stream()).collect();
        drop(entries);
        self.drain.begin();
        for stream in streams {
            stream.set_linger_timeout(LINGER_WHILE_DRAINING);
        }
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
            let uncut = entries
                .iter_mut()
                .filter(|(_, entry)| !entry.record.is_cut.replace(true));
            uncut
                .map(|(_, entry)| (entry.task.take(), entry.record.stream()))
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
pub(crate) const LINGER_WHILE_DRAINING: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_pointer_width = "64")]
    fn a_connection_is_not_larger_than_it_was() {
        // Every idle connection pays for it. With its two counts the record fills a chunk of the
        // allocator's to the last byte.
        assert_eq!(size_of::<Record>(), 40);
        assert_eq!(size_of::<Entry>(), 16);
    }
}
