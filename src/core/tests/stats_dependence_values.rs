//! The measured design effect of values: rollouts of latencies whose users are slow or fast for good, judged as a guardrail of
//! quantiles (MIX4) and one of a mean do.

#[path = "planted/random.rs"]
mod random;

use flagscope_core::guardrail::{gather, log_e};
use flagscope_core::kind::{Against, Counted, Memory, MetricKind, State, Weighing};
use flagscope_core::sketch::{Histogram, Moments};
use flagscope_core::stats::dependence::{By, Law, Slice, Sum, Units};
use flagscope_core::stats::exceedance::{MIX4, thresholds};
use flagscope_core::stats::margin::Margin;
use flagscope_core::stats::mixture::temper;
use flagscope_core::stats::tilt::Harm;
use random::Random;

const CAP: f64 = 1.0;
const RATE: usize = 20;
const USERS: usize = 600;

/// Who sends how much, and how slow each user's values are: their logarithm's own mean.
#[derive(Clone, Copy, Debug)]
enum People {
    /// All alike.
    Alike,
    /// Activity lognormal 1.5, each user's level normal with this deviation.
    Heavy(f64),
    /// One of 30 % of the rows, whose values are so many times the others'.
    Bot(f64),
}

struct Play {
    kind: MetricKind,
    people: People,
    /// How many times slower the treatment is.
    harm: f64,
    before: i64,
    seconds: i64,
    measured: bool,
}

/// Activity cumulated to 1, and level.
fn users(people: People, random: &mut Random) -> Vec<(f64, f64)> {
    let one = |i: usize, random: &mut Random| match people {
        People::Alike => (1.0, 0.0),
        People::Heavy(sd) => ((1.5 * random.normal()).exp(), sd * random.normal()),
        People::Bot(times) if i == 0 => (0.3 / 0.7 * USERS as f64, times.ln()),
        People::Bot(_) => (1.0, 0.0),
    };
    let all: Vec<_> = (0..USERS).map(|i| one(i, random)).collect();
    let total: f64 = all.iter().map(|user| user.0).sum();
    let mut upto = 0.0;
    let cumulate = |(activity, level)| {
        upto += activity / total;
        (upto, level)
    };
    all.into_iter().map(cumulate).collect()
}

/// A minute's values by user, as the worker sums them up.
fn slice(kind: MetricKind, seen: &[(u64, bool, i64, f64)]) -> Slice {
    let is_mean = kind == MetricKind::Mean;
    let mut values: Vec<f64> = seen.iter().map(|row| row.3).collect();
    values.sort_unstable_by(f64::total_cmp);
    let at = |p: f64| values.get((values.len() as f64 * p) as usize).copied().unwrap_or(f64::INFINITY);
    let mut slice = if is_mean { Slice::new(Law::Value, 1) } else { Slice::new(Law::Share, MIX4.len()) };
    for &(user, treated, second, value) in seen {
        let sum = |sum: f64| Sum { rows: 1.0, per: 1.0, sum, squares: sum * sum };
        let sums = if is_mean {
            vec![sum(value.min(CAP))]
        } else {
            MIX4.iter().map(|p| sum(f64::from(u8::from(value > at(*p))))).collect()
        };
        slice.add(By::Subject, (user + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15), treated, second, &sums);
    }
    slice
}

fn push(state: &mut State, value: f64) {
    state.n += 1;
    state.histogram.get_or_insert_with(Histogram::default).push(value);
    state.moments.get_or_insert_with(Moments::default).push(value.min(CAP));
}

/// When log e reached log 20 (seconds), and the last design effect.
fn play(seed: u64, how: &Play) -> (Option<i64>, f64) {
    let random = &mut Random(seed);
    let people = users(how.people, random);
    let treated: Vec<bool> = people.iter().map(|_| random.share() < 0.5).collect();
    let mut units = Units::new(if how.kind == MetricKind::Mean { 1 } else { MIX4.len() });
    let (mut judged, mut measured, mut sums, mut seen) = (1.0, 1.0, Vec::new(), Vec::new());
    let (mut past, mut reached) = (State::default(), None);
    for tick in -how.before / 10..how.seconds / 10 {
        let at = tick * 10;
        let mut arms = [State::default(), State::default()];
        for _ in 0..RATE * 10 {
            let draw = random.share();
            let user = people.partition_point(|user| user.0 < draw).min(USERS - 1);
            let on = at >= 0 && treated[user];
            let value = 0.1 * (people[user].1 + 0.5 * random.normal()).exp() * if on { how.harm } else { 1.0 };
            push(&mut arms[usize::from(!on)], value);
            seen.push((user as u64, on, at + random.below(10) as i64, value));
        }
        if at >= 0 {
            let memory = Memory {
                thresholds: thresholds(past.histogram.as_ref().unwrap(), &MIX4).unwrap(),
                centre: past.moments.as_ref().and_then(Moments::mean),
                past: None,
            };
            let against = Against::Control(Margin::Relative(0.05));
            let weighing = Weighing {
                harm: Harm::Increase,
                quantile: None,
                against,
                cap: Some(CAP),
                memory: &memory,
                design_effect: if how.measured { judged } else { 1.0 },
            };
            let rules = how.kind.rules();
            let events = rules.count(&weighing, &arms[0], &arms[1]).unwrap();
            let counted = [0, 1].map(|arm| Counted::of(&arms[arm], &events[arm]));
            let mut increment = rules.increment(&weighing, &counted[0], &counted[1]).unwrap();
            temper(&mut increment, weighing.design_effect).unwrap();
            sums = gather(&sums, &increment, false).unwrap();
            if log_e(how.kind, &sums).unwrap() >= 20_f64.ln() {
                reached = reached.or(Some(at));
            }
        }
        if at < 0 {
            past.merge(&arms[1]).unwrap();
        }
        // Of the past at once; later what was measured a minute ago.
        if (tick + 1) % 6 == 0 {
            units.grow(&slice(how.kind, &seen), 60.0, 60.0);
            let now = units.measure(0.5).map_or(1.0, |m| m.effect);
            judged = if at < 0 { now } else { measured };
            measured = now;
            seen.clear();
        }
    }
    (reached, measured)
}

const PLAY: Play = Play {
    kind: MetricKind::Quantile,
    people: People::Alike,
    harm: 1.0,
    before: 1200,
    seconds: 1800,
    measured: true,
};

/// How many of some rollouts are stopped, the median second, the median design effect.
fn cell(how: &Play, runs: u64) -> (usize, i64, f64) {
    let mut played: Vec<_> = (0..runs).map(|run| play(1000 + run, how)).collect();
    let stopped = played.iter().filter(|p| p.0.is_some()).count();
    played.sort_by_key(|p| p.0.unwrap_or(i64::MAX));
    let delay = played[played.len() / 2].0.unwrap_or(-1);
    played.sort_by(|a, b| a.1.total_cmp(&b.1));
    (stopped, delay, played[played.len() / 2].1)
}

#[test]
#[ignore = "a table: cargo test -p flagscope-core --release --test stats_dependence_values -- --ignored --nocapture"]
fn table() {
    let runs = std::env::var("RUNS").ok().and_then(|n| n.parse().ok()).unwrap_or(100);
    for kind in [MetricKind::Quantile, MetricKind::Mean] {
        for people in [People::Alike, People::Heavy(0.2), People::Heavy(0.5), People::Bot(1.5), People::Bot(3.0)] {
            let how = Play { kind, people, ..PLAY };
            let (with, without) = (cell(&how, runs), cell(&Play { measured: false, ..how }, runs));
            println!("{kind:?}, {people:?}: {} of {runs}, effect {:.2}; without {}", with.0, with.2, without.0);
        }
        let how = Play { kind, harm: 1.2, ..PLAY };
        let (with, without) = (cell(&how, runs), cell(&Play { measured: false, ..how }, runs));
        println!("{kind:?}, 1.2 times slower: {} s, without {} s, effect {:.2}", with.1, without.1, with.2);
    }
}

#[test]
fn healthy_rollouts_of_users_slow_for_good_stay() {
    // Short; the table above has the numbers. At 6 rollouts and 5 %, two or fewer are stopped with a chance of 99.8 %.
    for kind in [MetricKind::Quantile, MetricKind::Mean] {
        let short = Play { kind, people: People::Heavy(0.5), before: 300, seconds: 300, ..PLAY };
        let stopped = cell(&short, 6).0;
        assert!(stopped <= 2, "{kind:?}: {stopped}");
        let harm = Play { kind, harm: 1.5, before: 300, seconds: 200, ..PLAY };
        assert_eq!(cell(&harm, 3).0, 3);
    }
}
