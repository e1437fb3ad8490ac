//! Rows by arm against the share served, on rollouts whose users are known: how often a healthy one is held, and when a
//! treatment of which rows are missing is found.

use flagscope_core::stats::row_share::{Finding, RowShare, Stratum, Terms};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use rand_distr::{Distribution, Normal, Poisson};

const TERMS: Terms = Terms { alpha: 0.01, margin: 0.3, users: None };
/// Seconds of a bucket.
const BUCKET: i64 = 10;

/// Who sends rows.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Who {
    /// So many users who are alike.
    Alike(usize),
    /// 600 users with an activity that is lognormal (1.5).
    Heavy,
    /// One bot with 30 % of the rows among 2,000 users.
    Bot,
    /// Users who come for three minutes, send 30 rows, and never again.
    Sessions,
    /// 2,000 users whose rows come in threes.
    Retries,
}

/// How a rollout goes.
#[derive(Clone, Copy)]
struct Play {
    who: Who,
    /// Rows a second.
    rate: f64,
    seconds: i64,
    share: fn(i64) -> f64,
    /// Which part of the treatment's rows is recorded.
    left: fn(i64) -> f64,
    /// How many requests the treatment makes for one of the control.
    busier: f64,
    /// Are the users known, so that their number is measured.
    known: bool,
}

const PLAY: Play = Play {
    who: Who::Alike(2000),
    rate: 20.0,
    seconds: 3600,
    share: |_| 0.5,
    left: |_| 1.0,
    busier: 1.0,
    known: true,
};

struct Users {
    cumulated: Vec<f64>,
    assigned: Vec<f64>,
}

fn users(who: Who, seconds: i64, rate: f64, rng: &mut SmallRng) -> Users {
    let normal = Normal::new(0.0, 1.0).expect("a law");
    let activity: Vec<f64> = match who {
        Who::Alike(n) => vec![1.0; n],
        Who::Retries => vec![1.0; 2000],
        Who::Heavy => (0..600).map(|_| (1.5_f64 * normal.sample(rng)).exp()).collect(),
        Who::Bot => std::iter::once(0.3).chain(std::iter::repeat_n(0.7 / 2000.0, 2000)).collect(),
        // One after the other: those of a moment are drawn from who is there.
        Who::Sessions => vec![1.0; ((seconds + 180) as f64 * rate / 30.0) as usize + 1],
    };
    let total: f64 = activity.iter().sum();
    let mut sum = 0.0;
    let cumulated = activity.iter().map(|a| {
        sum += a / total;
        sum
    });
    Users { cumulated: cumulated.collect(), assigned: activity.iter().map(|_| rng.random()).collect() }
}

/// The second at which the first mismatch is found.
fn play(seed: u64, how: &Play) -> Option<i64> {
    let rng = &mut SmallRng::seed_from_u64(seed);
    let users = users(how.who, how.seconds, how.rate, rng);
    let here = 180.0 * how.rate / 30.0;
    let (mut rows, mut began) = (RowShare::default(), 0);
    let mut by_user = vec![0.0_f64; users.assigned.len()];
    for bucket in 0..how.seconds / BUCKET {
        let at = bucket * BUCKET;
        let share = (how.share)(at);
        if at > 0 && share != (how.share)(at - BUCKET) {
            began = at;
        }
        let clump = if how.who == Who::Retries { 3 } else { 1 };
        let requests = Poisson::new(how.rate * BUCKET as f64 / f64::from(clump)).expect("a law").sample(rng) as u64;
        let mut n = [0_u64; 2];
        for _ in 0..requests {
            let draw: f64 = rng.random();
            let user = if how.who == Who::Sessions {
                (at as f64 * how.rate / 30.0 + draw * here) as usize
            } else {
                users.cumulated.partition_point(|sum| *sum < draw)
            }
            .min(users.assigned.len() - 1);
            by_user[user] += f64::from(clump);
            let treated = users.assigned[user] < share;
            for _ in 0..clump {
                let made = if treated { how.busier * (how.left)(at) } else { 1.0 };
                n[usize::from(!treated)] += made as u64 + u64::from(rng.random::<f64>() < made.fract());
            }
        }
        let older = if began > 0 { (how.share)(began - BUCKET) } else { 0.0 };
        let stratum = Stratum {
            at: at * 1_000_000,
            nominal: share,
            older: [older.min(share), older.max(share)],
            settling: at - began < 60,
            n,
        };
        let known = how.known.then(|| {
            let sum: f64 = by_user.iter().sum();
            sum * sum / by_user.iter().map(|m| m * m).sum::<f64>()
        });
        let terms = Terms { users: known.filter(|n| n.is_finite()), ..TERMS };
        if rows.add(&stratum, &terms).expect("counts") == Finding::Mismatch {
            return Some(at + BUCKET);
        }
    }
    None
}

fn cell(how: &Play, runs: u64) -> (usize, i64) {
    let mut found: Vec<_> = (0..runs).map(|run| play(run * 7919 + 1, how).unwrap_or(i64::MAX)).collect();
    found.sort_unstable();
    (found.iter().filter(|at| **at < i64::MAX).count(), found[found.len() / 2])
}

const RAMP: fn(i64) -> f64 = |at| [0.01, 0.05, 0.25, 0.5][(at / 900).min(3) as usize];
const DEAD: fn(i64) -> f64 = |at| if at < 1800 { 1.0 } else { 0.0 };
const HALF_DEAD: fn(i64) -> f64 = |at| if at < 1800 { 1.0 } else { 0.5 };

/// `cargo test --release -p flagscope-core --test stats_row_share -- --ignored --nocapture`
#[test]
#[ignore = "prints a table, and takes minutes"]
fn table() {
    let runs = std::env::var("RUNS").ok().and_then(|n| n.parse().ok()).unwrap_or(300);
    for who in [Who::Alike(2000), Who::Alike(100), Who::Heavy, Who::Bot, Who::Sessions, Who::Retries] {
        if !format!("{who:?}").to_lowercase().contains(&std::env::var("ONLY").unwrap_or_default()) {
            continue;
        }
        for (shares, share) in [("50 %", PLAY.share), ("5 %", |_| 0.05), ("ramp", RAMP)] {
            let of = |known, left, busier| cell(&Play { who, share, known, left, busier, ..PLAY }, runs);
            let healthy = [(true, 1.0), (false, 1.0), (true, 1.15), (true, 0.9)]
                .map(|(known, busier)| of(known, PLAY.left, busier).0 as f64 * 100.0 / runs as f64);
            let late = |left, known| {
                let (found, at) = of(known, left, 1.0);
                format!("{found} {}", if at < i64::MAX { (at - 1800).to_string() } else { "-".to_owned() })
            };
            println!(
                "{who:?}, {shares}: healthy {healthy:.1?} % (users known / unknown / 15 % busier / 10 % less); dead after half \
                 an hour {} / {} s, half dead {} / {}; three quarters missing from the start {:?}, half {:?}",
                late(DEAD, true),
                late(DEAD, false),
                late(HALF_DEAD, true),
                late(HALF_DEAD, false),
                of(true, |_| 0.25, 1.0),
                of(true, |_| 0.5, 1.0),
            );
        }
    }
}

#[test]
fn healthy_rollouts_are_hardly_held_and_the_dead_are_found() {
    let short = Play { seconds: 1200, ..PLAY };
    for who in [Who::Alike(2000), Who::Heavy, Who::Bot, Who::Retries] {
        let held = cell(&Play { who, ..short }, 40).0;
        assert!(held <= 3, "{who:?}: {held} of 40");
    }
    for left in [DEAD, HALF_DEAD] {
        let (found, at) = cell(&Play { seconds: 2700, left, ..PLAY }, 15);
        assert!(found == 15 && at - 1800 < 600, "{found} {at}");
    }
}
