//! Absolute margins at their boundary: an effect of exactly the margin, on a baseline that drifts, is a false alarm no more
//! often than the error budget says.

#[path = "planted/random.rs"]
mod random;

use std::f64::consts::TAU;

use flagscope_core::stats::answer::{self, Question};
use flagscope_core::stats::margin::{MEMORY, Margin, Past, Tolerated, ratio_of_units};
use flagscope_core::stats::rate::Counts;
use flagscope_core::stats::tilt::{Arms, Harm};
use random::Random;

const ALPHA: f64 = 0.05;

impl Random {
    /// By inversion.
    fn poisson(&mut self, mean: f64) -> u64 {
        let (mut k, mut term, mut rest) = (0, (-mean).exp(), self.share());
        while rest > term && term > 0.0 {
            rest -= term;
            k += 1;
            term *= mean / k as f64;
        }
        k
    }

    /// By inversion, for n p below 700.
    fn binomial(&mut self, n: u64, p: f64) -> u64 {
        let (mut k, mut rest) = (0, self.share());
        let mut term = (1.0 - p).powi(n as i32);
        while rest > term && k < n {
            rest -= term;
            term *= (n - k) as f64 / (k + 1) as f64 * p / (1.0 - p);
            k += 1;
        }
        k
    }
}

fn question(margin: f64) -> Question {
    let harm = if margin > 0.0 { Harm::Increase } else { Harm::Decrease };
    Question { harm, margin: Margin::Absolute(margin.abs()), safe_margin: None, design_effect: 1.0, alpha: ALPHA }
}

/// How many of 150 rollouts of 300 strata are false alarms. The baseline swings by half around `base`, or falls by 70 %.
fn alarms(base: f64, falls: bool, max_log_e: impl Fn(&mut Random, &dyn Fn(usize) -> f64) -> f64) -> usize {
    let at = |k: usize| match falls {
        true => base * (1.0 - 0.7 * k as f64 / 300.0),
        false => base * (1.0 + 0.5 * (TAU * k as f64 / 120.0).sin()),
    };
    (0..150).filter(|seed| max_log_e(&mut Random(seed * 7919 + 17), &at) >= -ALPHA.ln()).count()
}

/// A margin below 0 is one of a decrease; `n` trials an arm and stratum.
fn alarms_of_shares(base: f64, margin: f64, n: (u64, u64), falls: bool) -> usize {
    alarms(base, falls, |random, at| {
        let mut stratum = |k| {
            let (y_t, y_c) = (random.binomial(n.0, at(k) + margin), random.binomial(n.1, at(k)));
            Arms { n_t: n.0, y_t, n_c: n.1, y_c }
        };
        let strata: Vec<Arms> = (0..300).map(&mut stratum).collect();
        answer::proportion(&strata, &question(margin)).expect("strata").max_log_e
    })
}

fn alarms_of_rates(base: f64, margin: f64, exposure: (f64, f64), falls: bool) -> usize {
    alarms(base, falls, |random, at| {
        let mut stratum = |k| Counts {
            exposure_t: exposure.0,
            count_t: random.poisson(exposure.0 * (at(k) + margin)),
            exposure_c: exposure.1,
            count_c: random.poisson(exposure.1 * at(k)),
        };
        let strata: Vec<Counts> = (0..300).map(&mut stratum).collect();
        answer::rate(&strata, &question(margin)).expect("strata").max_log_e
    })
}

#[test]
fn half_a_point_more_errors_is_within_half_a_point() {
    for (n, falls) in [((300, 300), false), ((300, 300), true), ((30, 270), false)] {
        let found = alarms_of_shares(0.01, 0.005, n, falls);
        assert!(found as f64 <= 150.0 * ALPHA, "{n:?} {falls}: {found}");
    }
}

#[test]
fn two_points_less_conversion_is_within_two_points() {
    let found = alarms_of_shares(0.3, -0.02, (60, 60), false);
    assert!(found as f64 <= 150.0 * ALPHA, "{found}");
}

#[test]
fn a_tenth_more_events_is_within_a_tenth() {
    for (exposure, falls) in [((100.0, 100.0), false), ((100.0, 100.0), true), ((20.0, 180.0), false)] {
        let found = alarms_of_rates(0.2, 0.1, exposure, falls);
        assert!(found as f64 <= 150.0 * ALPHA, "{exposure:?} {falls}: {found}");
    }
}

#[test]
fn three_margins_are_found() {
    let doubled = |random: &mut Random, at: &dyn Fn(usize) -> f64| {
        let strata: Vec<Arms> = (0..300)
            .map(|k| {
                let (y_t, y_c) = (random.binomial(300, at(k) + 0.015), random.binomial(300, at(k)));
                Arms { n_t: 300, y_t, n_c: 300, y_c }
            })
            .collect();
        answer::proportion(&strata, &question(0.005)).expect("strata").max_log_e
    };
    assert_eq!(alarms(0.01, false, doubled), 150);
}

#[test]
fn a_past_holds_its_last_events() {
    let mut past = Past::default();
    past.add_trials(1_000, 10);
    assert_eq!((past.exposure, past.events, past.rate()), (1_000.0, 10.0, Some(0.0105)));
    (0..100).for_each(|_| past.add_trials(1_000, 20));
    assert!((past.events - MEMORY).abs() < 1e-9 && (past.exposure - 2_500.0).abs() < 1.0, "{past:?}");
    // Of what nearly always happens the failures count.
    let mut sure = Past::default();
    (0..100).for_each(|_| sure.add_trials(1_000, 999));
    assert!(
        (sure.exposure - 50_000.0).abs() < 1e-6 && (sure.chance().expect("a past") - 0.999).abs() < 1e-4,
        "{sure:?}"
    );
    let mut counts = Past::default();
    assert_eq!(counts.rate(), None);
    counts.add_exposure(0.0, 7);
    assert_eq!(counts.rate(), None); // events before their exposure
    counts.add_exposure(70.0, 0);
    assert!((counts.rate().expect("an exposure") - 7.5 / 70.0).abs() < 1e-15);
}

#[test]
fn units_become_ratios() {
    let near = |found, expected: f64| matches!(found, Ok(Tolerated::Ratio(r)) if (r - expected).abs() < 1e-15);
    assert!(near(ratio_of_units(0.2, 0.1, Harm::Increase), 1.5));
    assert!(near(ratio_of_units(0.2, 0.1, Harm::Decrease), 2.0));
    assert_eq!(ratio_of_units(0.2, 0.2, Harm::Decrease), Ok(Tolerated::Anything));
    assert_eq!(ratio_of_units(1e-6, 0.1, Harm::Increase), Ok(Tolerated::Limit(1e-6 + 0.1)));
    for (rate, units) in [(0.0, 0.1), (f64::NAN, 0.1), (0.2, -0.1), (0.2, f64::NAN), (0.2, f64::INFINITY)] {
        assert!(ratio_of_units(rate, units, Harm::Increase).is_err());
    }
}

/// Events of something new: the control has none at all, and what the margin tolerates is no breach, however long it lasts;
/// three times the margin is found.
#[test]
fn a_control_without_events_keeps_the_margin() {
    let rollout = |chance: f64, random: &mut Random| {
        let strata: Vec<_> =
            (0..1000).map(|_| Arms { n_t: 30, y_t: random.binomial(30, chance), n_c: 2970, y_c: 0 }).collect();
        answer::proportion(&strata, &question(0.005)).expect("an answer").max_log_e >= -ALPHA.ln()
    };
    let share = |chance| (0..100).filter(|seed| rollout(chance, &mut Random(seed * 104_729 + 5))).count();
    assert!(share(0.0025) <= 1, "half of the margin: {}", share(0.0025));
    assert!(share(0.005) <= 10, "the margin: {}", share(0.005));
    assert!(share(0.015) >= 99, "three times: {}", share(0.015));
}
