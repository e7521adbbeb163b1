//! Rate limits as those see them who wait for turns, in virtual time.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use futures_lite::future::zip;
use ioloop::{IoLoop, Task, sleep, timeout};
use iostream::RateLimiter;

use crate::support::{attempt, on_loop, on_virtual_loop, spawn, timed, turns};

/// When something was sent, and how much.
#[derive(Clone, Default)]
struct Log(Rc<RefCell<Vec<(Instant, usize)>>>);

impl Log {
    fn add(&self, bytes: usize) {
        let now = IoLoop::current().now();
        self.0.borrow_mut().push((now, bytes));
    }

    fn total(&self) -> usize {
        self.0.borrow().iter().map(|(_, bytes)| bytes).sum()
    }

    /// The most by which any span of time had more than the limit.
    fn excess(&self, limit: u64) -> f64 {
        // Of what was allowed and not sent, nothing counts later: the largest sum of a part.
        let (mut excess, mut worst, mut before) = (0.0_f64, 0.0_f64, None);
        for &(at, bytes) in self.0.borrow().iter() {
            let elapsed = before.map_or(Duration::ZERO, |before| at - before);
            before = Some(at);
            excess = (excess - elapsed.as_secs_f64() * limit as f64).max(0.0) + bytes as f64;
            worst = worst.max(excess);
        }
        worst
    }

    fn between(&self, from: Instant, to: Instant) -> usize {
        let log = self.0.borrow();
        let sent = log.iter().filter(|(at, _)| (from..to).contains(at));
        sent.map(|(_, bytes)| bytes).sum()
    }
}

/// Takes turns for ever, in pieces of at most `piece` bytes.
fn busy(limiter: &RateLimiter, piece: usize) -> (Log, Task<()>) {
    let (log, limiter) = (Log::default(), limiter.clone());
    let task = spawn({
        let log = log.clone();
        async move {
            loop {
                let grant = limiter.permit(piece).await;
                log.add(grant.bytes());
                let bytes = grant.bytes();
                grant.charge(bytes);
            }
        }
    });
    (log, task)
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

#[test]
fn ten_seconds_do_not_miss_the_limit_by_a_fiftieth() {
    for limit in [20_000, 1_000_000, 100_000_000] {
        on_virtual_loop(async move {
            let limiter = RateLimiter::new(limit);
            let (log, _busy) = busy(&limiter, usize::MAX);
            let start = IoLoop::current().now();
            sleep(seconds(10)).await;
            let ratio = log.total() as f64 / (limit * 10) as f64;
            assert!((0.98..1.02).contains(&ratio), "{ratio} of {limit}");
            for second in 0..10 {
                let from = start + seconds(second);
                let ratio = log.between(from, from + seconds(1)) as f64 / limit as f64;
                assert!((0.9..1.1).contains(&ratio), "{ratio} of {limit}");
            }
            let most = limiter.unit() as f64 * 1.001;
            assert!(log.excess(limit) <= most, "{} > {most}", log.excess(limit));
        });
    }
}

#[test]
fn a_pause_is_not_followed_by_more_than_the_limit_and_one_unit() {
    on_virtual_loop(async {
        let limiter = RateLimiter::new(1_000_000);
        let log = Log::default();
        for pause in [0, 9, 10, 50, 3_600_000, 3, 3, 3, 1000] {
            sleep(Duration::from_millis(pause)).await;
            for piece in [10_000, 10_000, 500, 9_000, 10_000] {
                let mut rest = piece;
                while rest > 0 {
                    let grant = limiter.permit(rest).await;
                    let bytes = grant.bytes();
                    log.add(bytes);
                    grant.charge(bytes);
                    rest -= bytes;
                }
            }
        }
        let most = limiter.unit() as f64 * 1.001;
        assert!(log.excess(1_000_000) <= most, "{}", log.excess(1_000_000));
    });
}

#[test]
fn shares_do_not_differ_by_how_much_is_written_at_a_time() {
    for limit in [20_000, 1_000_000, 100_000_000] {
        on_virtual_loop(async move {
            let limiter = RateLimiter::new(limit);
            let members: Vec<_> = [1_000, 9_000].repeat(4);
            let members: Vec<_> = members.iter().map(|piece| busy(&limiter, *piece)).collect();
            // Long enough for a unit not to be a twentieth of it.
            sleep(seconds(if limit < 1_000_000 { 100 } else { 10 })).await;
            let share = |member: &(Log, Task<()>)| member.0.total() as f64;
            let least = members.iter().map(share).fold(f64::MAX, f64::min);
            let most = members.iter().map(share).fold(0.0, f64::max);
            assert!(most / least < 1.05, "{least} to {most} at {limit}");
        });
    }
}

#[test]
fn shares_do_not_differ_when_more_is_late_than_all_can_take_at_once() {
    // So fast that turns are late all the time.
    on_loop(async {
        let limiter = RateLimiter::new(1_000_000_000_000);
        let members: Vec<_> = [1_000, 9_000].repeat(4);
        let members: Vec<_> = members.iter().map(|piece| busy(&limiter, *piece)).collect();
        let total = || members.iter().map(|(log, _)| log.total()).sum::<usize>();
        let mut turns_left = 100_000;
        while total() < 8_000_000 && turns_left > 0 {
            turns(100).await;
            turns_left -= 1;
        }
        let totals: Vec<usize> = members.iter().map(|(log, _)| log.total()).collect();
        let (least, most) = (totals.iter().min().unwrap(), totals.iter().max().unwrap());
        assert!(most - least <= 2 * limiter.unit(), "{totals:?}");
    });
}

#[test]
fn ten_thousand_members_do_not_go_without_a_turn() {
    on_virtual_loop(async {
        let limiter = RateLimiter::new(0);
        let members: Vec<_> = (0..10_000).map(|_| busy(&limiter, 1_000)).collect();
        turns(20).await;
        limiter.set_limit(Some(100_000_000));
        sleep(seconds(1)).await;
        let totals: Vec<usize> = members.iter().map(|(log, _)| log.total()).collect();
        let (least, most) = (totals.iter().min().unwrap(), totals.iter().max().unwrap());
        assert!(most - least <= 1_000, "{least} to {most}");
        let total: usize = totals.iter().sum();
        assert!((99_000_000..=101_000_000).contains(&total), "{total}");
    });
}

#[test]
fn who_comes_first_does_not_take_all_of_a_unit() {
    on_virtual_loop(async {
        let limiter = RateLimiter::new(100_000_000);
        let members: Vec<_> = (0..2).map(|_| busy(&limiter, 1_000)).collect();
        turns(2).await;
        let [first, second] = [0, 1].map(|index: usize| members[index].0.total());
        assert!(first + second > 900_000, "{first} {second}");
        assert!(first.abs_diff(second) <= 1_000, "{first} {second}");
    });
}

#[test]
fn the_loop_does_not_wake_for_each_piece() {
    on_virtual_loop(async {
        let limiter = RateLimiter::new(100_000_000);
        let members: Vec<_> = (0..8).map(|_| busy(&limiter, 9_000)).collect();
        let wakes = || IoLoop::current().metrics().timers_fired;
        let before = wakes();
        sleep(seconds(1)).await;
        let (wakes, total) = (
            wakes() - before,
            members.iter().map(|member| member.0.total()),
        );
        assert!(wakes <= 210, "{wakes}");
        assert!(total.sum::<usize>() > 99_000_000);
    });
}

#[test]
fn a_turn_that_is_not_used_does_not_cost_anything() {
    on_virtual_loop(async {
        let limiter = RateLimiter::new(1_000_000);
        let (log, _busy) = busy(&limiter, usize::MAX);
        let idler = limiter.clone();
        let _idler = spawn(async move {
            loop {
                // It finds that it has nothing to send after all.
                drop(idler.permit(10_000).await);
                sleep(Duration::from_millis(1)).await;
            }
        });
        sleep(seconds(10)).await;
        let ratio = log.total() as f64 / 10_000_000.0;
        assert!((0.99..1.01).contains(&ratio), "{ratio}");
    });
}

#[test]
fn what_was_not_used_is_not_lost_to_the_next() {
    on_virtual_loop(async {
        let limiter = RateLimiter::new(1_000_000);
        let first = limiter.permit(10_000).await;
        let waiting = async {
            let (waited, grant) = timed(limiter.permit(10_000)).await;
            assert_eq!(grant.bytes(), 9_000);
            waited
        };
        let use_little = async {
            turns(3).await;
            first.charge(1_000);
        };
        let (waited, ()) = zip(waiting, use_little).await;
        assert_eq!(waited, Duration::ZERO);
    });
}

#[test]
fn a_block_that_is_ended_over_the_grant_is_not_free() {
    on_virtual_loop(async {
        let limiter = RateLimiter::new(1_000_000);
        limiter.permit(10_000).await.charge(16_397);
        let (waited, _grant) = timed(limiter.permit(1)).await;
        assert_eq!(
            waited,
            Duration::from_micros(11_397),
            "until half a unit is left"
        );
    });
}

#[test]
fn a_permit_that_is_dropped_does_not_hold_up_those_behind_it() {
    on_virtual_loop(async {
        let limiter = RateLimiter::new(1_000_000);
        limiter.permit(10_000).await.charge(10_000);
        let mut first = Box::pin(limiter.permit(10_000));
        assert!(attempt(&mut first).await.is_none());
        let second = spawn(timed(limiter.permit(10_000)));
        let third = spawn(timed(limiter.permit(10_000)));
        turns(2).await;
        drop(second.cancel().await);
        // The turn of the first has come, but nobody looks.
        sleep(Duration::from_millis(10)).await;
        let (waited, grant) = {
            drop(first);
            third.await
        };
        assert_eq!(waited, Duration::from_millis(10));
        grant.charge(10_000);
        assert_eq!(IoLoop::current().metrics().live_timers, 1, "the watchdog's");
    });
}

#[test]
fn nobody_who_waits_costs_no_timer() {
    on_virtual_loop(async {
        let timers = || IoLoop::current().metrics().live_timers;
        let before = timers();
        let limiter = RateLimiter::new(1_000);
        limiter.permit(1_380).await.charge(1_380);
        assert_eq!(timers(), before);
        let waiting: Vec<_> = (0..100).map(|_| spawn(limiter.permit(1_000))).collect();
        turns(2).await;
        assert_eq!(timers(), before + 1, "one for all");
        for task in waiting {
            drop(task.cancel().await);
        }
        assert_eq!(timers(), before);
    });
}

#[test]
fn a_member_that_does_not_look_does_not_stop_the_others() {
    on_virtual_loop(async {
        let limiter = RateLimiter::new(1_000_000);
        limiter.permit(10_000).await.charge(10_000);
        let mut forgotten = Box::pin(limiter.permit(10_000));
        assert!(attempt(&mut forgotten).await.is_none());
        let (log, _busy) = busy(&limiter, 10_000);
        sleep(seconds(1)).await;
        assert!(log.total() >= 970_000, "{}", log.total());
        assert!(attempt(&mut forgotten).await.is_some());
    });
}

#[test]
fn a_new_limit_is_not_kept_from_those_who_wait() {
    on_virtual_loop(async {
        let limiter = RateLimiter::new(0);
        let (log, _busy) = busy(&limiter, 10_000);
        sleep(seconds(10)).await;
        assert_eq!(log.total(), 0);
        for limit in [1_000_000, 200_000, 50_000] {
            limiter.set_limit(Some(limit));
            let before = log.total();
            sleep(seconds(10)).await;
            let ratio = (log.total() - before) as f64 / (limit * 10) as f64;
            assert!((0.98..1.02).contains(&ratio), "{ratio} of {limit}");
        }
    });
}

#[test]
fn no_limit_does_not_make_anybody_wait() {
    on_virtual_loop(async {
        let limiter = RateLimiter::new(1);
        limiter.permit(1_380).await.charge(1_380);
        let waiting = spawn(limiter.permit(1_000_000));
        turns(1).await;
        limiter.set_limit(None);
        let (waited, ()) = timed(async {
            waiting.await.charge(65_536);
            for _ in 0..1000 {
                limiter.permit(1_000_000).await.charge(65_536);
            }
        })
        .await;
        assert_eq!(waited, Duration::ZERO);
    });
}

#[test]
fn nested_limits_do_not_let_anything_pass_that_one_forbids() {
    on_virtual_loop(async {
        let total = RateLimiter::new(1_000_000);
        let slow = RateLimiter::new(100_000).within(&total);
        let (slow_log, _slow) = busy(&slow, 10_000);
        let members: Vec<_> = (0..3).map(|_| busy(&total, 10_000)).collect();
        sleep(seconds(10)).await;
        let ratio = slow_log.total() as f64 / 1_000_000.0;
        assert!((0.95..1.02).contains(&ratio), "{ratio}");
        assert!(slow_log.excess(100_000) <= 2.1 * slow.unit() as f64);
        let rest: usize = members.iter().map(|(log, _)| log.total()).sum();
        let ratio = (rest + slow_log.total()) as f64 / 10_000_000.0;
        assert!((0.98..1.02).contains(&ratio), "{ratio}");
        for (log, _) in &members {
            let ratio = log.total() as f64 / 3_000_000.0;
            assert!((0.97..1.03).contains(&ratio), "{ratio}");
        }
    });
}

#[test]
fn many_members_of_a_group_do_not_get_more_than_the_group() {
    on_virtual_loop(async {
        let total = RateLimiter::new(1_000_000);
        let (one, other) = (
            RateLimiter::unlimited().within(&total),
            RateLimiter::new(900_000).within(&total),
        );
        let alone = busy(&one, 10_000);
        let crowd: Vec<_> = (0..9).map(|_| busy(&other, 1_000)).collect();
        sleep(seconds(10)).await;
        let crowd: usize = crowd.iter().map(|(log, _)| log.total()).sum();
        for share in [alone.0.total(), crowd] {
            let ratio = share as f64 / 5_000_000.0;
            assert!((0.98..1.02).contains(&ratio), "{ratio}");
        }
    });
}

#[test]
fn what_the_outer_limit_held_up_is_not_made_up_for() {
    on_virtual_loop(async {
        let total = RateLimiter::new(50_000);
        let user = RateLimiter::new(100_000).within(&total);
        let (log, _busy) = busy(&user, 10_000);
        sleep(seconds(5)).await;
        total.set_limit(None);
        let (before, from) = (log.total(), IoLoop::current().now());
        sleep(seconds(1)).await;
        let sent = log.between(from, from + seconds(1));
        assert!(sent <= 100_000 + 2 * user.unit(), "{sent} after {before}");
    });
}

#[test]
fn a_nested_permit_that_is_dropped_leaves_nothing_behind() {
    on_virtual_loop(async {
        let total = RateLimiter::new(1_000_000);
        let user = RateLimiter::new(100_000).within(&total);
        user.permit(1_380).await.charge(1_380);
        total.permit(10_000).await.charge(10_000);
        for wait in [1, 8] {
            let permit = timeout(Duration::from_millis(wait), user.permit(10_000));
            assert!(permit.await.is_err(), "13.8 ms are to be paid");
        }
        assert!(format!("{total:?} {user:?}").matches("waiting: 0").count() == 2);
        assert_eq!(IoLoop::current().metrics().live_timers, 1, "the watchdog's");
    });
}

#[test]
fn a_limiter_that_is_dropped_does_not_stop_its_permits() {
    on_virtual_loop(async {
        let limiter = RateLimiter::new(1_000);
        limiter.permit(1_000).await.charge(1_000);
        let permit = limiter.permit(100);
        drop(limiter);
        let (waited, _grant) = timed(permit).await;
        assert_eq!(waited, seconds(1));
    });
}
