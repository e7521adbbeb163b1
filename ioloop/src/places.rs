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
    /// Those that were asked for of late, and most likely will be next: a server makes a task, a
    /// stream and a timer for each connection, always at the same places.
    recent: [Recent; RECENT],
}

type Recent = Cell<Option<(&'static Location<'static>, Place)>>;

impl Places {
    pub(crate) fn number(&self, location: &'static Location<'static>) -> Place {
        match self.recent(location).get() {
            Some((recent, place)) if ptr::eq(recent, location) => place,
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
        self.recent(location).set(Some((location, place)));
        place
    }

    /// Where `location` is, unless another one that belongs there came after it.
    fn recent(&self, location: &'static Location<'static>) -> &Recent {
        let address = ptr::from_ref(location).addr();
        &self.recent[address / align_of::<Location<'_>>() % RECENT]
    }
}

/// More than a server uses for its connections. Coprime to a location's size in words, so that
/// neighbours do not drive each other out.
const RECENT: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_not_numbered_twice_and_leads_back() {
        let places = Places::default();
        // Some share a slot of the recent ones: there are more of them.
        #[rustfmt::skip]
        let locations: [_; RECENT + 2] = [
            Location::caller(), Location::caller(), Location::caller(), Location::caller(),
            Location::caller(), Location::caller(), Location::caller(), Location::caller(),
            Location::caller(), Location::caller(), Location::caller(), Location::caller(),
            Location::caller(), Location::caller(), Location::caller(), Location::caller(),
            Location::caller(), Location::caller(),
        ];
        for _ in 0..2 {
            for (index, location) in locations.into_iter().enumerate() {
                let place = places.number(location);
                assert_eq!(place.index(), index);
                assert_eq!(places.location(place), location);
            }
        }
    }
}
