//! Timers as a pure structure: a heap of deadlines over a slab of what to do.
//!
//! Most timers are deadlines that never fire, so cancelling must cost nothing: it empties the
//! slab's entry and leaves a tombstone in the heap. The heap is swept when half of it is tombstones,
//! or a quarter and one has come to the top: to take them out in order would cost several times as
//! much. Deadlines that grow with time, the usual case, are appended without sifting.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::num::NonZero;

use slab::Slab;

use crate::moment::Moment;
use crate::places::Place;

/// Names a timer. A stale id never reaches a later timer, unless it is four billion timers old.
///
/// ```
/// use std::time::Duration;
///
/// let io_loop = ioloop::IoLoop::current();
/// let id = io_loop.call_later(Duration::from_secs(60), || println!("a minute has passed"));
/// assert!(io_loop.remove_timeout(id));
/// assert!(!io_loop.remove_timeout(id));
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct TimerId {
    index: u32,
    sequence: Sequence,
}

/// When a timer was made, counted in timers; comes round after 2^32 - 1 of them. Not zero, so that
/// having no timer takes no room.
pub(crate) type Sequence = NonZero<u32>;

/// Deadlines in order, each with a `T` to hand out when it has passed.
pub(crate) struct Timers<T> {
    heap: BinaryHeap<Reverse<Deadline>>,
    entries: Slab<Entry<T>>,
    next_sequence: Sequence,
}

/// Ordered by time, then by creation: first in, first out among equals.
#[derive(Clone, Copy, Eq, Ord, PartialEq, PartialOrd)]
struct Deadline {
    moment: Moment,
    sequence: Sequence,
    index: u32,
}

struct Entry<T> {
    /// Equal to the sequence of exactly one heap entry: any other that points here is a tombstone.
    sequence: Sequence,
    place: Place,
    action: T,
}

impl<T> Timers<T> {
    pub(crate) fn new() -> Timers<T> {
        Timers {
            heap: BinaryHeap::new(),
            entries: Slab::new(),
            next_sequence: Sequence::MIN,
        }
    }

    pub(crate) fn insert(&mut self, moment: Moment, place: Place, action: T) -> TimerId {
        let sequence = self.next_sequence;
        self.next_sequence = match sequence.checked_add(1) {
            Some(next) => next,
            None => self.start_over(),
        };
        let index = self.entries.insert(Entry {
            sequence,
            place,
            action,
        }) as u32;
        self.heap.push(Reverse(Deadline {
            moment,
            sequence,
            index,
        }));
        TimerId { index, sequence }
    }

    /// Takes a timer out. The caller drops the action when no borrow is alive.
    pub(crate) fn cancel(&mut self, id: TimerId) -> Option<T> {
        let entry = self.entries.get(id.index as usize)?;
        if entry.sequence != id.sequence {
            return None;
        }
        let action = self.entries.remove(id.index as usize).action;
        if self.is_worth_sweeping(2) {
            self.sweep();
        }
        Some(action)
    }

    /// Takes out the first timer that is due at `now` and older than `limit`.
    ///
    /// With the `limit` taken at the start of a turn, a timer that re-arms itself without delay
    /// cannot keep the turn from ending.
    pub(crate) fn pop_due(&mut self, now: Moment, limit: Sequence) -> Option<(T, Place)> {
        let Reverse(deadline) = self.peek()?;
        if deadline.moment > now || self.is_younger(deadline, limit) {
            return None;
        }
        self.heap.pop();
        let entry = self.entries.remove(deadline.index as usize);
        Some((entry.action, entry.place))
    }

    /// The action of a timer that has not fired.
    pub(crate) fn get(&self, id: TimerId) -> Option<&T> {
        let entry = self.entries.get(id.index as usize)?;
        (entry.sequence == id.sequence).then_some(&entry.action)
    }

    /// The sequence that the next timer will get: the `limit` of [`pop_due`](Self::pop_due).
    pub(crate) fn next_sequence(&self) -> Sequence {
        self.next_sequence
    }

    pub(crate) fn next_deadline(&mut self) -> Option<Moment> {
        let Reverse(deadline) = self.peek()?;
        Some(deadline.moment)
    }

    /// Takes everything out, for closing.
    pub(crate) fn take_all(&mut self) -> Vec<(T, Place)> {
        self.heap.clear();
        let entries = self.entries.drain();
        entries.map(|entry| (entry.action, entry.place)).collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Every live timer's deadline and place, in no order.
    pub(crate) fn views(&self) -> impl Iterator<Item = (Moment, Place)> {
        self.heap
            .iter()
            .filter(|Reverse(deadline)| is_live(&self.entries, deadline))
            .map(|Reverse(deadline)| {
                let place = self.entries[deadline.index as usize].place;
                (deadline.moment, place)
            })
    }

    /// The first live entry of the heap; drops the tombstones before it.
    fn peek(&mut self) -> Option<Reverse<Deadline>> {
        while let Some(first) = self.heap.peek() {
            if is_live(&self.entries, &first.0) {
                return Some(*first);
            }
            if self.is_worth_sweeping(4) {
                self.sweep();
            } else {
                self.heap.pop();
            }
        }
        None
    }

    /// By age, since sequences come round.
    fn is_younger(&self, deadline: Deadline, limit: Sequence) -> bool {
        let age = |sequence: Sequence| self.next_sequence.get().wrapping_sub(sequence.get());
        (1..=age(limit)).contains(&age(deadline.sequence))
    }

    /// The sequence comes round. A tombstone that old must not pass for a timer of today.
    #[cold]
    fn start_over(&mut self) -> Sequence {
        self.sweep();
        Sequence::MIN
    }

    /// Whether more than one in `share` of the heap's entries is a tombstone.
    fn is_worth_sweeping(&self, share: usize) -> bool {
        let tombstones = self.heap.len() - self.entries.len();
        tombstones > TOMBSTONES_MIN && tombstones > self.heap.len() / share
    }

    fn sweep(&mut self) {
        let entries = &self.entries;
        self.heap
            .retain(|Reverse(deadline)| is_live(entries, deadline));
    }
}

fn is_live<T>(entries: &Slab<Entry<T>>, deadline: &Deadline) -> bool {
    entries
        .get(deadline.index as usize)
        .is_some_and(|entry| entry.sequence == deadline.sequence)
}

/// Below this many tombstones a sweep is not worth its scan.
const TOMBSTONES_MIN: usize = 64;

#[cfg(test)]
mod tests {
    use std::panic::Location;
    use std::time::Duration;

    use super::*;
    use crate::places::Places;

    fn timers() -> (Timers<u32>, Moment) {
        (Timers::new(), Moment::EPOCH)
    }

    fn here() -> Place {
        Places::default().number(Location::caller())
    }

    fn pop(timers: &mut Timers<u32>, now: Moment) -> Option<u32> {
        let limit = timers.next_sequence();
        timers.pop_due(now, limit).map(|(action, _)| action)
    }

    #[test]
    fn equal_deadlines_fire_in_the_order_they_were_made() {
        let (mut timers, epoch) = timers();
        for action in 0..100 {
            timers.insert(epoch, here(), action);
        }
        let fired: Vec<u32> = std::iter::from_fn(|| pop(&mut timers, epoch)).collect();
        assert_eq!(fired, (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn a_timer_never_fires_early() {
        let (mut timers, epoch) = timers();
        let deadline = epoch.after(Duration::from_nanos(1_000_001));
        timers.insert(deadline, here(), 1);
        assert_eq!(
            pop(&mut timers, epoch.after(Duration::from_millis(1))),
            None
        );
        assert_eq!(timers.next_deadline(), Some(deadline));
        assert_eq!(pop(&mut timers, deadline), Some(1));
    }

    #[test]
    fn a_stale_id_does_not_cancel_its_successor() {
        let (mut timers, epoch) = timers();
        let first = timers.insert(epoch, here(), 1);
        assert_eq!(timers.cancel(first), Some(1));
        let second = timers.insert(epoch, here(), 2);
        assert_eq!(first.index, second.index, "the entry is reused");
        assert_eq!(timers.cancel(first), None);
        assert_eq!(pop(&mut timers, epoch), Some(2));
        assert_eq!(timers.cancel(second), None, "it has fired");
    }

    #[test]
    fn cancelled_timers_do_not_pile_up() {
        let (mut timers, epoch) = timers();
        for _ in 0..100_000 {
            let id = timers.insert(epoch.after(Duration::from_secs(60)), here(), 0);
            timers.cancel(id);
        }
        assert!(
            timers.heap.len() <= TOMBSTONES_MIN + 1,
            "{}",
            timers.heap.len()
        );
    }

    #[test]
    fn tombstones_before_the_first_timer_are_not_taken_out_in_order() {
        let (mut timers, epoch) = timers();
        let later = |milliseconds| epoch.after(Duration::from_millis(milliseconds));
        for action in 0..1000 {
            timers.insert(later(2000 - u64::from(action)), here(), action);
        }
        let early: Vec<_> = (0..400)
            .map(|millisecond| timers.insert(later(millisecond), here(), 0))
            .collect();
        for id in early {
            timers.cancel(id);
        }
        assert_eq!(timers.heap.len(), 1400, "less than half is dead");
        assert_eq!(timers.next_deadline(), Some(later(1001)));
        assert_eq!(timers.heap.len(), 1000);
        assert_eq!(pop(&mut timers, later(1001)), Some(999));
    }

    #[test]
    fn a_timer_made_during_the_turn_waits_for_the_next() {
        let (mut timers, epoch) = timers();
        let limit = timers.next_sequence();
        timers.insert(epoch, here(), 1);
        assert!(timers.pop_due(epoch, limit).is_none());
    }

    #[test]
    fn a_timer_of_the_last_round_does_not_pass_for_a_younger() {
        let (mut timers, epoch) = timers();
        timers.next_sequence = Sequence::new(100).unwrap();
        timers.insert(epoch, here(), 1);
        timers.next_sequence = Sequence::MAX;
        let limit = timers.next_sequence();
        let now = epoch.after(Duration::from_millis(1));
        timers.insert(now, here(), 2);
        timers.insert(now, here(), 3);
        assert!(timers.pop_due(now, limit).is_some(), "made before");
        assert!(timers.pop_due(now, limit).is_none(), "made since");
        assert!(pop(&mut timers, now).is_some());
        assert!(pop(&mut timers, now).is_some());
    }

    #[test]
    fn a_tombstone_of_the_last_round_is_not_taken_for_a_timer() {
        let (mut timers, epoch) = timers();
        let first = timers.insert(epoch, here(), 1);
        timers.cancel(first);
        timers.next_sequence = Sequence::MAX;
        let last = timers.insert(epoch, here(), 2);
        timers.cancel(last);
        let second = timers.insert(epoch.after(Duration::from_secs(1)), here(), 3);
        assert_eq!(first, second, "an id that is four billion timers old");
        assert_eq!(pop(&mut timers, epoch), None);
    }

    #[test]
    #[cfg(target_pointer_width = "64")]
    fn a_timer_is_not_larger_than_it_was() {
        // Every idle connection with a deadline pays for it.
        assert_eq!(size_of::<Option<TimerId>>(), 8);
        assert_eq!(size_of::<Deadline>(), 16);
        assert_eq!(size_of::<Entry<crate::io_loop::Action>>(), 32);
    }

    /// Against the obvious structure, over many orders of insert, cancel and pop.
    #[test]
    fn it_agrees_with_a_sorted_list() {
        let mut random = fastrand::Rng::with_seed(7);
        let (mut timers, epoch) = timers();
        let mut model: Vec<(Moment, TimerId, u32)> = Vec::new();
        let mut now = epoch;
        for action in 0..20_000 {
            match random.u8(..4) {
                0 | 1 => {
                    let deadline = now.after(Duration::from_millis(random.u64(..50)));
                    let id = timers.insert(deadline, here(), action);
                    model.push((deadline, id, action));
                }
                2 if !model.is_empty() => {
                    let (_, id, action) = model.swap_remove(random.usize(..model.len()));
                    assert_eq!(timers.cancel(id), Some(action));
                }
                _ => {
                    now = now.after(Duration::from_millis(random.u64(..5)));
                    model.sort_by_key(|(deadline, id, _)| (*deadline, id.sequence));
                    let due = model.partition_point(|(deadline, ..)| *deadline <= now);
                    for (_, _, action) in model.drain(..due) {
                        assert_eq!(pop(&mut timers, now), Some(action));
                    }
                    assert_eq!(pop(&mut timers, now), None);
                }
            }
            assert_eq!(timers.len(), model.len());
        }
    }
}
