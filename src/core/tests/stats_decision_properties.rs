//! What must hold for every decision test: a mean e-value of at most 1 under its null by enumeration, exact zeros of an
//! empty arm, finite increments, merges in any order, and the errors of impossible input.

use flagscope_core::Kind;
use flagscope_core::sketch::Histogram;
use flagscope_core::stats::beta_binomial::{chance_interval, quantile_interval};
use flagscope_core::stats::combine::{calibrated, combine, e_bh};
use flagscope_core::stats::label::{self, Bin, LogScore, SLOPES};
use flagscope_core::stats::margin::{Past, Tolerated, odds_of_points};
use flagscope_core::stats::mean::{self, Group, Line, Scale};
use flagscope_core::stats::mixture::{ERROR_GRID, log_e, mix, temper};
use flagscope_core::stats::process::{Process, RESERVE};
use flagscope_core::stats::rate::{self, Counts};
use flagscope_core::stats::ratio::{self, Units};
use flagscope_core::stats::share;
use flagscope_core::stats::strict::strict;
use flagscope_core::stats::student::{PHI, Sums};
use flagscope_core::stats::tilt::{Arms, Harm, MAX_TRIALS, fisher_increment};
use proptest::prelude::*;

const HARMS: [Harm; 2] = [Harm::Increase, Harm::Decrease];

fn choose(n: u64, k: u64) -> f64 {
    (0..k).map(|i| (n - i) as f64 / (i + 1) as f64).product()
}

fn binomial(n: u64, k: u64, p: f64) -> f64 {
    choose(n, k) * p.powi(k as i32) * (1.0 - p).powi((n - k) as i32)
}

#[test]
fn mean_e_value_of_rates_is_one_at_the_margin_and_less_inside() {
    for (e_t, e_c, x) in [(1.0, 1.0, 5), (2.5, 40.0, 9), (7.0, 0.5, 3)] {
        for (ratio, margin) in [(1.0, 1.0), (1.25, 1.25), (1.0, 1.25), (0.5, 1.0)] {
            let p = e_t * ratio / (e_t * ratio + e_c);
            let mean = |harm| -> f64 {
                (0..=x)
                    .map(|k| {
                        let counts = Counts { exposure_t: e_t, count_t: k, exposure_c: e_c, count_c: x - k };
                        // The mirrored null: the treatment's rate is at least 1 / margin of the control's.
                        let counts = if harm == Harm::Increase { counts } else { counts.exchanged() };
                        let ell = rate::increment(&counts, margin, harm, &ERROR_GRID).unwrap();
                        binomial(x, k, p) * log_e(&ell, &ERROR_GRID).unwrap().exp()
                    })
                    .sum()
            };
            for harm in HARMS {
                let mean = mean(harm);
                assert!(if ratio == margin { (mean - 1.0).abs() < 1e-9 } else { mean < 1.0 }, "{e_t} {ratio} {mean}");
            }
        }
    }
}

#[test]
fn mean_e_value_of_shares_is_one() {
    for (n, pi) in [(1, 0.01), (12, 0.5), (20, 0.05)] {
        let mean: f64 =
            (0..=n).map(|k| binomial(n, k, pi) * mix(&share::increment(pi, k, n - k).unwrap()).unwrap().exp()).sum();
        assert!((mean - 1.0).abs() < 1e-10, "{n} {pi}: {mean}");
    }
}

/// Every pair of samples from one law over three bins.
#[test]
fn mean_e_value_of_labels_is_at_most_one_under_one_law() {
    let scores = [-1.3, 0.2, 2.0];
    for (law, n_t, n_c) in [([0.2, 0.5, 0.3], 2_u64, 3_u64), ([0.6, 0.1, 0.3], 1, 6), ([0.1, 0.1, 0.8], 4, 4)] {
        let samples = |n: u64| -> Vec<([u64; 3], f64)> {
            let parts = (0..=n).flat_map(|a| (0..=n - a).map(move |b| [a, b, n - a - b]));
            let chance = |c: &[u64; 3]| {
                choose(n, c[0])
                    * choose(n - c[0], c[1])
                    * (0..3).map(|i| f64::powi(law[i], c[i] as i32)).product::<f64>()
            };
            parts.map(|c| (c, chance(&c))).collect()
        };
        for sign in [1.0, -1.0] {
            let slopes = SLOPES.map(|l| sign * l);
            let mut mean = 0.0;
            for (t, chance_t) in samples(n_t) {
                for (c, chance_c) in samples(n_c) {
                    let bins: Vec<Bin> = (0..3).map(|i| Bin { score: scores[i], t: t[i], c: c[i] }).collect();
                    mean += chance_t * chance_c * mix(&label::increment(&bins, &slopes).unwrap()).unwrap().exp();
                }
            }
            assert!(mean <= 1.0 + 1e-12, "{law:?} {n_t} {n_c}: {mean}");
        }
    }
}

/// Every way to choose the treatment's values among fixed ones: what randomisation alone guarantees.
#[test]
fn mean_e_value_of_labels_over_permutations() {
    let mean = |scores: &[f64], n_t: u32, slope: f64| {
        let all = (0_u32..1 << scores.len()).filter(|chosen| chosen.count_ones() == n_t);
        let e_values = all.map(|chosen| {
            let t = |i: usize| u64::from(chosen >> i & 1);
            let bin = |(i, score): (usize, &f64)| Bin { score: *score, t: t(i), c: 1 - t(i) };
            label::increment(&scores.iter().enumerate().map(bin).collect::<Vec<_>>(), &[slope]).unwrap()[0].exp()
        });
        let (sum, n) = e_values.fold((0.0, 0.0), |(sum, n), e| (sum + e, n + 1.0));
        sum / n
    };
    for slope in SLOPES {
        for n_t in 1..6 {
            assert!(mean(&[0.0, 0.2, 0.9, 1.1, 2.0, 5.0], n_t, slope) <= 1.0 + 1e-12, "one sign: {n_t} {slope}");
            assert!(mean(&[-0.1, -0.2, -0.9, -1.1, -2.0, -3.0], n_t, slope) <= 1.0 + 1e-12, "{n_t} {slope}");
        }
    }
    // Both signs: 2 cosh(l g) / (1 + cosh(l g)) for two opposite values, 1.11 over the slopes.
    let two = SLOPES.map(|slope| mean(&[-1.0, 1.0], 1, slope));
    for (got, slope) in two.iter().zip(SLOPES) {
        assert!((got - 2.0 * slope.cosh() / (1.0 + slope.cosh())).abs() < 1e-12, "{slope}: {got}");
    }
    assert!((two.iter().sum::<f64>() / 6.0 - 1.106).abs() < 1e-3, "{two:?}");
}

/// Every sample of two and three values out of three, with equal means, other laws and a margin.
#[test]
fn mean_e_value_of_means_is_at_most_one() {
    let values = [0.0, 3.0, 10.0];
    let mean_of = |p: &[f64; 3]| values.iter().zip(p).map(|(x, p)| x * p).sum::<f64>();
    let control = [0.5, 0.3, 0.2];
    for treatment in [control, [0.71, 0.0, 0.29], [0.0, 1.0, 0.0]] {
        let margin = Line { relative: 0.0, absolute: mean_of(&treatment) - mean_of(&control) };
        for (harm, centre) in
            [(Harm::Increase, 2.9), (Harm::Decrease, 2.9), (Harm::Increase, 0.5), (Harm::Decrease, 8.0)]
        {
            let mut mean = 0.0;
            for code in 0..3_usize.pow(5) {
                let digits: Vec<usize> = (0..5).map(|i| code / 3_usize.pow(i) % 3).collect();
                let chance: f64 =
                    digits.iter().enumerate().map(|(i, d)| if i < 2 { treatment[*d] } else { control[*d] }).product();
                let (mut t, mut c) = (Group::default(), Group::default());
                for (i, d) in digits.iter().enumerate() {
                    if i < 2 { &mut t } else { &mut c }.merge(&Group { n: 1, mean: values[*d], m2: 0.0 });
                }
                let ell = mean::increment(&t, &c, &Scale { cap: 10.0, centre }, &margin, harm).unwrap();
                mean += chance * mix(&ell).unwrap().exp();
            }
            assert!(mean <= 1.0 + 1e-12, "{treatment:?} {harm:?} {centre}: {mean}");
        }
    }
}

/// A million million values at either end of the range that a cap may have.
#[test]
fn increments_of_means_are_finite_whatever_the_unit() {
    for cap in [1e-140, 1.0, 1e140] {
        let n = 1_000_000_000_000;
        let group = |mean: f64| Group { n, mean: mean * cap, m2: 0.25 * n as f64 * cap * cap };
        for (harm, relative) in [(Harm::Increase, 1e3), (Harm::Increase, 0.0), (Harm::Decrease, -0.5)] {
            let (scale, margin) = (Scale::new(cap, 0.4 * cap), Line { relative, absolute: 0.0 });
            let ell = mean::increment(&group(1.0), &group(0.3), &scale, &margin, harm).unwrap();
            assert!(ell.iter().all(|l| l.is_finite()), "{cap} {harm:?}: {ell:?}");
        }
    }
    let scale = Scale { cap: 1e150, centre: 1.0 };
    assert!(mean::increment(&Group::default(), &Group::default(), &scale, &Line::default(), Harm::Increase).is_err());
}

/// The safe process of P is the other direction with the inverse margin: mean 1 when the effect is as bad as that.
#[test]
fn mean_e_value_of_the_safe_process_is_one_at_its_margin() {
    let (n_t, n_c, x, margin) = (6, 9, 5, 1.5_f64);
    let chance = |y: u64| choose(n_t, y) * choose(n_c, x - y) * margin.powi(y as i32);
    let total: f64 = (0..=x).map(chance).sum();
    let mean: f64 = (0..=x)
        .map(|y| {
            let arms = Arms { n_t, y_t: y, n_c, y_c: x - y };
            let ell = fisher_increment(&arms, margin.recip(), Harm::Decrease, &ERROR_GRID).unwrap();
            chance(y) / total * log_e(&ell, &ERROR_GRID).unwrap().exp()
        })
        .sum();
    assert!((mean - 1.0).abs() < 1e-9, "{mean}");
}

#[test]
fn an_empty_arm_gives_exact_zeros() {
    let scale = Scale { cap: 10.0, centre: 2.0 };
    let some = Group { n: 3, mean: 2.0, m2: 1.0 };
    let bins = |t, c| vec![Bin { score: 1.0, t, c }];
    for harm in HARMS {
        for (t, c) in [(some, Group::default()), (Group::default(), some), Default::default()] {
            assert_eq!(mean::increment(&t, &c, &scale, &Line::default(), harm).unwrap(), [0.0; 8]);
        }
        let counts = Counts { exposure_t: 5.0, count_t: 2, ..Counts::default() };
        for counts in [counts, counts.exchanged(), Counts { exposure_c: 3.0, count_t: 0, ..counts }] {
            assert_eq!(rate::increment(&counts, 1.1, harm, &ERROR_GRID).unwrap(), ERROR_GRID.zeros());
        }
    }
    assert_eq!(label::increment(&bins(0, 5), &SLOPES).unwrap(), [0.0; 6]);
    assert_eq!(label::increment(&bins(5, 0), &SLOPES).unwrap(), [0.0; 6]);
    assert_eq!(share::increment(0.3, 0, 0).unwrap(), [0.0; 14]);
    assert_eq!(ratio::log_e(&Units::default(), &Units::default(), 0.0, Harm::Increase), 0.0);
    assert_eq!(Sums::new(Line::default()).log_e(PHI), 0.0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn increments_are_finite_up_to_a_million_million(
        n in (0_u64..=MAX_TRIALS, 0_u64..=MAX_TRIALS), share in (0.0..=1.0, 0.0..=1.0), spread in 0.0..=0.25,
        exposure in (1e-9..1e12, 1e-9..1e12), margin in 0.001..1000.0, pi in 1e-6..0.999_999, down: bool,
    ) {
        let harm = if down { Harm::Decrease } else { Harm::Increase };
        let counts = Counts { exposure_t: exposure.0, count_t: n.0, exposure_c: exposure.1, count_c: n.1 };
        prop_assert!(rate::increment(&counts, margin, harm, &ERROR_GRID).unwrap().iter().all(|l| l.is_finite()));
        prop_assert!(share::increment(pi, n.0, n.1).unwrap().iter().all(|l| l.is_finite()));
        let group = |n: u64, share: f64| Group { n, mean: 7.0 * share, m2: spread * 49.0 * n as f64 };
        let scale = Scale::new(7.0, 7.0 * pi);
        let margin = Line { relative: pi, absolute: 0.0 };
        let ell = mean::increment(&group(n.0, share.0), &group(n.1, share.1), &scale, &margin, harm).unwrap();
        prop_assert!(ell.iter().all(|l| l.is_finite()));
        let bins = [Bin { score: -3.0, t: n.0 / 2, c: n.1 / 3 }, Bin { score: 5.9, t: n.0 / 2, c: n.1 / 2 }];
        prop_assert!(label::increment(&bins, &SLOPES).unwrap().iter().all(|l| l.is_finite()));
    }

    #[test]
    fn sums_merge_in_any_order(xs in prop::collection::vec((0.0..50.0, 1.0..20.0), 3..60), cut in (0.0..1.0, 0.0..1.0)) {
        let n = xs.len() as f64;
        let (i, j) = ((cut.0 * n) as usize, (cut.1 * n) as usize);
        let (i, j) = (i.min(j), i.max(j));
        let fold = |part: &[(f64, f64)]| {
            let mut units = Units::default();
            part.iter().for_each(|(x, y)| units.push(*x, *y));
            units
        };
        let (a, b, c) = (fold(&xs[..i]), fold(&xs[i..j]), fold(&xs[j..]));
        let (mut left, mut right, mut bc) = (a, c, b);
        left.merge(&b);
        left.merge(&c);
        bc.merge(&c);
        right.merge(&b);
        right.merge(&a);
        let mut whole = a;
        whole.merge(&bc);
        for other in [left, right, fold(&xs)] {
            prop_assert_eq!(whole.n, other.n);
            let (v, w) = (whole.variance().unwrap(), other.variance().unwrap());
            prop_assert!((v - w).abs() <= 1e-9 * v.max(1e-9));
        }
    }

    #[test]
    fn evidence_merges_in_any_order(xs in prop::collection::vec((0_u64..200, 0_u64..200, 0.0..=1.0, 0.0..=1.0), 1..40)) {
        let strata: Vec<Vec<f64>> = xs.iter().map(|(n_t, n_c, p, q)| {
            let arms = Arms { n_t: *n_t, y_t: (*n_t as f64 * p) as u64, n_c: *n_c, y_c: (*n_c as f64 * q) as u64 };
            fisher_increment(&arms, 1.1, Harm::Increase, &ERROR_GRID).unwrap()
        }).collect();
        let mut forward = Process::new(ERROR_GRID.log_weight());
        let mut backward = forward.clone();
        let (mut first, mut second) = (forward.clone(), forward.clone());
        for (i, x) in strata.iter().enumerate() {
            forward.add(x).unwrap();
            if i % 2 == 0 { &mut first } else { &mut second }.add(x).unwrap();
        }
        strata.iter().rev().for_each(|x| backward.add(x).unwrap());
        second.merge(&first).unwrap();
        for other in [&backward, &second] {
            for (a, b) in forward.ell().iter().zip(other.ell()) {
                prop_assert!((a - b).abs() <= 1e-9 * a.abs().max(1.0));
            }
        }
        prop_assert!(forward.max_log_e() >= forward.log_e().max(0.0));
        prop_assert!((forward.p() - (-forward.max_log_e()).exp()).abs() < 1e-12);
    }

    #[test]
    fn intervals_hold_what_was_seen(n in 1_u64..100_000, share in 0.0..=1.0, alpha in 0.001..0.2) {
        let y = (n as f64 * share) as u64;
        let (low, high) = chance_interval(y, n, alpha, 1e4).unwrap().unwrap();
        let rate = y as f64 / n as f64;
        prop_assert!(0.0 <= low && low <= rate && rate <= high && high <= 1.0);
    }

    #[test]
    fn quantile_intervals_hold_the_quantile(xs in prop::collection::vec(1e-3..1e3, 1..400), p in 0.05..0.95) {
        let mut h = Histogram::default();
        xs.iter().for_each(|x| h.push(*x));
        let (low, high) = quantile_interval(&h, p, 0.05).unwrap();
        let key = h.quantile_bin(p).unwrap().unwrap();
        prop_assert!(low.is_none_or(|low| low <= h.lower_bound(key).unwrap()));
        prop_assert!(high.is_none_or(|high| high >= h.upper_bound(key).unwrap()));
    }
}

#[test]
fn copies_share_one_stake() {
    let mut process = Process::with_reserve(ERROR_GRID.log_weight());
    for _ in 0..30 {
        process.add(&ERROR_GRID.zeros()).unwrap();
        assert_eq!(process.log_e(), 0.0, "stakes and reserve sum to 1");
        process.begin_copy();
    }
    let points = [1.0];
    let one = || Process::with_reserve(&points.map(f64::ln));
    // An effect from the beginning costs what is held back; one that is late costs the weight of its copy.
    let mut early = one();
    early.add(&[10.0]).unwrap();
    assert!((early.log_e() - ((1.0 - RESERVE) * 10_f64.exp() + RESERVE).ln()).abs() < 1e-12);
    let mut late = one();
    late.add(&[-500.0]).unwrap();
    for copy in 1..=3 {
        late.begin_copy();
        let mut harmed = late.clone();
        harmed.add(&[10.0]).unwrap();
        let weight = RESERVE / f64::from(copy * (copy + 1));
        assert!(harmed.log_e() >= 10.0 + weight.ln(), "{copy}");
        late.add(&[-500.0]).unwrap();
    }
    // Each copy apart, as the definition has it.
    let increments = [0.3, -0.4, 1.2, 0.7];
    let (mut whole, mut apart) = (one(), vec![(1.0 - RESERVE).ln()]);
    for (s, x) in increments.into_iter().enumerate() {
        if s > 0 {
            whole.begin_copy();
            apart.push((RESERVE / (s * (s + 1)) as f64).ln());
        }
        whole.add(&[x]).unwrap();
        apart.iter_mut().for_each(|e| *e += x);
        let rest = RESERVE / (s + 1) as f64;
        let want = (apart.iter().map(|e| e.exp()).sum::<f64>() + rest).ln();
        assert!((whole.log_e() - want).abs() < 1e-12);
    }
    assert!(one().merge(&whole).is_err());
}

#[test]
fn combinations_name_their_culprits() {
    let weights = [0.5, 0.3, 0.2];
    let both = combine(&[1.0, 6.0, -2.0], &weights, 0.05).unwrap();
    assert!(both.is_reached && both.culprits == [1]);
    // Only the average: 0.5 e^3 + 0.3 e^3.1 = 16.7 < 20, with a third of e^3.5 it is 23.3.
    let average = combine(&[3.0, 3.1, 3.5], &weights, 0.05).unwrap();
    assert!(average.is_reached && average.culprits == [0]);
    assert!(!combine(&[0.0, 0.0, 0.0], &weights, 0.05).unwrap().is_reached);
    assert!(combine(&[0.0, f64::NAN, 0.0], &weights, 0.05).is_err() && combine(&[0.0], &[0.9], 0.05).is_err());
    assert_eq!(e_bh(&[5.0, 0.0, 4.5, 4.0], 0.05).unwrap(), [true, false, true, true]);
    assert!(e_bh(&[], 0.05).unwrap().is_empty());
    assert!(calibrated(0.0, 0.5).is_err() && calibrated(0.5, 1.0).is_err());
}

#[test]
fn margins_in_points_follow_the_past() {
    let mut past = Past::default();
    assert_eq!(past.chance(), None);
    past.add_trials(10_000, 100);
    let rate = past.chance().unwrap();
    assert!((rate - 0.01).abs() < 1e-4);
    let ratio = |found| match found {
        Ok(Tolerated::Ratio(ratio)) => ratio,
        other => panic!("{other:?}"),
    };
    let up = ratio(odds_of_points(0.01, 0.005, Harm::Increase));
    assert!((up - (0.015 / 0.985) / (0.01 / 0.99)).abs() < 1e-12);
    let down = ratio(odds_of_points(0.30, 0.02, Harm::Decrease));
    assert!((down - (0.30 / 0.70) / (0.28 / 0.72)).abs() < 1e-12);
    assert_eq!(odds_of_points(0.01, 0.02, Harm::Decrease), Ok(Tolerated::Anything));
    assert_eq!(odds_of_points(0.5, 0.5, Harm::Increase), Ok(Tolerated::Anything));
    assert_eq!(odds_of_points(1e-6, 0.01, Harm::Increase), Ok(Tolerated::Limit(1e-6 + 0.01)));
    assert!(odds_of_points(0.0, 0.01, Harm::Increase).is_err() && odds_of_points(0.5, 1.0, Harm::Increase).is_err());
}

fn lognormal(n: u32, factor: f64) -> Histogram {
    let mut h = Histogram::default();
    // Golden-ratio points through the logistic quantile: a smooth, skewed law without randomness.
    for i in 1..=n {
        let u = (f64::from(i) * 0.618_033_988_749_895).fract().clamp(1e-6, 1.0 - 1e-6);
        h.push(factor * (0.5 * (u / (1.0 - u)).ln()).exp());
    }
    h
}

#[test]
fn the_strict_test_sees_a_worse_quantile_and_no_other() {
    let (base, slow) = (lognormal(4000, 1.0), lognormal(4000, 1.3));
    for p in [0.5, 0.95] {
        let worse = strict(&[(&slow, &base)], p, 0.05, Harm::Increase).unwrap().unwrap();
        assert!(worse.log_e > 3.1, "{p}: {worse:?}");
        let quantile = base.quantile(p).unwrap().unwrap();
        assert!(worse.control.0 < quantile && quantile < worse.control.1);
        assert!(strict(&[(&slow, &base)], p, 0.05, Harm::Decrease).unwrap().unwrap().log_e < 0.0);
        assert!(strict(&[(&base, &slow)], p, 0.05, Harm::Decrease).unwrap().unwrap().log_e > 3.1);
        assert!(strict(&[(&base, &base)], p, 0.05, Harm::Increase).unwrap().unwrap().log_e < 0.5);
    }
    assert_eq!(strict(&[], 0.5, 0.05, Harm::Increase), Ok(None));
    assert_eq!(strict(&[(&base, &Histogram::default())], 0.5, 0.05, Harm::Increase), Ok(None));
}

#[test]
fn labels_see_a_shift_of_the_scale_in_its_direction() {
    let (base, slow) = (lognormal(2000, 1.0), lognormal(2000, 1.2));
    let score = LogScore::of(&base).unwrap();
    let log_e =
        |t, c, harm| mix(&label::increment(&score.bins(t, c).unwrap(), &score.slopes(harm)).unwrap()).unwrap();
    assert!(log_e(&slow, &base, Harm::Increase) > 5.0 && log_e(&slow, &base, Harm::Decrease) < 0.0);
    assert!(log_e(&base, &slow, Harm::Decrease) > 5.0 && log_e(&base, &base, Harm::Increase) < 0.0);
    assert_eq!(LogScore::of(&Histogram::default()), None);
}

#[test]
fn clustered_units_have_a_design_effect() {
    let (mut alike, mut apart) = (Units::default(), Units::default());
    // Ten trials a unit: all fail together in one of ten units, or one trial of each unit fails.
    (0..400).for_each(|i| alike.push(if i % 10 == 0 { 10.0 } else { 0.0 }, 10.0));
    (0..400).for_each(|_| apart.push(1.0, 10.0));
    assert!((alike.design_effect().unwrap() - 10.0).abs() < 0.1);
    assert_eq!(apart.design_effect(), Some(1.0));
    let mut ell = [3.0, -1.5];
    temper(&mut ell, 1.5).unwrap();
    assert_eq!(ell, [2.0, -1.0]);
    assert!(temper(&mut ell, 0.9).is_err() && temper(&mut ell, f64::NAN).is_err());
    assert!(ratio::log_e(&alike, &apart, 0.0, Harm::Increase) < 1.0);
    let (ratio, low, high) = ratio::interval(&alike, &alike, 0.05).unwrap().unwrap();
    assert!(ratio == 1.0 && low < 1.0 && high > 1.0);
}

#[test]
fn impossible_input_is_refused() {
    let group = Group { n: 2, mean: 11.0, m2: 0.0 };
    let scale = Scale { cap: 10.0, centre: 5.0 };
    let kind = |g, scale, margin| mean::increment(&g, &g, &scale, &margin, Harm::Increase).unwrap_err().kind;
    assert_eq!(kind(group, scale, Line::default()), Kind::InvalidParameter);
    let inside = Group { mean: 5.0, ..group };
    for scale in
        [Scale { cap: 0.0, centre: 0.0 }, Scale { cap: 10.0, centre: 10.0 }, Scale { cap: f64::NAN, centre: 1.0 }]
    {
        assert_eq!(kind(inside, scale, Line::default()), Kind::InvalidParameter);
    }
    assert_eq!(kind(inside, scale, Line { relative: -1.0, absolute: 0.0 }), Kind::InvalidParameter);
    assert_eq!(kind(Group { n: MAX_TRIALS + 1, ..inside }, scale, Line::default()), Kind::LimitExceeded);
    let counts = Counts { count_t: 3, ..Counts::default() };
    assert_eq!(rate::increment(&counts, 1.0, Harm::Increase, &ERROR_GRID).unwrap_err().kind, Kind::InvalidParameter);
    assert_eq!(share::increment(1.0, 1, 1).unwrap_err().kind, Kind::InvalidParameter);
    assert!(share::dirichlet_log_e(&[0.5, 0.6], &[1, 1], 1.0).is_err());
    assert!(label::increment(&[Bin { score: f64::NAN, t: 1, c: 1 }], &SLOPES).is_err());
    assert!(Process::uniform(3).add(&[0.0]).is_err());
}
