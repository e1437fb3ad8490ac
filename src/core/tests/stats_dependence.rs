//! The measured design effect against rollouts whose users are known: heavy ones, one bot, clumps, and independent rows.

use flagscope_core::stats::dependence::{By, Law, Slice, Sum, Units};
use flagscope_core::stats::mixture::{self, ERROR_GRID};
use flagscope_core::stats::process::Process;
use flagscope_core::stats::rate::{self, Counts};
use flagscope_core::stats::tilt::{Arms, Harm, fisher_increment};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use rand_distr::{Distribution, Normal, Poisson};

/// How a rollout goes: requests a second, seconds before and in it, the treatment's share over time, the margin.
#[derive(Clone, Copy)]
struct Play {
    rate: f64,
    before: i64,
    seconds: i64,
    share: fn(i64) -> f64,
    margin: f64,
    /// How many times the errors of the treatment are, from the start.
    harm: f64,
    /// How many events an event brings, and whether they are counted and not a share.
    clump: u64,
    counts: bool,
    known_by: By,
    measured: bool,
}

/// Each user's activity, cumulated to 1, and chance of an error.
type Users = Vec<(f64, f64)>;

fn users(n: usize, seed: &mut SmallRng, of: impl Fn(usize, &mut SmallRng) -> (f64, f64)) -> Users {
    let all: Vec<_> = (0..n).map(|i| of(i, seed)).collect();
    let total: f64 = all.iter().map(|user| user.0).sum();
    let mut sum = 0.0;
    let next = |(activity, chance): (f64, f64)| {
        sum += activity / total;
        (sum, chance)
    };
    all.into_iter().map(next).collect()
}

/// The greatest log e, when log e reached log 20 (seconds), and the last design effect.
fn play(rng: &mut SmallRng, users: &Users, how: &Play) -> (f64, Option<i64>, f64) {
    let assigned: Vec<f64> = users.iter().map(|_| rng.random()).collect();
    let mut process = Process::with_reserve(ERROR_GRID.log_weight());
    let law = if how.counts { Law::Count } else { Law::Share };
    let (mut units, mut slice) = (Units::new(1), Slice::new(law, 1));
    let (mut effect, mut early, mut judged, mut measured) = (1.0_f64, None, None, None);
    let (mut measured_at, mut reached) = (-how.before, None);
    for tick in -how.before / 10..how.seconds / 10 {
        let at = tick * 10;
        let share = if at < 0 { 0.0 } else { (how.share)(at) };
        let mut arms = [[0_u64; 2]; 2];
        let requests = Poisson::new(how.rate * 10.0).unwrap().sample(rng) as u64;
        for _ in 0..requests {
            let draw: f64 = rng.random();
            let user = users.partition_point(|user| user.0 < draw).min(users.len() - 1);
            let treated = assigned[user] < share;
            let chance = users[user].1 * if treated { how.harm } else { 1.0 };
            let events = u64::from(rng.random::<f64>() < chance) * how.clump;
            arms[usize::from(!treated)][0] += 1;
            arms[usize::from(!treated)][1] += events;
            let second = at + rng.random_range(0..10);
            let unit = if how.known_by == By::Subject { user as i64 } else { second * 2 + i64::from(treated) };
            let sum = Sum { rows: 1.0, per: 1.0, sum: events as f64, squares: 0.0 };
            slice.add(how.known_by, (unit as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15), treated, second, &[sum]);
        }
        if at >= 0 {
            if judged.is_none() && at < 120 {
                let mut now = units.clone();
                now.grow(&slice, (at + 10 - measured_at) as f64, (at + 10 - measured_at) as f64);
                let found = now.measure((how.share)(at)).map(|m| m.effect);
                // Rows that name nobody are divided by what held before them.
                effect = if how.known_by == By::Moment { early } else { found }.unwrap_or(effect);
                early = found.or(early);
            }
            let [[n_t, y_t], [n_c, y_c]] = arms;
            let mut ell = if how.counts {
                let counts = Counts { exposure_t: n_t as f64, count_t: y_t, exposure_c: n_c as f64, count_c: y_c };
                if n_t * n_c == 0 {
                    ERROR_GRID.zeros()
                } else {
                    rate::increment(&counts, 1.0 + how.margin, Harm::Increase, &ERROR_GRID).unwrap()
                }
            } else {
                fisher_increment(&Arms { n_t, y_t, n_c, y_c }, 1.0 + how.margin, Harm::Increase, &ERROR_GRID).unwrap()
            };
            mixture::temper(&mut ell, if how.measured { effect } else { 1.0 }).unwrap();
            process.add(&ell).unwrap();
            if process.log_e() >= 20_f64.ln() && reached.is_none() {
                reached = Some(at);
            }
        }
        // Each 20 s at first, later each minute. Used is what was measured the time before, since all that it was taken
        // from has been judged; without that, what has come until now.
        let until = at + 10;
        if until - measured_at >= if at < 0 { 60 } else { (until / 10).clamp(20, 60) } {
            units.grow(&slice, (until - measured_at) as f64, (until - measured_at) as f64);
            let now = units.measure((how.share)(at.max(0))).map(|m| m.effect);
            judged = if until <= 0 { now } else { measured };
            effect = judged.unwrap_or(effect);
            (measured, measured_at) = (now.or(measured), until);
            slice = Slice::new(law, 1);
        }
    }
    (process.max_log_e(), reached, measured.unwrap_or(1.0))
}

fn heavy(rng: &mut SmallRng) -> Users {
    let normal = Normal::new(0.0, 1.0).unwrap();
    users(600, rng, |_, rng| {
        let (activity, level): (f64, f64) = (normal.sample(rng), normal.sample(rng));
        ((1.5 * activity).exp(), (0.01 * (level - 0.5).exp()).min(0.5))
    })
}

/// One user with 30 % of the rows, and three times the errors of 2,000 others.
fn bot(rng: &mut SmallRng) -> Users {
    users(2001, rng, |i, _| if i == 0 { (0.3, 0.03) } else { (0.7 / 2000.0, 0.01) })
}

fn alike(rng: &mut SmallRng) -> Users {
    users(2000, rng, |_, _| (1.0, 0.01))
}

fn single(rng: &mut SmallRng) -> Users {
    users(20_000, rng, |_, _| (1.0, 0.01))
}

const HALF: fn(i64) -> f64 = |_| 0.5;
const RAMP: fn(i64) -> f64 = |at| [0.01, 0.05, 0.25, 0.5][(at / 450).min(3) as usize];
const PLAY: Play = Play {
    rate: 20.0,
    before: 3600,
    seconds: 1800,
    share: HALF,
    margin: 0.1,
    harm: 1.0,
    clump: 1,
    counts: false,
    known_by: By::Subject,
    measured: true,
};

/// How many of some rollouts are stopped, the median second, the median design effect.
fn cell(make: fn(&mut SmallRng) -> Users, how: &Play, runs: u64) -> (usize, i64, f64) {
    let mut played: Vec<_> = (0..runs)
        .map(|run| {
            let mut rng = SmallRng::seed_from_u64(run);
            let users = make(&mut rng);
            play(&mut rng, &users, how)
        })
        .collect();
    let stopped = played.iter().filter(|p| p.1.is_some()).count();
    played.sort_by_key(|p| p.1.unwrap_or(i64::MAX));
    let delay = played[played.len() / 2].1.unwrap_or(-1);
    played.sort_by(|a, b| a.2.total_cmp(&b.2));
    (stopped, delay, played[played.len() / 2].2)
}

#[test]
#[ignore = "a table to look at: cargo test -p flagscope-core --release --test stats_dependence -- --ignored --nocapture"]
fn table() {
    let runs = std::env::var("RUNS").ok().and_then(|n| n.parse().ok()).unwrap_or(100);
    type Make = fn(&mut SmallRng) -> Users;
    let plays: [(&str, Make, Play); 15] = [
        ("heavy, margin 0", heavy, Play { margin: 0.0, ..PLAY }),
        ("heavy", heavy, PLAY),
        ("heavy, ramp", heavy, Play { share: RAMP, ..PLAY }),
        ("heavy, no past", heavy, Play { before: 0, ..PLAY }),
        ("heavy, no past, 100 a second", heavy, Play { before: 0, rate: 100.0, ..PLAY }),
        ("bot, margin 0", bot, Play { margin: 0.0, ..PLAY }),
        ("bot", bot, PLAY),
        ("bot, ramp", bot, Play { share: RAMP, ..PLAY }),
        ("bot, no past", bot, Play { before: 0, ..PLAY }),
        ("bot, no past, 100 a second", bot, Play { before: 0, rate: 100.0, ..PLAY }),
        ("clumps of 3, by moment", alike, Play { counts: true, clump: 3, known_by: By::Moment, ..PLAY }),
        (
            "clumps of 3, by moment, no past",
            alike,
            Play { counts: true, clump: 3, known_by: By::Moment, before: 0, ..PLAY },
        ),
        (
            "clumps of 3, by moment, no past, 100 a second",
            alike,
            Play { counts: true, clump: 3, known_by: By::Moment, before: 0, rate: 100.0, ..PLAY },
        ),
        ("clumps of 3, by subject", alike, Play { counts: true, clump: 3, ..PLAY }),
        ("independent", alike, PLAY),
    ];
    let only = std::env::var("ONLY").unwrap_or_default();
    for (name, make, how) in plays.into_iter().filter(|play| play.0.contains(&only)) {
        let with = cell(make, &how, runs);
        let without = cell(make, &Play { measured: false, ..how }, runs);
        println!("{name}: {} of {runs} stopped, effect {:.2}; without {}", with.0, with.2, without.0);
    }
    for (name, make, known_by, before) in [
        ("delay, users", alike as fn(&mut SmallRng) -> Users, By::Subject, 600),
        ("delay, users, no past", alike, By::Subject, 0),
        ("delay, single", single, By::Subject, 600),
        ("delay, moments", alike, By::Moment, 600),
        ("delay, moments, no past", alike, By::Moment, 0),
    ]
    .into_iter()
    .filter(|play| play.0.contains(&only))
    {
        for (share, harm) in [(HALF, 1.5), (HALF, 2.0), (HALF, 4.0), (RAMP, 2.0)] {
            let how = Play { known_by, harm, share, rate: 100.0, before, ..PLAY };
            let (with, without) = (cell(make, &how, runs), cell(make, &Play { measured: false, ..how }, runs));
            println!("{name}, harm {harm}: {} s, without {} s; effect {:.2}", with.1, without.1, with.2);
        }
    }
}

fn row(sum: f64) -> Sum {
    Sum { rows: 1.0, per: 1.0, sum, squares: sum * sum }
}

/// A hash as even as the sampling of units wants.
fn id(user: u64) -> u64 {
    (user + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

#[test]
fn rows_of_as_many_users_are_independent_exactly() {
    for law in [Law::Share, Law::Value] {
        let (mut slice, mut units) = (Slice::new(law, 1), Units::new(1));
        for i in 0..3000_u64 {
            slice.add(By::Subject, id(i), i % 3 == 0, i as i64 / 50, &[row(f64::from(u8::from(i % 7 == 0)))]);
        }
        units.grow(&slice, 60.0, 60.0);
        let measured = units.measure(0.3).unwrap();
        assert!((measured.estimate - 1.0).abs() < 0.01, "{measured:?}");
        assert!(measured.effect < 1.01 && measured.units == 3000, "{measured:?}");
    }
}

#[test]
fn rows_that_are_alike_count_as_one() {
    // Ten rows of a user that are all events or none: a design effect of 10 (Kish: 1 + (10 - 1) x 1).
    for law in [Law::Share, Law::Value] {
        let (mut slice, mut units) = (Slice::new(law, 1), Units::new(1));
        for i in 0..10_000_u64 {
            let user = i % 1000;
            let y = f64::from(u8::from(user % 10 < 3));
            slice.add(By::Subject, id(user), user % 2 == 0, (i / 1000) as i64 * 10, &[row(y)]);
        }
        units.grow(&slice, 100.0, 100.0);
        let measured = units.measure(0.5).unwrap();
        assert!((9.5..10.5).contains(&measured.estimate), "{measured:?}");
        assert!(measured.effect > measured.estimate && measured.effect < 12.0, "{measured:?}");
    }
    // Three events at once, of rates: a compound Poisson count's variance is three times its mean.
    let (mut slice, mut units) = (Slice::new(Law::Count, 1), Units::new(1));
    for i in 0..20_000_u64 {
        let y = if i % 97 == 0 { 3.0 } else { 0.0 };
        slice.add(By::Moment, id(i / 10), false, i as i64 / 10, &[row(y)]);
    }
    units.grow(&slice, 2000.0, 2000.0);
    let measured = units.measure(0.5).unwrap();
    assert!((2.5..3.2).contains(&measured.estimate), "{measured:?}");
}

#[test]
fn harm_is_no_dependence_and_a_heavy_user_of_one_arm_is() {
    let mut rng = SmallRng::seed_from_u64(5);
    let mut measure = |chance: &dyn Fn(u64, bool) -> f64, bot: u64| {
        let (mut slice, mut units) = (Slice::new(Law::Share, 1), Units::new(1));
        for i in 0..40_000_u64 {
            let user = if i % 100 < bot { 0 } else { 1 + rng.random_range(0..4000) };
            let treated = user % 2 == 0;
            let y = f64::from(u8::from(rng.random::<f64>() < chance(user, treated)));
            slice.add(By::Subject, id(user), treated, i as i64 / 40, &[row(y)]);
        }
        units.grow(&slice, 1000.0, 1000.0);
        (units.measure(0.5).unwrap(), units.measure(0.05).unwrap())
    };
    // Errors ten times as frequent with the treatment.
    let (harmed, _) = measure(&|_, treated| if treated { 0.2 } else { 0.02 }, 0);
    assert!(harmed.effect < 1.2, "{harmed:?}");
    // One user has 60 % of an arm's rows, and hides in no mean.
    let (bot, rare) = measure(&|user, _| if user == 0 { 0.06 } else { 0.02 }, 30);
    // By hand: e = 12,000 (0.06 - 0.02), its square over 40,000 x 0.032 x 0.968, about 186; doubled, since it is one.
    assert!((90.0..420.0).contains(&bot.estimate) && bot.effect > 1.8 * bot.estimate, "{bot:?}");
    assert!((0.25..0.35).contains(&bot.heaviest), "{bot:?}");
    assert!(rare.effect > 1.5 * bot.effect, "{rare:?}");
}

#[test]
fn units_are_kept_whole_sampled_and_stored() {
    let mut units = Units::new(4);
    for part in 0..3_i64 {
        let mut slice = Slice::new(Law::Share, 4);
        for i in 0..30_000_u64 {
            let y = f64::from(u8::from(i % 11 == 0));
            slice.add(
                By::Trace,
                id(i / 2 + part as u64 * 15_000),
                i % 4 < 2,
                part * 600 + i as i64 / 50,
                &[row(y); 4],
            );
        }
        units.grow(&slice, 600.0, 600.0);
    }
    let measured = units.measure(0.5).unwrap();
    assert!((2000..=4096).contains(&measured.units) && measured.rows == 90_000.0, "{measured:?}");
    assert_eq!(Units::read(&units.stored()).unwrap(), units);
    for damaged in [vec![], vec![0, 255], vec![1, 2, 3], units.stored()[..200].to_vec()] {
        assert!(Units::read(&damaged).is_err());
    }
    assert!(Units::new(1).measure(0.5).is_none());
}

#[test]
fn what_could_not_be_read_counts_as_more_of_the_same() {
    let measure = |read| {
        let (mut slice, mut units) = (Slice::new(Law::Share, 1), Units::new(1));
        for i in 0..2000_u64 {
            slice.add(By::Subject, id(i % 200), false, i as i64 / 20, &[row(f64::from(u8::from(i % 200 < 40)))]);
        }
        units.grow(&slice, 100.0, read);
        units.measure(0.5).unwrap().estimate - 1.0
    };
    assert!((measure(25.0) / measure(100.0) - 4.0).abs() < 1e-9);
}

#[test]
fn healthy_rollouts_of_dependent_rows_stay() {
    // Short; the table above has the numbers. At 30 rollouts and 5 %, five or fewer are stopped with a chance of 99.7 %.
    let short = Play { before: 1200, seconds: 900, ..PLAY };
    let stopped = [
        cell(heavy, &Play { margin: 0.0, ..short }, 30).0,
        cell(bot, &short, 30).0,
        cell(alike, &Play { counts: true, clump: 3, known_by: By::Moment, ..short }, 30).0,
    ];
    assert!(stopped.iter().all(|n| *n <= 5), "{stopped:?}");
    let harm = Play { harm: 3.0, rate: 50.0, before: 300, seconds: 600, ..PLAY };
    let delays = [true, false].map(|measured| cell(alike, &Play { measured, ..harm }, 15).1);
    assert!(delays[1] > 0 && delays[0] <= delays[1] + 10, "{delays:?}");
}
