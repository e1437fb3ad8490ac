//! What must hold for every table: a mean e-value of at most 1 under the null, exact zeros, finite increments, and
//! the errors of impossible input.

use flagscope_core::Kind;
use flagscope_core::sketch::{Histogram, Sketch};
use flagscope_core::stats::exceedance::{MIX4, arms, exceedances, moved, shifted, thresholds};
use flagscope_core::stats::margin::Margin;
use flagscope_core::stats::mixture::{ERROR_GRID, Grid, log_e, log_sum_exp, mix};
use flagscope_core::stats::proportion::{Z_95, wilson};
use flagscope_core::stats::score::Score;
use flagscope_core::stats::tilt::{Arms, Harm, MAX_TRIALS, fisher_increment, log_m, one_sample_increment};
use proptest::prelude::*;

/// Pascal's n choose k, exact for the small tables here.
fn choose(n: u64, k: u64) -> f64 {
    (0..k).map(|i| (n - i) as f64 / (i + 1) as f64).product()
}

/// The mean e-value over all outcomes of a table whose true odds ratio is `odds`, by enumeration.
fn mean_e(n_t: u64, n_c: u64, x: u64, odds: f64, margin: f64, harm: Harm) -> f64 {
    let outcomes = x.saturating_sub(n_c)..=n_t.min(x);
    let (mut total, mut mean) = (0.0, 0.0);
    for y_t in outcomes {
        let chance = choose(n_t, y_t) * choose(n_c, x - y_t) * odds.powi(y_t as i32);
        let table = Arms { n_t, y_t, n_c, y_c: x - y_t };
        let ell = fisher_increment(&table, margin, harm, &ERROR_GRID).expect("a table");
        total += chance;
        mean += chance * log_e(&ell, &ERROR_GRID).expect("the grid's length").exp();
    }
    mean / total
}

#[test]
fn mean_e_value_is_one_at_the_margin_and_less_inside_the_null() {
    for (n_t, n_c) in [(1, 1), (2, 5), (5, 2), (4, 12), (9, 9)] {
        for x in 0..=n_t + n_c {
            for margin in [1.0, 1.25, 0.8] {
                let at = mean_e(n_t, n_c, x, margin, margin, Harm::Increase);
                assert!((at - 1.0).abs() < 1e-10, "{n_t} {n_c} {x} {margin}: {at}");
                let inverse = mean_e(n_t, n_c, x, 1.0 / margin, margin, Harm::Decrease);
                assert!((inverse - 1.0).abs() < 1e-10, "{n_t} {n_c} {x} {margin}: {inverse}");
                for less in [0.9, 0.5, 0.01] {
                    assert!(mean_e(n_t, n_c, x, margin * less, margin, Harm::Increase) <= 1.0 + 1e-10);
                    assert!(mean_e(n_t, n_c, x, 1.0 / (margin * less), margin, Harm::Decrease) <= 1.0 + 1e-10);
                }
            }
        }
    }
}

#[test]
fn mean_e_value_of_one_sample_is_one_at_p0() {
    for (p0, harm) in [(0.05, Harm::Increase), (0.5, Harm::Increase), (0.3, Harm::Decrease)] {
        for p in [p0, p0 * 0.9, p0 * 1.1] {
            let n = 12;
            let mean: f64 = (0..=n)
                .map(|y| {
                    let chance = choose(n, y) * f64::powi(p, y as i32) * f64::powi(1.0 - p, (n - y) as i32);
                    let ell = one_sample_increment(n, y, p0, harm, &ERROR_GRID).expect("counts");
                    chance * log_e(&ell, &ERROR_GRID).expect("the grid's length").exp()
                })
                .sum();
            let in_null = if harm == Harm::Increase { p <= p0 } else { p >= p0 };
            assert_eq!(mean <= 1.0 + 1e-10, in_null, "{p0} {p} {harm:?}: {mean}");
        }
    }
}

#[test]
fn strata_that_tell_nothing_give_exact_zeros() {
    for (n_t, y_t, n_c, y_c) in [(0, 0, 0, 0), (0, 0, 9, 4), (9, 4, 0, 0), (7, 0, 9, 0), (7, 7, 9, 9)] {
        for harm in [Harm::Increase, Harm::Decrease] {
            let increment = fisher_increment(&Arms { n_t, y_t, n_c, y_c }, 1.25, harm, &ERROR_GRID);
            assert_eq!(increment.expect("a table"), ERROR_GRID.zeros());
        }
    }
    assert_eq!(one_sample_increment(0, 0, 0.1, Harm::Decrease, &ERROR_GRID), Ok(ERROR_GRID.zeros()));
}

#[test]
fn a_decrease_of_events_is_an_increase_of_the_others() {
    let fewer = Arms { n_t: 100, y_t: 20, n_c: 120, y_c: 40 };
    let more = Arms { y_t: 80, y_c: 80, ..fewer };
    let swapped = fisher_increment(&fewer, 1.1, Harm::Decrease, &ERROR_GRID);
    assert_eq!(swapped, fisher_increment(&more, 1.1, Harm::Increase, &ERROR_GRID));
}

/// The documented recursion overflows here; the sum from the tilted mode does not.
#[test]
fn large_counts_stay_finite_and_are_bounded_by_hoeffding() {
    for (n_t, n_c, x) in [(50_000, 50_000, 3_000), (50_000, 50_000, 60_000), (1_000_000, 9_000_000, 5_000_000)] {
        for d in [0.1, 2.3, 6.9] {
            let (x_, share) = (x as f64, n_t as f64 / (n_t + n_c) as f64);
            let l = log_m(n_t, n_c, x, d).expect("counts");
            let by_events = x_ * (share * d.exp_m1()).ln_1p();
            let by_trials = n_t as f64 * (x_ / (n_t + n_c) as f64 * d.exp_m1()).ln_1p();
            assert!(l <= by_events.min(by_trials) + 1e-6 && l >= d * x_ * share - 1e-6, "{n_t} {n_c} {x} {d}: {l}");
        }
    }
}

#[test]
fn counts_of_a_million_million_are_finite() {
    let n = MAX_TRIALS;
    for (n_t, y_t, n_c, y_c) in
        [(n, 40, n, 10), (n, n, n, 0), (1, 1, n, n / 2), (n, 0, n, 1), (n, n - 1, n, n), (n, 900_000, n, 1_000_000)]
    {
        for harm in [Harm::Increase, Harm::Decrease] {
            let table = Arms { n_t, y_t, n_c, y_c };
            // All of one arm against none of the other has x = N / 2, the dearest sum; one grid point is enough.
            let grid = Grid::new(&[1.5], &[1.0]).expect("a grid");
            let increment = fisher_increment(&table, 1.1, harm, &grid).expect("a table");
            assert!(increment.iter().all(|l| l.is_finite()), "{table:?}: {increment:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn increments_are_finite(
        sizes in (0_u32..30, 0_u32..30), shares in (0.0..=1.0, 0.0..=1.0), margin in 0.001..1000.0, down: bool,
    ) {
        let arm = |bits: u32, share: f64| (1_u64 << bits, ((1_u64 << bits) as f64 * share) as u64);
        let ((n_t, y_t), (n_c, y_c)) = (arm(sizes.0, shares.0), arm(sizes.1, shares.1));
        let harm = if down { Harm::Decrease } else { Harm::Increase };
        let increment = fisher_increment(&Arms { n_t, y_t, n_c, y_c }, margin, harm, &ERROR_GRID).unwrap();
        prop_assert!(increment.iter().all(|l| l.is_finite()));
        let p0 = margin / 1001.0;
        prop_assert!(one_sample_increment(n_t, y_t, p0, harm, &ERROR_GRID).unwrap().iter().all(|l| l.is_finite()));
    }

    #[test]
    fn wilson_contains_the_rate(n in 0_u64..=1_000_000, share in 0.0..=1.0) {
        let y = (n as f64 * share) as u64;
        match wilson(n, y, Z_95).unwrap() {
            None => prop_assert_eq!(n, 0),
            Some(p) => prop_assert!(0.0 <= p.lower && p.lower <= p.rate && p.rate <= p.upper && p.upper <= 1.0),
        }
    }

    #[test]
    fn exceedances_are_counts_above_a_value(xs in prop::collection::vec(1e-3..1e3, 1..200), shift in 0..5) {
        let mut h = Histogram::default();
        xs.iter().for_each(|x| h.push(*x));
        let keys = thresholds(&h, &MIX4).unwrap().unwrap();
        prop_assert!(keys.is_sorted());
        for (key, n) in keys.iter().zip(exceedances(&h, &shifted(&keys, shift))) {
            let edge = h.upper_bound(key + shift).unwrap();
            prop_assert_eq!(n, xs.iter().filter(|x| **x > edge).count() as u64);
        }
    }

    #[test]
    fn an_absolute_margin_moves_a_threshold_at_least_so_far(xs in prop::collection::vec(-1e3..1e3, 1..200), units in 1e-6..1e3) {
        let mut h = Histogram::default();
        xs.iter().for_each(|x| h.push(*x));
        let keys = thresholds(&h, &MIX4).unwrap().unwrap();
        let further = |harm| moved(&keys, Margin::Absolute(units), harm, h.scale()).unwrap();
        for (key, (up, down)) in keys.iter().zip(further(Harm::Increase).into_iter().zip(further(Harm::Decrease))) {
            let edge = h.upper_bound(*key).unwrap();
            // At least as far, and by less than a bin further; values between two edges are in the bin of the upper one.
            let is_above = |x: f64, key| h.key(x).unwrap() > key;
            prop_assert!(up >= *key && down <= *key);
            prop_assert!(!is_above(edge + units, up) && is_above((edge + units) + (edge + units).abs() * 0.03 + 1e-9, up));
            prop_assert!(is_above((edge - units).next_up(), down) && !is_above((edge - units) - (edge - units).abs() * 0.03 - 1e-9, down));
        }
    }
}

#[test]
fn an_empty_past_gives_no_thresholds() {
    let empty = Histogram::default();
    assert_eq!(thresholds(&empty, &MIX4), Ok(None));
    assert_eq!(thresholds(&empty, &[1.5]).unwrap_err().kind, Kind::InvalidParameter);
    assert_eq!(exceedances(&empty, &shifted(&[i32::MIN, 0, i32::MAX], 7)), [0, 0, 0]);
    let mut other = Histogram::default();
    other.push(1.0);
    assert_eq!(arms(&other, &empty, &[-100], &[-100]), [Arms { n_t: 1, y_t: 1, n_c: 0, y_c: 0 }]);
}

#[test]
fn means_of_e_values() {
    assert_eq!(log_sum_exp([]), f64::NEG_INFINITY);
    assert_eq!(mix(&[]), None);
    assert!((mix(&[1000.0, 1000.0]).unwrap() - 1000.0).abs() < 1e-12);
    assert!((mix(&[0.0, 4.0_f64.ln()]).unwrap() - 2.5_f64.ln()).abs() < 1e-12);
    assert!(log_e(&ERROR_GRID.zeros(), &ERROR_GRID).unwrap().abs() < 1e-12);
    assert_eq!(log_e(&[0.0], &ERROR_GRID).unwrap_err().kind, Kind::InvalidParameter);
}

#[test]
fn impossible_input_is_refused() {
    let table = |n_t, y_t| Arms { n_t, y_t, n_c: 10, y_c: 1 };
    let kind =
        |n_t, y_t, margin| fisher_increment(&table(n_t, y_t), margin, Harm::Increase, &ERROR_GRID).unwrap_err();
    assert_eq!(kind(5, 6, 1.0).message, "\"6\" events are more than \"5\" trials");
    assert_eq!(kind(MAX_TRIALS + 1, 6, 1.0).kind, Kind::LimitExceeded);
    for margin in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e4] {
        assert_eq!(kind(5, 5, margin).kind, Kind::InvalidParameter);
    }
    for p0 in [0.0, 1.0, -0.1, f64::NAN] {
        assert!(one_sample_increment(5, 5, p0, Harm::Increase, &ERROR_GRID).is_err());
    }
    assert!(one_sample_increment(5, 6, 0.5, Harm::Increase, &ERROR_GRID).is_err());
    assert!(log_m(5, 5, 11, 0.1).is_err() && log_m(5, 5, 10, f64::NAN).is_err());
    assert!(wilson(5, 6, Z_95).is_err() && wilson(5, 5, f64::NAN).is_err());
    assert!(Score::default().add(&table(5, 6)).is_err() && Score::default().log_or_interval(0.0).is_err());
    assert_eq!(Score::default().log_or_interval(0.05), Ok(None));
    let grids: [(&[f64], &[f64]); 5] =
        [(&[], &[]), (&[1.5], &[0.5, 0.5]), (&[1.0], &[1.0]), (&[f64::NAN], &[1.0]), (&[1.5, 2.0], &[1.5, -0.5])];
    assert!(grids.iter().all(|(ors, weights)| Grid::new(ors, weights).is_err()));
}

/// 30 tables of variance 1/3 give V = 10; sqrt(16.25 ln(16.25 / (6.25 0.05^2))) / 10 = 1.0625.
#[test]
fn the_interval_is_the_normal_mixture() {
    let mut score = Score::default();
    (0..30).for_each(|_| score.add(&Arms { n_t: 2, y_t: 1, n_c: 2, y_c: 1 }).unwrap());
    let (low, high) = score.log_or_interval(0.05).unwrap().unwrap();
    assert_eq!((score.s(), low), (0.0, -high));
    assert!((score.v() - 10.0).abs() < 1e-12 && (high - 1.0624893405215912).abs() < 1e-9, "{high}");
}

#[test]
fn a_merged_history_gives_thresholds_at_its_scale() {
    let (mut fine, mut coarse) = (Histogram::new(7).unwrap(), Histogram::default());
    fine.push(3.0);
    coarse.push(3.0);
    coarse.merge(&fine).unwrap();
    let keys = thresholds(&coarse, &[0.5]).unwrap().unwrap();
    assert_eq!(keys, [coarse.key(3.0).unwrap()]);
}
