//! Decision tests against independent libraries and references (tests/data/stat-vectors/README.md).

mod vectors;

use flagscope_core::stats::beta_binomial::{BetaBinomial, chance_interval};
use flagscope_core::stats::combine::{calibrated, calibrated_average, combine, e_bh};
use flagscope_core::stats::label::{self, Bin};
use flagscope_core::stats::mean::{self, Group, Line, Scale, bernstein};
use flagscope_core::stats::mixture::{self, Grid, mix};
use flagscope_core::stats::ratio::Units;
use flagscope_core::stats::student::{self, Sums};
use flagscope_core::stats::tilt::Harm;
use flagscope_core::stats::{normal, rate, share};
use serde_json::Value;
use vectors::{number, numbers, run};

/// Suites of the vectors that no test answers, with the reason. Those of sketches, reports and anomalies are answered in
/// their own tests, rivals of the simulation in tests/simulate.
const NOT_ANSWERED: [(&str, &str); 8] = [
    ("confseq_gamma_exponential", "a sub-exponential mixture; test M uses a grid, which needs no tuning of v"),
    ("confseq_gamma_poisson", "a sub-Poisson mixture; test R is exact"),
    ("confseq_poly_stitching", "a boundary; every test here is an e-process, which is narrower and can be combined"),
    ("confseq_bounded_mean", "intervals over single values in their order; a stratum keeps sums only"),
    ("confseq_quantile_bounds", "bands over all quantiles at once; intervals of one quantile are beta-binomial"),
    ("ville_betting", "bets over single values in their order; a stratum keeps sums only"),
    ("spotify_group_sequential", "looks planned ahead; every look is allowed here"),
    ("statsmodels_holt_winters", "a forecast by smoothing; test A compares with the median of earlier days"),
];

/// All suites of the vectors.
const SUITES: usize = 53;

fn count(value: &Value) -> u64 {
    number(value) as u64
}

fn rows(value: &Value) -> Vec<Vec<f64>> {
    value.as_array().expect("rows").iter().map(numbers).collect()
}

fn add(ell: &mut [f64], increment: &[f64]) {
    assert_eq!(ell.len(), increment.len());
    ell.iter_mut().zip(increment).for_each(|(sum, x)| *sum += x);
}

fn groups(row: &[f64]) -> (Group, Group) {
    let group = |at: usize| Group { n: row[at] as u64, mean: row[at + 1], m2: row[at + 2] };
    (group(0), group(3))
}

fn margin(input: &Value) -> Line {
    Line { relative: number(&input["rel_margin"]), absolute: number(&input["abs_margin"]) }
}

#[test]
fn what_is_not_answered_is_not_here() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/stat-vectors");
    let is_suite = |file: &std::fs::DirEntry| file.path().extension().is_some_and(|e| e == "json");
    let here = std::fs::read_dir(&folder).expect("the folder").flatten().filter(is_suite).count();
    assert_eq!(here + NOT_ANSWERED.len(), SUITES, "every suite is answered or named");
    for (suite, reason) in NOT_ANSWERED {
        assert!(!folder.join(format!("{suite}.json")).exists() && !reason.is_empty(), "{suite}");
    }
}

#[test]
fn ref_poisson_tilt_mixture() {
    run("ref_poisson_tilt_mixture", 8, &[], |input, _| {
        let grid = Grid::new(&numbers(&input["grid"]), &numbers(&input["weights"])).expect("a grid");
        let mut ell = grid.zeros();
        for row in rows(&input["strata"]) {
            let counts = rate::Counts {
                exposure_t: row[0],
                count_t: row[1] as u64,
                exposure_c: row[2],
                count_c: row[3] as u64,
            };
            let ratio = number(&input["margin_ratio"]);
            let increment = rate::increment(&counts, ratio, Harm::Increase, &grid).expect("counts");
            let mirrored = rate::increment(&counts.exchanged(), ratio, Harm::Decrease, &grid).expect("counts");
            assert_eq!(increment, mirrored);
            add(&mut ell, &increment);
        }
        vec![("log_e", vec![mixture::log_e(&ell, &grid).expect("log e")])]
    });
}

#[test]
fn ref_eb_two_sample() {
    run("ref_eb_two_sample", 8, &[], |input, _| {
        assert_eq!(count(&input["n_lambda"]), 8);
        let log_e = |harm| {
            let mut ell = vec![0.0; 8];
            for row in rows(&input["strata"]) {
                let (t, c) = groups(&row);
                let scale = Scale { cap: number(&input["cap"]), centre: row[6] };
                add(&mut ell, &mean::increment(&t, &c, &scale, &margin(input), harm).expect("a stratum"));
            }
            mix(&ell).expect("points")
        };
        vec![("log_e_up", vec![log_e(Harm::Increase)]), ("log_e_down", vec![log_e(Harm::Decrease)])]
    });
}

#[test]
fn ref_empirical_bernstein_grid() {
    run("ref_empirical_bernstein_grid", 6, &[], |input, _| {
        assert_eq!(numbers(&input["lambda_grid"]), mean::LAMBDAS.to_vec());
        vec![("log_e", vec![mix(&bernstein(number(&input["S"]), number(&input["V"]))).expect("points")])]
    });
}

#[test]
fn ref_stratified_t_mixture() {
    run("ref_stratified_t_mixture", 6, &[], |input, _| {
        let mut sums = Sums::new(margin(input));
        for row in rows(&input["strata"]) {
            let (t, c) = groups(&row);
            sums.add(&t, &c);
        }
        let phi = number(&input["phi"]);
        vec![
            ("S", vec![sums.s()]),
            ("V", vec![sums.v()]),
            ("H", vec![sums.h()]),
            ("nu", vec![sums.nu()]),
            ("t", vec![sums.t().expect("spread")]),
            ("log_e_two_sided", vec![sums.log_e(phi)]),
            ("log_e_one_sided_greater", vec![sums.log_e_greater(phi)]),
            ("estimate", vec![sums.estimate().expect("a stratum")]),
        ]
    });
}

fn t_mixture(input: &Value, _: &Value) -> vectors::Answers {
    let (t, nu, r) = (number(&input["t"]), number(&input["nu"]), number(&input["r"]));
    vec![
        ("log_e_two_sided", vec![student::log_e(t, nu, r)]),
        ("log_e_one_sided_greater", vec![student::log_e_greater(t, nu, r)]),
    ]
}

#[test]
fn ref_t_mixture_quadrature() {
    run("ref_t_mixture_quadrature", 6, &[], t_mixture);
}

#[test]
fn scipy_t_mixture() {
    run("scipy_t_mixture", 5, &[], t_mixture);
}

#[test]
fn savvi_anytime_t() {
    run("savvi_anytime_t", 10, &[], |input, _| {
        let phi = number(&input["phi"]);
        let r = phi / (phi + number(&input["z2"]));
        vec![("log_e", vec![student::log_e(number(&input["t"]), number(&input["nu"]), r)])]
    });
}

#[test]
fn statsmodels_stratified_mean() {
    // Their variance is pooled over strata and arms, ours is not.
    run("statsmodels_stratified_mean", 4, &["se_ols", "t", "df", "sigma2"], |input, _| {
        let mut sums = Sums::pooling(Line::default(), 2);
        for row in rows(&input["strata"]) {
            let group = |at: usize| {
                let (n, mean) = (row[at], row[at + 1] / row[at]);
                Group { n: n as u64, mean, m2: row[at + 2] - n * mean * mean }
            };
            sums.add(&group(0), &group(3));
        }
        vec![("effect", vec![sums.estimate().expect("strata")])]
    });
}

#[test]
fn ref_label_tilt_histogram() {
    run("ref_label_tilt_histogram", 6, &[], |input, _| {
        let slopes = numbers(&input["lambda_grid"]);
        let mut ell = vec![0.0; slopes.len()];
        for stratum in input["strata"].as_array().expect("strata") {
            let counts = numbers(&stratum["t"]).into_iter().zip(numbers(&stratum["c"]));
            let bins: Vec<Bin> = numbers(&stratum["score"])
                .into_iter()
                .zip(counts)
                .map(|(score, (t, c))| Bin { score, t: t as u64, c: c as u64 })
                .collect();
            add(&mut ell, &label::increment(&bins, &slopes).expect("a stratum"));
        }
        vec![("log_e", vec![mix(&ell).expect("points")])]
    });
}

#[test]
fn ref_srm_ramp() {
    run("ref_srm_ramp", 6, &[], |input, _| {
        let mut ell = vec![0.0; 14];
        for row in rows(&input["strata"]) {
            add(&mut ell, &share::increment(row[0], row[1] as u64, row[2] as u64).expect("a stratum"));
        }
        vec![("log_e", vec![mix(&ell).expect("points")])]
    });
}

#[test]
fn savvi_srm_multinomial() {
    run("savvi_srm_multinomial", 10, &[], |input, _| {
        let counts: Vec<u64> = numbers(&input["counts"]).iter().map(|n| *n as u64).collect();
        let concentration = number(&input["concentration"]);
        let log_e = share::dirichlet_log_e(&numbers(&input["theta0"]), &counts, concentration).expect("counts");
        vec![("log_e", vec![log_e]), ("p_value", vec![mixture::anytime_p(log_e)])]
    });
}

#[test]
fn statsmodels_ratio_delta() {
    // The standard error of a regression with HC1 differs from the delta method by 1 / n.
    run("statsmodels_ratio_delta", 4, &["wls_se_hc1"], |input, _| {
        let (mut t, mut c) = (Units::default(), Units::default());
        let totals = numbers(&input["numerator"]).into_iter().zip(numbers(&input["denominator"]));
        for (arm, (x, y)) in numbers(&input["treatment"]).into_iter().zip(totals) {
            if arm == 1.0 { &mut t } else { &mut c }.push(x, y);
        }
        let (r_t, r_c) = (t.ratio().expect("units"), c.ratio().expect("units"));
        let variance = t.variance().expect("units") + c.variance().expect("units");
        vec![
            ("wls_effect", vec![r_t - r_c]),
            ("delta_effect", vec![r_t - r_c]),
            ("delta_var", vec![variance]),
            ("ratio_t", vec![r_t]),
            ("ratio_c", vec![r_c]),
        ]
    });
}

#[test]
fn confseq_normal_mixture() {
    run("confseq_normal_mixture", 15, &[], |input, _| {
        let [s, v, v_opt, alpha_opt, alpha] = ["s", "v", "v_opt", "alpha_opt", "alpha"].map(|f| number(&input[f]));
        if number(&input["one_sided"]) == 1.0 {
            let rho = normal::precision(v_opt, 2.0 * alpha_opt);
            let (log_e, bound) = (normal::log_e_greater(s, v, rho), normal::bound_greater(v, rho, alpha));
            return vec![("log_mixture", vec![log_e]), ("bound", vec![bound])];
        }
        let rho = normal::precision(v_opt, alpha_opt);
        vec![("log_mixture", vec![normal::log_e(s, v, rho)]), ("bound", vec![normal::bound(v, rho, alpha)])]
    });
}

#[test]
fn ville_msprt() {
    run("ville_msprt", 4, &[], |input, _| {
        let [theta0, sigma, tau] = ["theta0", "sigma", "tau"].map(|f| number(&input[f]));
        let rho = (sigma / tau).powi(2);
        let (mut sum, mut max, mut last) = (0.0, f64::NEG_INFINITY, 0.0);
        for (n, x) in numbers(&input["x"]).into_iter().enumerate() {
            sum += (x - theta0) / sigma;
            last = normal::log_e(sum, (n + 1) as f64, rho);
            max = last.max(max);
        }
        vec![("log_e_last", vec![last]), ("max_log_e", vec![max])]
    });
}

#[test]
fn confseq_beta_binomial() {
    run("confseq_beta_binomial", 12, &[], |input, _| {
        let [p, n, k, v_opt, alpha_opt] = ["p", "n", "k", "v_opt", "alpha_opt"].map(|f| number(&input[f]));
        let above_only = number(&input["one_sided"]) == 1.0;
        let mixture = BetaBinomial::new(p, v_opt / (p * (1.0 - p)), alpha_opt, above_only).expect("a share");
        let bound = mixture.bound(n, number(&input["alpha"]));
        vec![("log_mixture", vec![mixture.log_e(k, n)]), ("bound", vec![bound])]
    });
}

#[test]
fn confseq_bernoulli_cs() {
    run("confseq_bernoulli_cs", 8, &[], |input, _| {
        assert_eq!(number(&input["alpha_opt"]), 0.05);
        let (y, n) = (count(&input["successes"]), count(&input["trials"]));
        let (alpha, sample) = (number(&input["alpha"]), number(&input["t_opt"]));
        let (low, high) = chance_interval(y, n, alpha, sample).expect("counts").expect("trials");
        vec![("lower", vec![low]), ("upper", vec![high])]
    });
}

#[test]
fn ville_ebh() {
    run("ville_ebh", 6, &[], |input, _| {
        let logs: Vec<f64> = numbers(&input["e"]).iter().map(|e| e.ln()).collect();
        let rejected = e_bh(&logs, number(&input["alpha"])).expect("e-values");
        let mean = mix(&logs).expect("e-values").exp();
        vec![("reject", rejected.into_iter().map(f64::from).collect()), ("mean", vec![mean])]
    });
}

#[test]
fn ville_p_to_e() {
    run("ville_p_to_e", 6, &[], |input, _| {
        let p = number(&input["p"]);
        let e = calibrated(p, number(&input["kappa"])).expect("a p-value").exp();
        vec![("e_kappa", vec![e]), ("e_integrated", vec![calibrated_average(p).expect("a p-value").exp()])]
    });
}

#[test]
fn ref_combine_decides() {
    run("ref_combine", 5, &[], |input, _| {
        let weights = numbers(&input["weights"]);
        let log_es = numbers(&input["log_e"]);
        let alpha = number(&input["alpha"]);
        let combined = combine(&log_es, &weights, alpha).expect("e-values");
        let bonferroni: Vec<f64> =
            log_es.iter().zip(&weights).map(|(e, w)| f64::from(e + w.ln() >= -alpha.ln())).collect();
        let named: Vec<usize> = (0..bonferroni.len()).filter(|i| bonferroni[*i] == 1.0).collect();
        assert!(named.is_empty() || named == combined.culprits);
        vec![
            ("log_combined", vec![combined.log_e]),
            ("reject_global", vec![f64::from(combined.is_reached)]),
            ("reject_weighted_bonferroni", bonferroni),
        ]
    });
}
