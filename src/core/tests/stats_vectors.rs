//! Statistics and sketches against the answers of independent libraries (tests/data/stat-vectors/README.md).

mod vectors;

use flagscope_core::sketch::histogram::{self, Histogram, bin};
use flagscope_core::sketch::{Moments, TDigest};
use flagscope_core::stats::mixture::{self, Grid};
use flagscope_core::stats::proportion::{Z_95, wilson};
use flagscope_core::stats::score::Score;
use flagscope_core::stats::tilt::{Arms, Harm, fisher_increment, log_m, one_sample_increment};
use flagscope_core::stats::{exceedance, mixture::weighted};
use serde_json::Value;
use vectors::{number, numbers, run};

fn counts(value: &Value) -> Vec<u64> {
    value.as_array().expect("counts").iter().map(|n| n.as_u64().expect("a count")).collect()
}

fn strata(input: &Value) -> Vec<Vec<u64>> {
    input["strata"].as_array().expect("strata").iter().map(counts).collect()
}

fn grid(input: &Value) -> Grid {
    Grid::new(&numbers(&input["grid"]), &numbers(&input["weights"])).expect("a grid")
}

fn table(row: &[u64]) -> Arms {
    Arms { n_t: row[0], y_t: row[1], n_c: row[2], y_c: row[3] }
}

fn add(ell: &mut [f64], increment: &[f64]) {
    assert_eq!(ell.len(), increment.len());
    ell.iter_mut().zip(increment).for_each(|(sum, x)| *sum += x);
}

#[test]
fn ref_fisher_tilt_mixture() {
    run("ref_fisher_tilt_mixture", 12, &[], |input, _| {
        let grid = grid(input);
        let mut ell = grid.zeros();
        for row in strata(input) {
            let margin = number(&input["margin_or"]);
            add(&mut ell, &fisher_increment(&table(&row), margin, Harm::Increase, &grid).expect("increment"));
        }
        vec![("log_e", vec![mixture::log_e(&ell, &grid).expect("log e")]), ("log_e_per_grid", ell)]
    });
}

#[test]
fn ref_fisher_tilt_design_effect() {
    run("ref_fisher_tilt_design_effect", 4, &[], |input, _| {
        let (grid, effect) = (grid(input), number(&input["design_effect"]));
        let mut ell = grid.zeros();
        for row in strata(input) {
            add(&mut ell, &fisher_increment(&table(&row), 1.0, Harm::Increase, &grid).expect("increment"));
        }
        ell.iter_mut().for_each(|l| *l /= effect);
        vec![("log_e", vec![mixture::log_e(&ell, &grid).expect("log e")])]
    });
}

#[test]
fn scipy_fisher_tilt() {
    run("scipy_fisher_tilt", 15, &[], |input, _| {
        let [n_t, n_c, y, x] =
            ["n_t", "n_c", "events_t", "events_total"].map(|field| input[field].as_u64().expect("a count"));
        let (delta, margin) = (number(&input["delta"]), number(&input["margin_or"]));
        let l = |theta: f64| log_m(n_t, n_c, x, theta).expect("log m");
        let direct = delta * y as f64 - (l(delta + margin.ln()) - l(margin.ln()));
        let arms = Arms { n_t, y_t: y, n_c, y_c: x - y };
        if delta > 0.0 {
            let one = Grid::new(&[delta.exp()], &[1.0]).expect("a grid");
            let increment = fisher_increment(&arms, margin, Harm::Increase, &one).expect("increment");
            assert!((increment[0] - direct).abs() < 1e-10 * direct.abs().max(1.0));
        } else {
            // A tilt towards fewer events is a tilt towards more non-events, with the inverse margin.
            let one = Grid::new(&[(-delta).exp()], &[1.0]).expect("a grid");
            let increment = fisher_increment(&arms, margin.recip(), Harm::Decrease, &one).expect("increment");
            assert!((increment[0] - direct).abs() < 1e-10 * direct.abs().max(1.0));
        }
        vec![("log_e", vec![direct])]
    });
}

/// The suite numbers its bins by itself; what matters for test Q is their order. Put each into our bin of that index.
fn from_bins(bins: &Value) -> Histogram {
    let mut histogram = Histogram::default();
    for (index, n) in bins.as_object().expect("bins") {
        let index = index.parse().expect("an index");
        let value = bin::middle(index, histogram::DEFAULT_SCALE);
        assert_eq!(histogram.key(value), Some(index));
        histogram.push_n(value, n.as_u64().expect("a count")).expect("few values");
    }
    histogram
}

#[test]
fn ref_exceedance_histogram() {
    // The shift depends on the base, which differs; `margins_are_rounded_up_to_bins` checks ours.
    run("ref_exceedance_histogram", 6, &["shift_bins"], |input, expected| {
        let (grid, shift) = (grid(input), expected["shift_bins"].as_i64().expect("a shift") as i32);
        let mut ell = grid.zeros();
        for tick in input["ticks"].as_array().expect("ticks") {
            let threshold = tick["threshold_bin"].as_i64().expect("a bin") as i32;
            let (t, c) = (from_bins(&tick["t"]), from_bins(&tick["c"]));
            let arms = exceedance::arms(&t, &c, &[threshold], &[threshold + shift])[0];
            add(&mut ell, &fisher_increment(&arms, 1.0, Harm::Increase, &grid).expect("increment"));
        }
        vec![("log_e", vec![mixture::log_e(&ell, &grid).expect("log e")])]
    });
}

#[test]
fn ref_slo_one_sample() {
    run("ref_slo_one_sample", 6, &[], |input, _| {
        let (grid, p0) = (grid(input), number(&input["p0"]));
        let mut ell = grid.zeros();
        for row in strata(input) {
            add(&mut ell, &one_sample_increment(row[0], row[1], p0, Harm::Increase, &grid).expect("increment"));
            let swapped = one_sample_increment(row[0], row[0] - row[1], 1.0 - p0, Harm::Decrease, &grid);
            let direct = one_sample_increment(row[0], row[1], p0, Harm::Increase, &grid).expect("increment");
            for (a, b) in swapped.expect("increment").iter().zip(direct) {
                assert!((a - b).abs() < 1e-9 * b.abs().max(1.0));
            }
        }
        vec![("log_e", vec![mixture::log_e(&ell, &grid).expect("log e")])]
    });
}

#[test]
fn ref_combine() {
    // The two decisions are comparisons with log(1 / alpha), which the guardrails do.
    run("ref_combine", 5, &["reject_global", "reject_weighted_bonferroni"], |input, _| {
        let logs: Vec<f64> = numbers(&input["weights"]).iter().map(|w| w.ln()).collect();
        vec![("log_combined", vec![weighted(&numbers(&input["log_e"]), &logs).expect("same lengths")])]
    });
}

#[test]
fn statsmodels_mantel_haenszel() {
    // No fixed-sample p-value and standard error in the core: what it shows is valid at every look.
    let left_out = ["mh_p", "logodds_pooled_se"];
    run("statsmodels_mantel_haenszel", 5, &left_out, |input, expected| {
        let mut score = Score::default();
        for row in strata(input) {
            let mut one = Score::default();
            one.add(&table(&row)).expect("a table");
            score.merge(&one);
        }
        // S / V is a one-step estimate: near the Mantel-Haenszel one for odds ratios near 1.
        let estimate = score.log_or_estimate().expect("information");
        let log_mh = number(&expected["mh_odds_ratio"]).ln();
        assert!((estimate - log_mh).abs() < 0.1, "{estimate} {log_mh}");
        let (low, high) = score.log_or_interval(0.05).expect("alpha").expect("information");
        assert!(low < log_mh && log_mh < high && high - low > 2.0 * Z_95 / score.v().sqrt());
        let odds_ratio = score.odds_ratio().expect("information");
        vec![("mh_chi2", vec![score.s() * score.s() / score.v()]), ("mh_odds_ratio", vec![odds_ratio])]
    });
}

#[test]
fn statsmodels_proportions() {
    // Comparisons of two rates at a fixed sample: report_vectors.rs.
    let left_out = ["newcombe_diff", "agresti_caffo_p", "z", "p_larger"];
    run("statsmodels_proportions", 6, &left_out, |input, _| {
        assert_eq!(number(&input["alpha"]), 0.05);
        let [n, y] = ["n_t", "k_t"].map(|field| input[field].as_u64().expect("a count"));
        let interval = wilson(n, y, Z_95).expect("counts").expect("trials");
        assert_eq!(interval.rate, y as f64 / n as f64);
        vec![("wilson_t", vec![interval.lower, interval.upper])]
    });
}

#[test]
fn ddsketch_py() {
    // Their bins have another base than ours. So quantiles agree within both promised errors.
    run("ddsketch_py", 8, &["gamma", "keys_first20_positive", "quantiles"], |input, expected| {
        let xs = numbers(&input["x"]);
        let (mut histogram, mut moments, mut digest) = (Histogram::default(), Moments::default(), TDigest::default());
        for x in &xs {
            histogram.push(*x);
            moments.push(*x);
            digest.push(*x);
        }
        let (base, theirs) = (2_f64.powf(1.0 / 32.0), number(&input["relative_accuracy"]));
        let ours = (base - 1.0) / (base + 1.0);
        for (q, want) in numbers(&input["q"]).into_iter().zip(numbers(&expected["quantiles"])) {
            let got = histogram.quantile(q).expect("a level").expect("values");
            let limit = (ours + theirs + ours * theirs) / (1.0 - theirs) * want.abs() + 1e-12;
            assert!((got - want).abs() <= limit, "{q}: {got} {want}");
        }
        assert_eq!(histogram.min(), digest.min());
        assert_eq!(histogram.max(), moments.max());
        let counts = [histogram.count(), moments.count(), digest.count()];
        assert!(counts.iter().all(|n| *n == xs.len() as u64));
        assert!((moments.sum().expect("values") - histogram.sum().expect("values")).abs() < 1e-9);
        vec![("count", vec![counts[0] as f64]), ("sum", vec![histogram.sum().expect("values")])]
    });
}
