//! Places in the source by number: what is kept for every timer, handler and stream.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::panic::Location;
use std::ptr;

/// A place where something was made, in four bytes instead of a reference's eight. It has a
/// meaning only for the loop that has numbered it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Place(u32);

impl Place {
    /// Places are numbered from zero on.
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

/// The places of a loop. There are as many as the program's text has, so they are never forgotten.
#[derive(Default)]
pub(crate) struct Places {
    known: RefCell<Vec<&'static Location<'static>>>,
    numbers: RefCell<HashMap<*const Location<'static>, Place>>,
    /// The one that was asked for last, and most likely will be next.
    last: Cell<Option<(&'static Location<'static>, Place)>>,
}

impl Places {
    pub(crate) fn number(&self, location: &'static Location<'static>) -> Place {
        match self.last.get() {
            Some((last, place)) if ptr::eq(last, location) => place,
            _ => self.find(location),
        }
    }

    pub(crate) fn all(&self) -> Vec<&'static Location<'static>> {
        self.known.borrow().clone()
    }

    pub(crate) fn location(&self, place: Place) -> &'static Location<'static> {
        self.known.borrow()[place.index()]
    }

    fn find(&self, location: &'static Location<'static>) -> Place {
        let mut numbers = self.numbers.borrow_mut();
        let place = *numbers.entry(ptr::from_ref(location)).or_insert_with(|| {
            let mut known = self.known.borrow_mut();
            known.push(location);
            Place(known.len() as u32 - 1)
        });
        self.last.set(Some((location, place)));
        place
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_not_numbered_twice_and_leads_back() {
        let places = Places::default();
        let (one, other) = (Location::caller(), Location::caller());
        let numbers = [one, other, one, other].map(|location| places.number(location));
        assert_eq!(numbers[..2], numbers[2..]);
        assert_ne!(numbers[0], numbers[1]);
        assert_eq!(places.location(numbers[0]), one);
        assert_eq!(places.location(numbers[1]), other);
    }
}
