//! Metrics by unit: the value of a unit by hand, and a bot with 30 % of the traffic and three times the errors, over
//! simulated rollouts with a fixed seed.

#[path = "planted/random.rs"]
mod random;

use flagscope_core::stats::mixture::ERROR_GRID;
use flagscope_core::stats::process::Process;
use flagscope_core::stats::tilt::{Arms, Harm, fisher_increment};
use flagscope_core::telemetry::{MetricKind, Tally};
use random::Random;

const ALPHA: f64 = 0.05;
const RUNS: usize = 200;
const STRATA: usize = 90;
/// Users first exposed in a stratum, each with so many rows, of which one in fifty is an error.
const USERS: usize = 40;
const ROWS: i32 = 5;
const ERRORS: f64 = 0.02;

impl Random {
    fn events(&mut self, n: usize, share: f64) -> u64 {
        (0..n).filter(|_| self.share() < share).count() as u64
    }
}

/// The strata after which harm was proven, by unit and by row; users of the treatment have `times` the errors.
fn play(random: &mut Random, times: f64) -> [Option<usize>; 2] {
    let mut processes = [(); 2].map(|()| Process::with_reserve(ERROR_GRID.log_weight()));
    let mut proven = [None; 2];
    // 30 % of all rows are one user's, who is in one arm for good.
    let (bot_rows, bot_treated) = ((USERS as f64 * f64::from(ROWS) * 0.3 / 0.7) as usize, random.share() < 0.5);
    for stratum in 0..STRATA {
        let n_t = random.events(USERS, 0.5);
        let mut of = [Arms { n_t, n_c: USERS as u64 - n_t, ..Arms::default() }, Arms::default()];
        for user in 0..USERS as u64 {
            let treated = user < n_t;
            let errors = random.events(ROWS as usize, if treated { times * ERRORS } else { ERRORS });
            let (met, rows) = (u64::from(errors > 0), ROWS as u64);
            let add = if treated { [(0, met), (rows, errors)] } else { [(0, 0), (0, 0)] };
            let other = if treated { [(0, 0), (0, 0)] } else { [(0, met), (rows, errors)] };
            for (arms, ((n_t, y_t), (n_c, y_c))) in of.iter_mut().zip(add.into_iter().zip(other)) {
                (arms.n_t, arms.y_t) = (arms.n_t + n_t, arms.y_t + y_t);
                (arms.n_c, arms.y_c) = (arms.n_c + n_c, arms.y_c + y_c);
            }
        }
        let bot_errors = random.events(bot_rows, 3.0 * ERRORS);
        let once = u64::from(stratum == 0);
        for (arms, (n, y)) in of.iter_mut().zip([(once, once), (bot_rows as u64, bot_errors)]) {
            match bot_treated {
                true => (arms.n_t, arms.y_t) = (arms.n_t + n, arms.y_t + y),
                false => (arms.n_c, arms.y_c) = (arms.n_c + n, arms.y_c + y),
            }
        }
        for ((process, arms), proven) in processes.iter_mut().zip(&of).zip(&mut proven) {
            let increment = fisher_increment(arms, 1.0, Harm::Increase, &ERROR_GRID).expect("counts of trials");
            process.add(&increment).expect("as many increments as points");
            if process.log_e() >= -ALPHA.ln() && proven.is_none() {
                *proven = Some(stratum);
            }
        }
    }
    proven
}

#[test]
fn a_bot_counts_once_and_harm_is_found() {
    let mut random = Random(14);
    let healthy: Vec<_> = (0..RUNS).map(|_| play(&mut random, 1.0)).collect();
    let stopped = [0, 1].map(|i| healthy.iter().filter(|proven| proven[i].is_some()).count());
    println!("healthy: {} of {RUNS} stopped by unit, {} by row", stopped[0], stopped[1]);
    assert!(stopped[0] as f64 <= ALPHA * RUNS as f64, "{stopped:?}");
    // By row the bot alone is enough whenever it is treated.
    assert!(stopped[1] > RUNS / 3, "{stopped:?}");
    let mut delays: Vec<_> = (0..RUNS / 2).map(|_| play(&mut random, 2.0)[0].unwrap_or(STRATA)).collect();
    delays.sort_unstable();
    println!("errors doubled: found in {} of {STRATA} strata in the median", delays[RUNS / 4]);
    assert!(delays[RUNS / 4] < STRATA / 2, "{delays:?}");
}

#[test]
fn a_unit_has_one_value() {
    let tally = Tally { n: 4, events: 3, total: 10.0 };
    let none = Tally::default();
    let of = |kind, sum| [tally.value(kind, sum), none.value(kind, sum)];
    assert_eq!(of(MetricKind::Proportion, false), [Some(1.0), Some(0.0)]);
    assert_eq!(of(MetricKind::Mean, false), [Some(2.5), None]);
    assert_eq!(of(MetricKind::Mean, true), [Some(10.0), Some(0.0)]);
    let calm = Tally { events: 0, ..tally };
    assert_eq!(calm.value(MetricKind::Proportion, false), Some(0.0));
}
