//! `AcceptHandle`: accepting is paused, resumed and ended by whoever holds it, at any moment.

use std::cell::RefCell;
use std::net::TcpStream;
use std::rc::Rc;
use std::time::Duration;

use ioloop::IoLoop;
use tcpserver::{AcceptHandle, add_accept_handler};

use crate::support::{
    OnDrop, bind, clients, counter, flag, increment, on_loop, on_virtual_loop, turns, until,
};

/// A place for a handle that its own callback uses.
type Slot = Rc<RefCell<Option<AcceptHandle>>>;

#[test]
fn a_handle_that_its_callback_drops_accepts_no_more() {
    on_loop(async {
        let (listener, address) = bind();
        let _clients = clients(address, 3);
        let slot = Slot::default();
        let (count, counted) = counter();
        let (inner, (dropped, is_dropped)) = (slot.clone(), flag());
        let owned = OnDrop(is_dropped);
        let handle = add_accept_handler(listener, move |_, _| {
            let _owned = &owned;
            increment(&counted);
            let handle = inner.borrow_mut().take();
            drop(handle);
        });
        *slot.borrow_mut() = Some(handle.unwrap());
        until(|| count.get() > 0).await;
        turns(5).await;
        assert_eq!(count.get(), 1);
        assert!(dropped.get(), "the callback outlived its handle");
        assert!(
            TcpStream::connect(address).is_err(),
            "the socket still listens"
        );
    });
}

#[test]
fn a_handle_that_its_callback_pauses_accepts_no_more_until_it_resumes() {
    on_loop(async {
        let (listener, address) = bind();
        let _clients = clients(address, 3);
        let slot = Slot::default();
        let (count, counted) = counter();
        let inner = slot.clone();
        let handle = add_accept_handler(listener, move |_, _| {
            increment(&counted);
            inner.borrow().as_ref().unwrap().pause();
        });
        *slot.borrow_mut() = Some(handle.unwrap());
        for expected in 1..=3 {
            until(|| count.get() > 0).await;
            turns(5).await;
            assert_eq!(count.replace(0), 1, "at the connection number {expected}");
            slot.borrow().as_ref().unwrap().resume();
        }
        // Nobody is left, and pausing twice is pausing once.
        slot.borrow().as_ref().unwrap().pause();
        slot.borrow().as_ref().unwrap().pause();
        slot.borrow().as_ref().unwrap().resume();
        let _last = TcpStream::connect(address).unwrap();
        until(|| count.get() == 1).await;
        slot.borrow_mut().take();
    });
}

#[test]
fn a_callback_that_pauses_and_resumes_loses_nobody() {
    on_loop(async {
        let (listener, address) = bind();
        let _clients = clients(address, 3);
        let slot = Slot::default();
        let (count, counted) = counter();
        let inner = slot.clone();
        let handle = add_accept_handler(listener, move |_, _| {
            increment(&counted);
            let handle = inner.borrow();
            handle.as_ref().unwrap().pause();
            handle.as_ref().unwrap().resume();
        });
        *slot.borrow_mut() = Some(handle.unwrap());
        until(|| count.get() == 3).await;
        slot.borrow_mut().take();
    });
}

#[test]
fn a_handle_that_another_callback_drops_accepts_no_more() {
    on_loop(async {
        let slots: [Slot; 2] = Default::default();
        let (count, counted) = counter();
        let mut clients = Vec::new();
        for own in 0..2 {
            let (listener, address) = bind();
            clients.push(TcpStream::connect(address).unwrap());
            let (other, counted) = (slots[1 - own].clone(), counted.clone());
            let handle = add_accept_handler(listener, move |_, _| {
                increment(&counted);
                let handle = other.borrow_mut().take();
                drop(handle);
            });
            *slots[own].borrow_mut() = Some(handle.unwrap());
        }
        // Both are ready in the same turn; whoever is called first ends the other.
        until(|| count.get() > 0).await;
        turns(5).await;
        assert_eq!(count.get(), 1);
        slots.iter().for_each(|slot| drop(slot.take()));
    });
}

#[test]
fn a_paused_handle_does_not_hold_the_loop() {
    on_virtual_loop(async {
        let (listener, address) = bind();
        let handle = add_accept_handler(listener, |_, _| panic!("accepted while paused")).unwrap();
        handle.pause();
        let _client = TcpStream::connect(address).unwrap();
        let before = IoLoop::current().metrics().turns;
        ioloop::sleep(Duration::from_secs(3600)).await;
        let turns = IoLoop::current().metrics().turns - before;
        assert!(turns <= 5, "{turns} turns in an hour");
    });
}
