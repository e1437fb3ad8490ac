//! When a worker ticks: soon after a commit that left something to judge, when something is due by the clock, and else
//! at the end of its longest sleep. No clock is read here: times are arguments.

use std::time::{Duration, Instant};

/// When a tick found that it could not do all (somebody has locked what it needs, another session ticks, it failed):
/// how long to wait before the next try, when no commit comes first.
const RETRY: Duration = Duration::from_millis(400);
/// From the start of a tick to the next are at least so many times what it took: under load ticks take half of a core at
/// most, and each takes in more. But a tick that was long, since it had a backlog to work off, is no reason to wait longer
/// than for a retry.
const SHARE: u32 = 2;

/// What the settings allow.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// From the start of a tick to the next, when nothing wakes the worker (flagscope.interval).
    pub longest: Duration,
    /// The same, when commits come one after another (flagscope.min_interval).
    pub shortest: Duration,
}

/// What is known of the time after a tick.
#[derive(Debug, Clone, Copy)]
pub enum Next {
    /// This long after its start something is due by the clock.
    At(Duration),
    /// Nothing is due by the clock.
    Nothing,
    /// It has to be tried again before long.
    Retry,
}

/// The last tick, and what is known of the next.
#[derive(Debug, Default)]
pub struct Pace {
    last: Option<Tick>,
}

#[derive(Debug)]
struct Tick {
    began: Instant,
    took: Duration,
    next: Next,
}

impl Pace {
    /// A tick began and ended.
    pub fn note(&mut self, began: Instant, ended: Instant, next: Next) {
        self.last = Some(Tick { began, took: ended.duration_since(began), next });
    }

    /// How long to sleep before the next tick; zero: it is time. `woken`: a commit has asked for one.
    pub fn left(&self, now: Instant, woken: bool, limits: Limits) -> Duration {
        let Some(last) = &self.last else { return Duration::ZERO };
        let pause = limits.shortest.max(RETRY.min(last.took * SHARE));
        let after = match last.next {
            _ if woken => pause,
            Next::At(due) if due > Duration::ZERO => due.max(pause),
            // Due when that tick began, which could not do it.
            Next::At(_) | Next::Retry => RETRY.max(pause),
            Next::Nothing => limits.longest,
        };
        after.min(limits.longest).saturating_sub(now.duration_since(last.began))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { longest: Duration::from_secs(20), shortest: Duration::from_millis(50) };

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    /// What is left `since` the start of a tick that took so long.
    fn left(took: u64, next: Next, since: u64, woken: bool) -> Duration {
        let (mut pace, began) = (Pace::default(), Instant::now());
        pace.note(began, began + ms(took), next);
        pace.left(began + ms(since), woken, LIMITS)
    }

    #[test]
    fn the_first_tick_is_at_once() {
        assert_eq!(Pace::default().left(Instant::now(), false, LIMITS), Duration::ZERO);
    }

    #[test]
    fn a_commit_is_answered_at_once_but_not_more_often_than_the_setting_says() {
        assert_eq!(left(5, Next::Nothing, 10, true), ms(40));
        assert_eq!(left(5, Next::Nothing, 50, true), Duration::ZERO);
        assert_eq!(left(5, Next::Nothing, 9000, true), Duration::ZERO);
    }

    #[test]
    fn ticks_that_take_long_leave_as_much_time_to_others() {
        assert_eq!(left(80, Next::Nothing, 80, true), ms(80));
        assert_eq!(left(80, Next::At(ms(90)), 80, false), ms(80));
        // But not as much as they like.
        assert_eq!(left(300, Next::Nothing, 300, true), ms(100));
        assert_eq!(left(30_000, Next::Nothing, 30_000, true), Duration::ZERO);
    }

    #[test]
    fn without_commits_it_sleeps_until_something_is_due_or_the_longest_sleep_is_over() {
        assert_eq!(left(5, Next::At(ms(7000)), 1000, false), ms(6000));
        assert_eq!(left(5, Next::At(ms(90_000)), 1000, false), ms(19_000));
        assert_eq!(left(5, Next::Nothing, 1000, false), ms(19_000));
        assert_eq!(left(5, Next::At(ms(7000)), 7001, false), Duration::ZERO);
    }

    #[test]
    fn what_could_not_be_done_is_tried_again_before_long_and_not_at_once() {
        assert_eq!(left(5, Next::Retry, 5, false), ms(395));
        assert_eq!(left(5, Next::At(Duration::ZERO), 5, false), ms(395));
    }

    #[test]
    fn a_longest_sleep_below_the_shortest_wins() {
        let (mut pace, began) = (Pace::default(), Instant::now());
        pace.note(began, began + ms(1), Next::Retry);
        let limits = Limits { longest: ms(10), ..LIMITS };
        assert_eq!(pace.left(began + ms(4), true, limits), ms(6));
        assert_eq!(pace.left(began + ms(4), false, limits), ms(6));
    }
}
