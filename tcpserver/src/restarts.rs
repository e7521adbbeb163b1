//! What a parent decides about its workers: which to start when, and when all must end. Pure:
//! `now` is the time since the beginning.

use std::fmt;
use std::time::Duration;

/// The parent's view of its workers, and its rules.
pub(crate) struct Restarts {
    workers: Vec<Worker>,
    made: usize,
    made_max: usize,
    stage: Stage,
}

struct Worker {
    state: State,
    /// How often it has failed without having lived long in between.
    failures_in_a_row: u32,
    /// It was sent `SIGHUP`.
    is_hung_up: bool,
}

enum State {
    /// To be started.
    Due(Duration),
    /// Since then.
    Running(Duration),
    Ended,
}

enum Stage {
    Serving,
    /// The workers were asked to end, and are killed if they have not by then.
    Ending(Option<Duration>),
    Killed,
}

/// How a worker has ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Ending {
    Exited(i32),
    Killed(i32),
    /// The system refused to start it again.
    NotStarted,
    /// Somebody else has waited for it, and knows.
    Unknown,
}

/// What is to be done about a worker that has ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Verdict {
    /// Nothing.
    Leave,
    /// It is started again after a pause.
    Restart(Duration),
    /// There were too many restarts: all others are asked to end.
    GiveUp,
}

/// What is to be done about a signal to end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Order {
    PassOn,
    Kill,
}

impl Restarts {
    /// So many workers, all due at once; and how often any of them may be started again.
    pub(crate) fn new(workers: usize, made_max: usize) -> Restarts {
        let worker = || Worker {
            state: State::Due(Duration::ZERO),
            failures_in_a_row: 0,
            is_hung_up: false,
        };
        Restarts {
            workers: (0..workers).map(|_| worker()).collect(),
            made: 0,
            made_max,
            stage: Stage::Serving,
        }
    }

    /// A worker that is to be started now.
    pub(crate) fn due(&self, now: Duration) -> Option<usize> {
        self.workers
            .iter()
            .position(|worker| matches!(worker.state, State::Due(at) if at <= now))
    }

    pub(crate) fn started(&mut self, id: usize, now: Duration) {
        self.workers[id].state = State::Running(now);
        self.workers[id].is_hung_up = false;
    }

    pub(crate) fn ended(&mut self, id: usize, ending: Ending, now: Duration) -> Verdict {
        let worker = &mut self.workers[id];
        if let State::Running(since) = worker.state {
            if now.saturating_sub(since) >= STEADY {
                worker.failures_in_a_row = 0;
            }
        }
        worker.state = State::Ended;
        // Who does not handle a hang-up that all were told of has ended as it was meant to.
        let was_asked = worker.is_hung_up && ending == Ending::Killed(SIGHUP);
        let is_serving = matches!(self.stage, Stage::Serving);
        if ending == Ending::Exited(0) || was_asked || !is_serving {
            return Verdict::Leave;
        }
        if self.made == self.made_max {
            self.end(Some(now + PATIENCE));
            return Verdict::GiveUp;
        }
        self.made += 1;
        let pause = pause_after(worker.failures_in_a_row);
        worker.failures_in_a_row += 1;
        worker.state = State::Due(now + pause);
        Verdict::Restart(pause)
    }

    /// A signal has come that asks for the end.
    pub(crate) fn interrupted(&mut self) -> Order {
        if matches!(self.stage, Stage::Serving) {
            // Without a limit: the workers have their own, and a second signal is the user's.
            self.end(None);
            Order::PassOn
        } else {
            self.stage = Stage::Killed;
            Order::Kill
        }
    }

    /// `SIGHUP` has come, and is passed on to all that run.
    pub(crate) fn hung_up(&mut self) {
        for worker in &mut self.workers {
            worker.is_hung_up = matches!(worker.state, State::Running(_));
        }
    }

    /// Whether those who were asked to end have had their time. True once.
    pub(crate) fn must_kill(&mut self, now: Duration) -> bool {
        let must = matches!(self.stage, Stage::Ending(Some(at)) if at <= now);
        if must {
            self.stage = Stage::Killed;
        }
        must
    }

    /// When there is something to do even if nothing happens.
    pub(crate) fn next(&self) -> Option<Duration> {
        let limit = match self.stage {
            Stage::Ending(limit) => limit,
            Stage::Serving | Stage::Killed => None,
        };
        let due = self.workers.iter().filter_map(|worker| match worker.state {
            State::Due(at) => Some(at),
            State::Running(_) | State::Ended => None,
        });
        due.chain(limit).min()
    }

    pub(crate) fn is_over(&self) -> bool {
        let mut workers = self.workers.iter();
        workers.all(|worker| matches!(worker.state, State::Ended))
    }

    /// Starts nobody any more.
    fn end(&mut self, limit: Option<Duration>) {
        self.stage = Stage::Ending(limit);
        for worker in &mut self.workers {
            if let State::Due(_) = worker.state {
                worker.state = State::Ended;
            }
        }
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ending::Exited(status) => write!(formatter, "exited with status {status}"),
            Ending::Killed(signal) => write!(formatter, "was killed by signal {signal}"),
            Ending::NotStarted => formatter.write_str("could not be started"),
            Ending::Unknown => formatter.write_str("ended, nobody knows how"),
        }
    }
}

/// None after the first failure: a worker that was killed is missed. After that the pause doubles,
/// since a worker that fails as soon as it starts would keep the processor busy with nothing else.
fn pause_after(failures: u32) -> Duration {
    match failures.checked_sub(1) {
        None => Duration::ZERO,
        Some(doublings) => (FIRST_PAUSE * 2u32.pow(doublings.min(10))).min(PAUSE_MAX),
    }
}

const SIGHUP: i32 = rustix::process::Signal::HUP.as_raw();

/// Long enough for what a worker waits for, such as a file that is just being replaced.
const FIRST_PAUSE: Duration = Duration::from_millis(125);

/// Whoever repairs the cause should not have to wait for longer.
const PAUSE_MAX: Duration = Duration::from_secs(4);

/// A worker that has lived longer than the longest pause is not in a storm of restarts.
const STEADY: Duration = Duration::from_secs(10);

/// For those that could go on when another fails for good: a little more than the 8 s that
/// `TcpServer::shutdown_grace` has by default.
const PATIENCE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    const CRASH: Ending = Ending::Exited(101);

    fn running(workers: usize, made_max: usize) -> Restarts {
        let mut restarts = Restarts::new(workers, made_max);
        while let Some(id) = restarts.due(Duration::ZERO) {
            restarts.started(id, Duration::ZERO);
        }
        restarts
    }

    fn seconds(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    #[test]
    fn all_workers_are_due_at_once_and_in_order() {
        let mut restarts = Restarts::new(3, 100);
        for id in 0..3 {
            assert_eq!(restarts.due(Duration::ZERO), Some(id));
            restarts.started(id, Duration::ZERO);
        }
        assert_eq!(restarts.due(Duration::ZERO), None);
        assert_eq!(restarts.next(), None);
        assert!(!restarts.is_over());
    }

    #[test]
    fn a_worker_that_keeps_failing_is_not_started_as_fast_as_it_fails() {
        let mut restarts = running(1, 100);
        let mut now = Duration::ZERO;
        let mut pauses = Vec::new();
        for _ in 0..9 {
            let Verdict::Restart(pause) = restarts.ended(0, CRASH, now) else {
                panic!("it is not started again");
            };
            pauses.push(pause.as_secs_f64());
            now += pause;
            assert_eq!(restarts.next(), Some(now));
            assert_eq!(restarts.due(now), Some(0));
            restarts.started(0, now);
        }
        let wanted = [0.0, 0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 4.0, 4.0];
        assert_eq!(pauses, wanted);
    }

    #[test]
    fn a_worker_is_not_started_before_its_pause_is_over() {
        let mut restarts = running(2, 100);
        restarts.ended(1, CRASH, seconds(1.0));
        restarts.started(1, seconds(1.0));
        let verdict = restarts.ended(1, CRASH, seconds(1.0));
        assert_eq!(verdict, Verdict::Restart(FIRST_PAUSE));
        assert_eq!(restarts.due(seconds(1.124)), None);
        assert_eq!(restarts.due(seconds(1.125)), Some(1));
    }

    #[test]
    fn a_failure_after_a_long_life_is_not_held_against_a_worker() {
        let mut restarts = running(1, 100);
        let mut now = Duration::ZERO;
        for _ in 0..50 {
            now += STEADY;
            let verdict = restarts.ended(0, Ending::Killed(9), now);
            assert_eq!(verdict, Verdict::Restart(Duration::ZERO));
            restarts.started(0, now);
        }
    }

    #[test]
    fn a_worker_does_not_pay_for_another() {
        let mut restarts = running(3, 100);
        for id in 0..3 {
            let verdict = restarts.ended(id, CRASH, seconds(1.0));
            assert_eq!(verdict, Verdict::Restart(Duration::ZERO));
        }
    }

    #[test]
    fn success_is_not_repeated() {
        let mut restarts = running(2, 100);
        let verdict = restarts.ended(0, Ending::Exited(0), seconds(1.0));
        assert_eq!(verdict, Verdict::Leave);
        assert_eq!(restarts.next(), None);
        assert!(!restarts.is_over());
        restarts.ended(1, Ending::Exited(0), seconds(2.0));
        assert!(restarts.is_over());
    }

    #[test]
    fn there_are_not_more_restarts_than_allowed() {
        let mut restarts = running(4, 100);
        let mut now = Duration::ZERO;
        for failure in 0..100 {
            let id = failure % 2;
            now += STEADY;
            let verdict = restarts.ended(id, CRASH, now);
            assert!(matches!(verdict, Verdict::Restart(_)), "{failure}");
            restarts.started(id, now);
        }
        restarts.ended(0, Ending::Exited(0), now);
        assert_eq!(restarts.ended(1, CRASH, now), Verdict::GiveUp);
        // The others have their time to end, and no longer.
        assert!(!restarts.is_over() && !restarts.must_kill(now));
        assert_eq!(restarts.next(), Some(now + PATIENCE));
        assert_eq!(restarts.ended(2, Ending::Killed(15), now), Verdict::Leave);
        assert!(restarts.must_kill(now + PATIENCE));
        assert!(!restarts.must_kill(now + PATIENCE));
        restarts.ended(3, Ending::Killed(9), now + PATIENCE);
        assert!(restarts.is_over());
    }

    #[test]
    fn none_at_all_may_be_allowed() {
        let mut restarts = running(1, 0);
        let verdict = restarts.ended(0, Ending::NotStarted, seconds(1.0));
        assert_eq!(verdict, Verdict::GiveUp);
        assert!(restarts.is_over());
    }

    #[test]
    fn nobody_is_started_after_a_signal_and_nobody_outlives_the_second() {
        let mut restarts = running(3, 100);
        restarts.ended(0, CRASH, seconds(1.0));
        assert_eq!(restarts.interrupted(), Order::PassOn);
        assert_eq!(restarts.due(seconds(9.0)), None);
        assert_eq!(restarts.next(), None);
        let verdict = restarts.ended(1, Ending::Killed(2), seconds(9.0));
        assert_eq!(verdict, Verdict::Leave);
        assert!(!restarts.is_over());
        assert_eq!(restarts.interrupted(), Order::Kill);
        restarts.ended(2, Ending::Killed(9), seconds(9.0));
        assert!(restarts.is_over());
    }

    #[test]
    fn a_hang_up_ends_those_who_were_told_and_do_not_handle_it() {
        let hung_up = Ending::Killed(SIGHUP);
        let mut restarts = running(3, 100);
        // Of its own accord, or by somebody who sent it to this one alone.
        let verdict = restarts.ended(0, hung_up, seconds(1.0));
        assert_eq!(verdict, Verdict::Restart(Duration::ZERO));
        restarts.hung_up();
        restarts.started(0, seconds(1.0));
        assert_eq!(restarts.ended(1, hung_up, seconds(1.0)), Verdict::Leave);
        // Another failure is a failure, and whoever was started since was not told.
        for (id, ending) in [(2, CRASH), (0, hung_up)] {
            let verdict = restarts.ended(id, ending, seconds(1.0));
            assert!(matches!(verdict, Verdict::Restart(_)), "{id}");
        }
    }
}
