//! Report tests, robust scores and ratios against the answers of independent libraries
//! (tests/data/stat-vectors/README.md); how suites are compared is told in `vectors/mod.rs`.

mod vectors;

use flagscope_core::anomaly::detector::Detector;
use flagscope_core::anomaly::robust::{self, NORMAL, Scale};
use flagscope_core::sketch::histogram::{DEFAULT_SCALE, Histogram, bin};
use flagscope_core::sketch::{Ratio, TDigest};
use flagscope_core::stats::proportion::{Z_95, wilson};
use flagscope_core::stats::rate::Counts;
use flagscope_core::stats::report::means::{Group, Means, welch, z_test};
use flagscope_core::stats::report::multiple::{Correction, adjust};
use flagscope_core::stats::report::{chi_square, proportions, ranks, rates};
use flagscope_core::stats::tilt::Arms;
use serde_json::Value;
use vectors::{Answers, number, numbers, run};

fn counts(value: &Value) -> Vec<u64> {
    value.as_array().expect("counts").iter().map(|n| n.as_u64().expect("a count")).collect()
}

fn arms(input: &Value) -> Arms {
    let [n_t, y_t, n_c, y_c] = ["n_t", "k_t", "n_c", "k_c"].map(|field| input[field].as_u64().expect("a count"));
    Arms { n_t, y_t, n_c, y_c }
}

#[test]
fn scipy_welch() {
    run("scipy_welch", 7, &[], |input, _| {
        let group = |arm: &str| {
            let [n, mean, variance] = ["n", "mean", "var"].map(|field| number(&input[format!("{field}_{arm}")]));
            Group { n, mean, variance }
        };
        let test = welch(&group("t"), &group("c"), 0.95, 0.0).expect("arguments").expect("a variance").absolute;
        vec![("t", vec![test.t]), ("p_two_sided", vec![test.p_value])]
    });
}

#[test]
fn statsmodels_proportions() {
    run("statsmodels_proportions", 6, &[], |input, _| {
        let (arms, confidence) = (arms(input), 1.0 - number(&input["alpha"]));
        let test = proportions::compare(&arms, confidence).expect("arguments").expect("events");
        let wilson = wilson(arms.n_t, arms.y_t, Z_95).expect("counts").expect("trials");
        vec![
            ("wilson_t", vec![wilson.lower, wilson.upper]),
            ("newcombe_diff", vec![test.newcombe.lower, test.newcombe.upper]),
            ("agresti_caffo_p", vec![test.p_agresti_caffo]),
            ("z", vec![test.z]),
            ("p_larger", vec![test.p_greater]),
        ]
    });
}

#[test]
fn spotify_chi_squared() {
    run("spotify_chi_squared", 4, &[], |input, _| {
        let arms = arms(input);
        let test = proportions::compare(&arms, 0.95).expect("arguments").expect("events");
        // The same table as counts against shares has the same p-value.
        let n = (arms.n_t + arms.n_c) as f64;
        let y = (arms.y_t + arms.y_c) as f64;
        let chi2: f64 = [(arms.n_t, arms.y_t), (arms.n_c, arms.y_c)]
            .iter()
            .map(|(n_arm, y_arm)| {
                let expected = *n_arm as f64 * y / n;
                let misses = *n_arm as f64 - expected;
                (*y_arm as f64 - expected).powi(2) * (expected.recip() + misses.recip())
            })
            .sum();
        assert!((test.z * test.z / chi2 - 1.0).abs() < 1e-9);
        vec![
            ("difference", vec![test.wald.difference]),
            ("ci_lower", vec![test.wald.lower]),
            ("ci_upper", vec![test.wald.upper]),
            ("p_value", vec![test.p_value]),
        ]
    });
}

/// Sums as a group. Spotify's tests take the sample variance, as all of ours do.
fn of_sums(arm: &Value) -> Group {
    let [n, sum, squares] = ["n", "sum", "sum_squares"].map(|field| number(&arm[field]));
    Group { n, mean: sum / n, variance: (squares - sum * (sum / n)) / (n - 1.0) }
}

#[test]
fn spotify_difference() {
    run("spotify_difference", 7, &[], |input, _| {
        let (treatment, control) = (of_sums(&input["treatment"]), of_sums(&input["control"]));
        let test = |confidence: f64, margin: f64| -> Means {
            let test = if input["method"] == "z-test" { z_test } else { welch };
            test(&treatment, &control, confidence, margin).expect("arguments").expect("a variance")
        };
        let level = number(&input["interval_size"]);
        // One-sided: the upper end of a two-sided interval with twice the error, and the other tail.
        let (lower, upper, p) = match input["nim"].as_f64() {
            None => {
                let test = test(level, 0.0).absolute;
                (test.estimate.lower, test.estimate.upper, test.p_value)
            }
            Some(nim) => {
                assert_eq!(input["nim_preference"], "decrease");
                let test = test(2.0 * level - 1.0, nim * control.mean).absolute;
                (f64::NEG_INFINITY, test.estimate.upper, 1.0 - test.p_greater)
            }
        };
        let unit = if number(&input["absolute"]) == 1.0 { 1.0 } else { control.mean };
        vec![
            ("difference", vec![(treatment.mean - control.mean) / unit]),
            ("ci_lower", vec![lower / unit]),
            ("ci_upper", vec![upper / unit]),
            ("p_value", vec![p]),
            ("is_significant", vec![f64::from(p < 1.0 - level)]),
        ]
    });
}

fn gbstats_arm(metric: &Value, arm: &Value) -> Group {
    let field = |name: &str| number(&arm[name]);
    let n = field("n");
    if metric == "proportion" {
        let mean = field("sum") / n;
        return Group { n, mean, variance: mean * (1.0 - mean) };
    }
    if metric == "mean" {
        return of_sums(arm);
    }
    let (x, y) = (field("m_sum"), field("d_sum"));
    let text = serde_json::json!({
        "n": n as u64, "mean_x": x / n, "mean_y": y / n, "invalid": 0,
        "xx": field("m_sum_squares") - x * x / n, "yy": field("d_sum_squares") - y * y / n,
        "xy": field("m_d_sum_of_products") - x * y / n,
    });
    let ratio: Ratio = flagscope_core::sketch::Sketch::from_text(&text.to_string()).expect("a state");
    Group::of_ratio(&ratio).expect("units")
}

fn gbstats(input: &Value, confidence: f64, one_sided: bool) -> Answers {
    let (treatment, control) =
        (gbstats_arm(&input["metric"], &input["treatment"]), gbstats_arm(&input["metric"], &input["control"]));
    let test = welch(&treatment, &control, confidence, 0.0).expect("arguments").expect("a variance");
    let test = if input["difference"] == "relative" { test.relative.expect("a control mean") } else { test.absolute };
    vec![
        ("expected", vec![test.estimate.difference]),
        ("ci_lower", vec![test.estimate.lower]),
        ("ci_upper", vec![if one_sided { f64::INFINITY } else { test.estimate.upper }]),
        ("p_value", vec![if one_sided { test.p_greater } else { test.p_value }]),
        ("se", vec![test.standard_error]),
    ]
}

#[test]
fn gbstats_fixed_two_sided() {
    // "error" is null in every case.
    run("gbstats_fixed_two_sided", 10, &["error"], |input, _| gbstats(input, 1.0 - number(&input["alpha"]), false));
}

#[test]
fn gbstats_fixed_one_sided() {
    run("gbstats_fixed_one_sided", 5, &["error"], |input, _| {
        gbstats(input, 1.0 - 2.0 * number(&input["alpha"]), true)
    });
}

/// Every distinct value in a bin of its own, in the order of values: then ties are those of the values.
fn ranked(xs: &[f64], order: &[f64]) -> Histogram {
    let mut histogram = Histogram::default();
    for x in xs {
        let rank = order.partition_point(|o| o < x) as i32;
        histogram.push(bin::middle(rank, DEFAULT_SCALE));
    }
    histogram
}

#[test]
fn scipy_mannwhitney_ks() {
    run("scipy_mannwhitney_ks", 6, &[], |input, _| {
        let (a, b) = (numbers(&input["a"]), numbers(&input["b"]));
        let mut order = [a.clone(), b.clone()].concat();
        order.sort_by(f64::total_cmp);
        let test = ranks::compare(&ranked(&a, &order), &ranked(&b, &order)).expect("few values").expect("values");
        // Computed on another way: equal but for rounding.
        let superiority = test.u / (a.len() * b.len()) as f64;
        assert!((test.superiority - superiority).abs() <= 1e-12, "{} and {superiority}", test.superiority);
        vec![
            ("U_a", vec![test.u]),
            ("p_two_sided_asymptotic_cc", vec![test.p_value]),
            ("p_a_greater_asymptotic_cc", vec![test.p_greater]),
            ("ks_statistic", vec![test.distance]),
        ]
    });
}

#[test]
fn scipy_srm_chisquare() {
    run("scipy_srm_chisquare", 6, &[], |input, _| {
        let test = chi_square::goodness_of_fit(&counts(&input["counts"]), &numbers(&input["weights"]));
        let test = test.expect("arguments").expect("units");
        vec![("chi2", vec![test.chi2]), ("p_value", vec![test.p_value])]
    });
}

#[test]
fn spotify_sample_ratio() {
    run("spotify_sample_ratio", 4, &[], |input, _| {
        let share = number(&input["expected_control"]);
        let counts = ["n_control", "n_test"].map(|field| input[field].as_u64().expect("a count"));
        let test = chi_square::goodness_of_fit(&counts, &[share, 1.0 - share]).expect("arguments").expect("units");
        vec![("p_value", vec![test.p_value])]
    });
}

#[test]
fn statsmodels_ratio_delta() {
    // HC1's error differs from the delta method's by O(1/n), as the suite says.
    run("statsmodels_ratio_delta", 4, &["wls_se_hc1"], |input, _| {
        let mut arms = [Ratio::default(), Ratio::default()];
        let units = numbers(&input["numerator"]).into_iter().zip(numbers(&input["denominator"]));
        for (arm, (x, y)) in counts(&input["treatment"]).into_iter().zip(units) {
            arms[arm as usize].push(x, y);
        }
        let [control, treatment] = arms.map(|arm| Group::of_ratio(&arm).expect("units"));
        let test = welch(&treatment, &control, 0.95, 0.0).expect("arguments").expect("a variance").absolute;
        vec![
            ("ratio_t", vec![treatment.mean]),
            ("ratio_c", vec![control.mean]),
            ("delta_effect", vec![test.estimate.difference]),
            ("wls_effect", vec![test.estimate.difference]),
            ("delta_var", vec![test.standard_error.powi(2)]),
        ]
    });
}

/// The mean of what is left when so many values, of which one may be a share, are taken off at both ends.
fn share_trimmed(xs: &[f64], off: f64) -> f64 {
    let mut sorted = xs.to_vec();
    sorted.sort_by(f64::total_cmp);
    let n = sorted.len() as f64;
    let left = |index: usize| (n - off).min(index as f64 + 1.0) - off.max(index as f64);
    let sum: f64 = sorted.iter().enumerate().map(|(index, x)| x * left(index).max(0.0)).sum();
    sum / (n - 2.0 * off)
}

/// Few values have a centroid each in a digest; bins of scale 8 are off by 0.135 % at most.
fn check_trimmed(xs: &[f64], digest: &TDigest, histogram: &Histogram) {
    let want = share_trimmed(xs, xs.len() as f64 * 0.1);
    let [exact, binned] = [digest.trimmed_mean(0.1, 0.9), histogram.trimmed_mean(0.1, 0.9)]
        .map(|mean| mean.expect("levels").expect("values"));
    assert_near(exact, want, if xs.len() <= 200 { 1e-9 } else { 1e-3 } * size(xs));
    assert_near(binned, want, 0.0014 * size(xs));
}

/// The greatest magnitude, and 1 at least.
fn size(xs: &[f64]) -> f64 {
    xs.iter().fold(1.0, |size, x| size.max(x.abs()))
}

fn assert_near(got: f64, want: f64, most: f64) {
    assert!((got - want).abs() <= most, "got {got}, want {want} within {most}");
}

/// What the suite has six cases of, at every small size.
#[test]
fn trimmed_means_take_shares_of_values() {
    let mut seed = 7_u64;
    let mut next = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((seed >> 11) as f64 / (1_u64 << 53) as f64 - 0.3) * 1e3
    };
    for n in 1..=200 {
        let xs: Vec<f64> = (0..n).map(|_| next()).collect();
        let (digest, histogram) = sketches(&xs);
        check_trimmed(&xs, &digest, &histogram);
    }
}

fn sketches(xs: &[f64]) -> (TDigest, Histogram) {
    let mut sketches = (TDigest::new(1000).expect("a compression"), Histogram::new(8).expect("a scale"));
    xs.iter().for_each(|x| {
        sketches.0.push(*x);
        sketches.1.push(*x);
    });
    sketches
}

#[test]
fn scipy_robust() {
    // Quantiles and trimmed means are those of sketches here, which are approximate: compared below, not to 1e-9.
    let left_out = ["iqr", "quantile_linear", "quantile_inverted_cdf", "trim_mean_10pct", "winsor_mean_5pct"];
    run("scipy_robust", 6, &left_out, |input, expected| {
        let xs = numbers(&input["x"]);
        let (digest, histogram) = sketches(&xs);
        // scipy trims whole values, we trim shares of them; the same sum gives both.
        let whole = share_trimmed(&xs, (xs.len() as f64 * 0.1).floor());
        assert_near(whole, number(&expected["trim_mean_10pct"]), 1e-9 * size(&xs));
        check_trimmed(&xs, &digest, &histogram);
        let scale = Scale::of(&mut xs.clone()).expect("values");
        let z = robust::last_z(&xs).expect("values");
        vec![("median", vec![scale.median]), ("mad", vec![scale.deviation / NORMAL]), ("robust_z_last", vec![z])]
    });
}

#[test]
fn statsmodels_stl() {
    // An offline decomposition, which the e-SR detector's baseline stands in for. The suite asks of others only that
    // they find the same point, which a robust z without any season does here.
    let left_out = ["trend_last", "seasonal_last", "resid_median", "resid_mad", "max_abs_robust_z"];
    run("statsmodels_stl", 2, &left_out, |input, _| {
        let xs = numbers(&input["x"]);
        let scale = Scale::of(&mut xs.clone()).expect("values");
        let size = |i: &usize| scale.z(xs[*i]).expect("a scale").abs();
        let most = (0..xs.len()).max_by(|a, b| size(a).total_cmp(&size(b))).expect("points");
        vec![("argmax_abs_robust_z", vec![most as f64])]
    });
}

#[test]
fn ref_e_sr_detector() {
    run("ref_e_sr_detector", 4, &[], |input, _| {
        let mut detector = Detector::default();
        let path = numbers(&input["p"]).into_iter().map(|p| {
            detector.push(p);
            detector.log()
        });
        vec![("log_M_path", path.collect())]
    });
}

fn two_rates(input: &Value, ratio: f64) -> rates::Rates {
    let [exposure_t, exposure_c] = ["exposure_t", "exposure_c"].map(|field| number(&input[field]));
    let [count_t, count_c] = ["k_t", "k_c"].map(|field| input[field].as_u64().expect("a count"));
    let counts = Counts { exposure_t, count_t, exposure_c, count_c };
    rates::compare(&counts, 0.95, ratio).expect("arguments").expect("events")
}

#[test]
fn statsmodels_poisson_rates() {
    run("statsmodels_poisson_rates", 5, &[], |input, _| {
        let test = two_rates(input, number(&input["ratio_null"]));
        vec![
            ("score_p_larger", vec![test.p_greater]),
            ("exact_cond_p_larger", vec![test.p_greater_exact]),
            ("score_ratio_ci", vec![test.lower, test.upper]),
        ]
    });
}

#[test]
fn scipy_poisson_rates() {
    // The E-test of Krishnamoorthy and Thomson is not offered: the conditional test is exact at any size.
    run("scipy_poisson_rates", 4, &["etest_statistic", "etest_p"], |input, _| {
        vec![("conditional_binomial_p_greater", vec![two_rates(input, 1.0).p_greater_exact])]
    });
}

#[test]
fn statsmodels_multitest() {
    run("statsmodels_multitest", 5, &[], |input, _| {
        let (ps, alpha) = (numbers(&input["p"]), number(&input["alpha"]));
        let names = [
            ("bonferroni", "bonferroni_p", "bonferroni_reject"),
            ("holm", "holm_p", "holm_reject"),
            ("bh", "fdr_bh_p", "fdr_bh_reject"),
            ("by", "fdr_by_p", "fdr_by_reject"),
        ];
        names.into_iter().fold(Vec::new(), |mut answers, (label, p, reject)| {
            let adjusted = adjust(&ps, Correction::from_label(label).expect("a word")).expect("p-values");
            answers.push((reject, adjusted.iter().map(|p| f64::from(*p <= alpha)).collect()));
            answers.push((p, adjusted));
            answers
        })
    });
    assert!(Correction::from_label("none").is_err() && adjust(&[1.1], Correction::Holm).is_err());
    assert_eq!(adjust(&[], Correction::BenjaminiYekutieli), Ok(vec![]));
}
