//! Answers over strata: what a user of the SQL functions gets, on data whose truth is known.

use flagscope_core::sketch::{Histogram, Moments};
use flagscope_core::stats::answer::{self, Question};
use flagscope_core::stats::margin::Margin;
use flagscope_core::stats::rate::Counts;
use flagscope_core::stats::ratio::Units;
use flagscope_core::stats::tilt::{Arms, Harm};

fn ask(harm: Harm, margin: f64) -> Question {
    Question { harm, margin: Margin::Relative(margin), safe_margin: Some(0.5), design_effect: 1.0, alpha: 0.01 }
}

fn tables(y_t: u64, y_c: u64) -> Vec<Arms> {
    vec![Arms { n_t: 500, y_t, n_c: 500, y_c }; 40]
}

#[test]
fn proportions_are_worse_safe_or_open() {
    let question = ask(Harm::Increase, 0.1);
    let worse = answer::proportion(&tables(10, 5), &question).unwrap();
    assert_eq!(worse.verdict(0.01, "worse"), "worse");
    // (10 / 490) / (5 / 495) = 2.0204
    assert!((worse.estimate.unwrap() - 2.020_408).abs() < 1e-5 && worse.low.unwrap() > 1.1);
    let safe = answer::proportion(&tables(5, 5), &question).unwrap();
    assert_eq!((safe.verdict(0.01, "worse"), safe.estimate), ("safe", Some(1.0)));
    let open = answer::proportion(&tables(5, 5)[..2], &question).unwrap();
    assert_eq!(open.verdict(0.01, "worse"), "open");
    let fewer = answer::proportion(&tables(100, 150), &ask(Harm::Decrease, 0.02)).unwrap();
    assert_eq!(fewer.verdict(0.01, "worse"), "worse");
    // Half a point over 1 % is an odds ratio of 1.508: twice the errors are more, half more are not.
    let half_a_point = Question { margin: Margin::Absolute(0.005), ..question };
    let points = |y| answer::proportion(&tables(y, 5), &half_a_point).unwrap().verdict(0.01, "worse");
    assert_eq!((points(10), points(7) == "worse"), ("worse", false));
    assert_eq!(answer::proportion(&[], &question).unwrap().estimate, None);
}

#[test]
fn a_design_effect_makes_evidence_smaller() {
    let question = Question { design_effect: 4.0, ..ask(Harm::Increase, 0.0) };
    let [plain, tempered] =
        [ask(Harm::Increase, 0.0), question].map(|q| answer::proportion(&tables(10, 5), &q).unwrap().log_e);
    assert!(tempered < plain / 3.0 && tempered > 0.0);
    let bad = Question { design_effect: 0.5, ..question };
    assert!(answer::proportion(&[], &bad).is_err());
}

#[test]
fn limits_rates_and_shares() {
    let question = ask(Harm::Increase, 0.1);
    let above = answer::limit(&[(1000, 20); 5], 0.01, &question).unwrap();
    assert_eq!((above.verdict(0.01, "worse"), above.estimate), ("worse", Some(0.02)));
    assert!(above.low.unwrap() > 0.01 && above.high.unwrap() < 0.04);
    let counts = Counts { exposure_t: 10.0, count_t: 60, exposure_c: 90.0, count_c: 270 };
    let twice = answer::rate(&[counts; 10], &question).unwrap();
    assert_eq!(twice.verdict(0.01, "worse"), "worse");
    assert!((twice.estimate.unwrap() - 2.0).abs() < 1e-9);
    let even = answer::share(&[(0.05, 50, 950), (0.5, 500, 500)], 0.01).unwrap();
    assert_eq!((even.verdict(0.01, "mismatch"), even.estimate), ("open", Some(1.0)));
    let lost = answer::share(&[(0.5, 4500, 5000); 3], 0.01).unwrap();
    assert_eq!(lost.verdict(0.01, "mismatch"), "mismatch");
    assert!((lost.estimate.unwrap() - 0.9).abs() < 1e-9 && lost.high.unwrap() < 1.0);
}

fn moments(n: u32, mean: f64) -> Moments {
    let mut moments = Moments::default();
    (0..n).for_each(|i| moments.push(mean * (0.5 + f64::from(i * 7919 % n) / f64::from(n - 1))));
    moments
}

#[test]
fn means_in_both_directions() {
    let strata = |t: f64| -> Vec<(Moments, Moments)> { vec![(moments(101, t), moments(101, 1.0)); 30] };
    let up = answer::mean(&strata(1.2), 2.0, &ask(Harm::Increase, 0.05)).unwrap();
    assert_eq!(up.verdict(0.01, "worse"), "worse");
    assert!((up.estimate.unwrap() - 0.2).abs() < 1e-3 && up.low.unwrap() > 0.1 && up.high.unwrap() < 0.3);
    let down = answer::mean(&strata(0.8), 2.0, &ask(Harm::Decrease, 0.05)).unwrap();
    assert_eq!(down.verdict(0.01, "worse"), "worse");
    let same = answer::mean(&strata(1.0), 2.0, &ask(Harm::Increase, 0.05)).unwrap();
    assert_eq!(same.verdict(0.01, "worse"), "safe");
    assert_eq!(answer::mean(&strata(1.0)[..1], 2.0, &ask(Harm::Increase, 0.05)).unwrap().log_e, 0.0);
    let refused = answer::mean(&strata(1.2), 1.5, &ask(Harm::Increase, 0.05)).unwrap_err();
    assert!(refused.message.contains("between 0 and the cap"), "{}", refused.message);
    let t = answer::mean_t(&strata(1.2), &ask(Harm::Increase, 0.05)).unwrap();
    assert!(t.verdict(0.01, "worse") == "worse" && (t.estimate.unwrap() - 0.15).abs() < 1e-3);
    assert!(answer::mean_t(&strata(1.2), &ask(Harm::Decrease, 0.05)).unwrap().log_e < 0.0);
}

fn values(n: u32, factor: f64) -> Histogram {
    let mut h = Histogram::default();
    (0..n).for_each(|i| h.push(factor * (1.0 + f64::from(i * 7919 % n) / f64::from(n))));
    h
}

#[test]
fn quantiles_and_distributions() {
    let strata = |t: f64| -> Vec<(Histogram, Histogram)> { vec![(values(211, t), values(211, 1.0)); 20] };
    let question = ask(Harm::Increase, 0.06);
    for level in [None, Some(0.5), Some(0.95)] {
        let worse = answer::quantile(&strata(1.3), level, &question).unwrap();
        assert_eq!(worse.verdict(0.01, "worse"), "worse", "{level:?}");
        let same = answer::quantile(&strata(1.0), level, &question).unwrap();
        assert_eq!(same.verdict(0.01, "worse"), "safe", "{level:?}");
    }
    let p95 = answer::quantile(&strata(1.3), Some(0.95), &question).unwrap();
    assert!(p95.low.unwrap() < 2.53 && p95.high.unwrap() > 2.53 && (p95.estimate.unwrap() / 2.53 - 1.0).abs() < 0.02);
    let strict = answer::quantile_strict(&strata(1.3), 0.5, &question).unwrap();
    assert_eq!(strict.verdict(0.01, "worse"), "worse");
    assert!(strict.low.unwrap() < 1.5 && strict.high.unwrap() > 1.5);
    assert_eq!(answer::distribution(&strata(1.3), &question).unwrap().verdict(0.01, "different"), "different");
    assert_eq!(answer::distribution(&strata(1.0), &question).unwrap().verdict(0.01, "different"), "open");
}

#[test]
fn ratios_over_units() {
    let units = |each: f64| {
        let mut units = Units::default();
        (0..2000).for_each(|i| units.push(each * f64::from(i % 4), 4.0 + f64::from(i % 3)));
        units
    };
    let worse = answer::ratio(&units(1.3), &units(1.0), &ask(Harm::Increase, 0.05)).unwrap();
    assert_eq!(worse.verdict(0.01, "worse"), "worse");
    assert!((worse.estimate.unwrap() - 1.3).abs() < 1e-9 && worse.low.unwrap() > 1.1);
    let few = answer::ratio(&Units::default(), &units(1.0), &ask(Harm::Increase, 0.05)).unwrap();
    assert_eq!((few.verdict(0.01, "worse"), few.estimate), ("open", None));
}
