//! Waiting for events and being woken from another thread, in two ways behind one type.
//!
//! On Linux the loop waits on the poller's own descriptor and is woken by an eventfd, and by a
//! timerfd if a deadline is not near: one system call a turn. Everywhere else, and where the check
//! in [`Direct::new`] fails, it uses `Poller::wait` and `Poller::notify`, which are right on every
//! platform and make five.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use polling::{Events, Poller};

use crate::handlers::Interest;
use crate::moment::Moment;

/// Which way a loop waits for events.
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// let io_loop = ioloop::Builder::new().waiting(ioloop::Waiting::Portable).make()?;
/// assert_eq!(io_loop.waiting(), ioloop::Waiting::Portable);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Waiting {
    /// `epoll_wait` on the poller's descriptor, woken by an eventfd: the default on Linux.
    Direct,
    /// `Poller::wait`, woken by `Poller::notify`: the default, and the only way, elsewhere.
    Portable,
}

/// A key that the kernel reported, and what it said.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ready {
    pub(crate) key: usize,
    pub(crate) directions: Interest,
    pub(crate) hang_up: bool,
    /// Nothing but urgent data (TCP's out-of-band byte) made the descriptor ready.
    pub(crate) only_urgent: bool,
}

pub(crate) enum Waiter {
    #[cfg(target_os = "linux")]
    Direct(direct::Direct),
    Portable(Portable),
}

impl Waiter {
    pub(crate) fn new(waiting: Waiting) -> io::Result<Waiter> {
        #[cfg(target_os = "linux")]
        if waiting == Waiting::Direct {
            if let Some(direct) = direct::Direct::new(Arc::new(Poller::new()?)) {
                return Ok(Waiter::Direct(direct));
            }
            tracing::debug!("waiting on the poller's descriptor failed its check; using wait()");
        }
        #[cfg(not(target_os = "linux"))]
        let _ = waiting;
        let bell = Bell {
            poller: Arc::new(Poller::new()?),
            raised: AtomicBool::new(false),
        };
        Ok(Waiter::Portable(Portable {
            bell: Arc::new(bell),
            events: Events::new(),
        }))
    }

    /// Waits until a descriptor is ready, the alarm is raised, or it is `until`, and puts what is
    /// ready into `ready`. Returns whether the alarm was raised. It may return early, for nothing.
    pub(crate) fn wait(
        &mut self,
        ready: &mut Vec<Ready>,
        now: Moment,
        until: Option<Moment>,
    ) -> io::Result<bool> {
        let until = until.map(|until| until.min(now.after(WAIT_MAX)));
        match self {
            #[cfg(target_os = "linux")]
            Waiter::Direct(direct) => direct.wait(ready, now, until),
            Waiter::Portable(portable) => portable.wait(ready, until.map(|until| until.since(now))),
        }
    }

    /// What another thread uses to end a wait.
    pub(crate) fn alarm(&self) -> Alarm {
        match self {
            #[cfg(target_os = "linux")]
            Waiter::Direct(direct) => Alarm::EventFd(direct.event_fd()),
            Waiter::Portable(portable) => Alarm::Poller(portable.bell.clone()),
        }
    }

    pub(crate) fn poller(&self) -> &Arc<Poller> {
        match self {
            #[cfg(target_os = "linux")]
            Waiter::Direct(direct) => direct.poller(),
            Waiter::Portable(portable) => &portable.bell.poller,
        }
    }

    /// Stops watching for urgent data, of which a peer can send a byte that reading never takes
    /// away: the descriptor would be ready for ever, at full CPU.
    pub(crate) fn ignore_urgent(&self, fd: BorrowedFd<'_>, key: usize, interest: Interest) {
        match self {
            #[cfg(target_os = "linux")]
            Waiter::Direct(direct) => direct.ignore_urgent(fd, key, interest),
            // Only epoll has the flag, and there this way of waiting is a test's choice.
            Waiter::Portable(_) => {
                let _ = (fd, key, interest);
            }
        }
    }

    pub(crate) fn waiting(&self) -> Waiting {
        match self {
            #[cfg(target_os = "linux")]
            Waiter::Direct(_) => Waiting::Direct,
            Waiter::Portable(_) => Waiting::Portable,
        }
    }
}

impl AsFd for Waiter {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.poller().as_fd()
    }
}

/// Ends the wait of a loop, from any thread.
#[derive(Debug)]
pub(crate) enum Alarm {
    #[cfg(target_os = "linux")]
    EventFd(Arc<std::os::fd::OwnedFd>),
    Poller(Arc<Bell>),
}

impl Alarm {
    /// A failure here cannot be acted on: the eventfd's counter would have to be full after 2^64
    /// wake-ups, or the descriptor be closed by code that does not own it.
    pub(crate) fn raise(&self) {
        let result = match self {
            #[cfg(target_os = "linux")]
            Alarm::EventFd(fd) => rustix::io::write(fd, &1_u64.to_ne_bytes())
                .map(drop)
                .map_err(io::Error::from),
            Alarm::Poller(bell) => bell.ring(),
        };
        if let Err(error) = result {
            tracing::error!(%error, "the loop could not be woken");
        }
    }
}

/// `Poller::notify`, which leaves no trace in the events of the wait that it ends, with that trace.
/// Without it every return could be a wake-up, and a loop would never know that it is idle.
#[derive(Debug)]
pub(crate) struct Bell {
    poller: Arc<Poller>,
    /// Set before the poller is notified, so that whoever is woken finds it set.
    raised: AtomicBool,
}

impl Bell {
    fn ring(&self) -> io::Result<()> {
        self.raised.store(true, Ordering::SeqCst);
        self.poller.notify()
    }

    fn answer(&self) -> bool {
        self.raised.swap(false, Ordering::SeqCst)
    }
}

pub(crate) struct Portable {
    bell: Arc<Bell>,
    events: Events,
}

impl Portable {
    fn wait(&mut self, ready: &mut Vec<Ready>, timeout: Option<Duration>) -> io::Result<bool> {
        self.events.clear();
        match self.bell.poller.wait(&mut self.events, timeout) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        ready.extend(self.events.iter().map(|event| Ready {
            key: event.key,
            directions: Interest::of(event.readable, event.writable),
            hang_up: event.is_interrupt() || event.is_err() == Some(true),
            only_urgent: false,
        }));
        Ok(self.bell.answer())
    }
}

#[cfg(target_os = "linux")]
mod direct {
    use std::os::fd::OwnedFd;

    use polling::{Event, PollMode};
    use rustix::buffer::spare_capacity;
    use rustix::event::epoll::{self, EventData, EventFlags};
    use rustix::event::{EventfdFlags, Timespec, eventfd};
    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create,
        timerfd_settime,
    };

    use super::*;
    use crate::sources::{TIMER_KEY, WAKE_KEY, register};

    pub(crate) struct Direct {
        poller: Arc<Poller>,
        /// Registered edge-triggered and never read: each write is one event.
        event_fd: Arc<OwnedFd>,
        /// Registered in the same way: each expiry is one event.
        timer_fd: OwnedFd,
        /// When the timer expires, or did.
        armed: Option<Moment>,
        events: Vec<epoll::Event>,
    }

    impl Direct {
        /// None if the kernel has no eventfd or timerfd here, or if an event's data is not the key
        /// that we gave to the poller, which is the assumption that this way of waiting rests on.
        pub(crate) fn new(poller: Arc<Poller>) -> Option<Direct> {
            let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
            let event_fd = Arc::new(eventfd(0, flags).ok()?);
            let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
            let timer_fd = timerfd_create(TimerfdClockId::Monotonic, flags).ok()?;
            for (fd, key) in [(event_fd.as_fd(), WAKE_KEY), (timer_fd.as_fd(), TIMER_KEY)] {
                register(&poller, fd, Event::readable(key), PollMode::Edge).ok()?;
            }

            let mut direct = Direct {
                poller,
                event_fd,
                timer_fd,
                armed: None,
                events: Vec::with_capacity(EVENTS_PER_WAIT),
            };
            Alarm::EventFd(direct.event_fd.clone()).raise();
            let mut ready = Vec::new();
            let now = Moment::EPOCH;
            let woken = direct.wait(&mut ready, now, Some(now)).ok()?;
            (woken && ready.is_empty()).then_some(direct)
        }

        pub(crate) fn wait(
            &mut self,
            ready: &mut Vec<Ready>,
            now: Moment,
            until: Option<Moment>,
        ) -> io::Result<bool> {
            let until = until.filter(|until| !self.sees_to(now, *until));
            let timeout = until.map(|until| timespec(until.since(now)));
            self.events.clear();
            match epoll::wait(
                &self.poller,
                spare_capacity(&mut self.events),
                timeout.as_ref(),
            ) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            let mut woken = false;
            for event in &self.events {
                let (key, flags) = (event.data.u64(), event.flags);
                if key == WAKE_KEY as u64 {
                    woken = true;
                    continue;
                }
                if key == TIMER_KEY as u64 {
                    continue;
                }
                ready.push(Ready {
                    key: key as usize,
                    directions: Interest::of(
                        flags.contains(EventFlags::IN),
                        flags.contains(EventFlags::OUT),
                    ),
                    hang_up: flags.intersects(EventFlags::HUP | EventFlags::ERR),
                    only_urgent: flags == EventFlags::PRI,
                });
            }
            Ok(woken)
        }

        /// Whether the timer ends a wait that is over at `until`, so that the wait itself needs no
        /// timeout.
        ///
        /// Starting and stopping the timer of a wait costs the kernel a tenth of what a request
        /// does on an idle machine. Deadlines of connections lie far ahead and mostly move on
        /// before they come, so this timer is set once for many waits: it may expire too early,
        /// and is set again then.
        fn sees_to(&mut self, now: Moment, until: Moment) -> bool {
            if until <= now.after(NEAR) {
                return false;
            }
            let is_armed = |armed: Moment| now < armed && armed <= until;
            if self.armed.is_some_and(is_armed) {
                return true;
            }
            let once = Itimerspec {
                it_interval: timespec(Duration::ZERO),
                it_value: timespec(until.since(now)),
            };
            let set = timerfd_settime(&self.timer_fd, TimerfdTimerFlags::empty(), &once);
            self.armed = set.ok().map(|_| until);
            self.armed.is_some()
        }

        pub(crate) fn ignore_urgent(&self, fd: BorrowedFd<'_>, key: usize, interest: Interest) {
            let mut flags = EventFlags::empty();
            flags.set(EventFlags::IN, interest.contains(Interest::READ));
            flags.set(EventFlags::OUT, interest.contains(Interest::WRITE));
            let _ = epoll::modify(&self.poller, fd, EventData::new_u64(key as u64), flags);
        }

        pub(crate) fn event_fd(&self) -> Arc<OwnedFd> {
            self.event_fd.clone()
        }

        pub(crate) fn poller(&self) -> &Arc<Poller> {
            &self.poller
        }
    }

    impl Drop for Direct {
        /// Whatever was registered leaves the poller before it is closed.
        fn drop(&mut self) {
            let _ = self.poller.delete(self.event_fd.as_fd());
            let _ = self.poller.delete(self.timer_fd.as_fd());
        }
    }

    fn timespec(duration: Duration) -> Timespec {
        Timespec {
            tv_sec: duration.as_secs() as i64,
            tv_nsec: duration.subsec_nanos().into(),
        }
    }

    /// For deadlines this near the wait has a timeout: each would be a system call for the timer,
    /// and most are met.
    const NEAR: Duration = Duration::from_millis(10);

    /// As many as a busy loop takes in one system call. Twelve bytes each; more would only let
    /// the first event of a batch grow older.
    const EVENTS_PER_WAIT: usize = 1024;
}

/// Longer waits are cut into pieces of an hour: past 2^31 ms the kernel needs a newer system call.
const WAIT_MAX: Duration = Duration::from_secs(3600);
