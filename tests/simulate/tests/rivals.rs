//! The rivals answer as their own packages do (tests/data/stat-vectors/README.md).

#[path = "../../../src/core/tests/vectors/mod.rs"]
mod vectors;

use flagscope_core::stats::ratio::Units;
use flagscope_simulate::draws::{generator, normal};
use flagscope_simulate::rivals::{Arm, Kayenta, absolute, quantile_ab, relative, shift};
use serde_json::Value;
use vectors::{number, numbers, run};

fn arm(kind: &str, x: &Value) -> Arm {
    let [n, sum, squares] = ["n", "sum", "sum_squares"].map(|f| x[f].as_f64().unwrap_or(f64::NAN));
    match kind {
        "mean" => Arm::mean(n, sum, squares),
        "proportion" => Arm::proportion(n, sum),
        _ => ratio(n, x),
    }
}

fn ratio(n: f64, row: &Value) -> Arm {
    let [x, y] = ["m_sum", "d_sum"].map(|f| number(&row[f]) / n);
    let [xx, xy, yy] = ["m_sum_squares", "m_d_sum_of_products", "d_sum_squares"].map(|f| number(&row[f]));
    let units = Units { n: n as u64, x, y, xx: xx - n * x * x, xy: xy - n * x * y, yy: yy - n * y * y };
    Arm { n, mean: units.ratio().expect("units"), variance: n * units.variance().expect("units") }
}

#[test]
fn gbstats_sequential_two_sided() {
    run("gbstats_sequential_two_sided", 27, &["error"], |input, _| {
        let kind = input["metric"].as_str().expect("a kind");
        let (t, c) = (arm(kind, &input["treatment"]), arm(kind, &input["control"]));
        let d = if input["difference"] == "relative" { relative(&t, &c) } else { absolute(&t, &c) };
        let (alpha, tuning) = (number(&input["alpha"]), number(&input["tuning_n"]));
        let (low, high) = d.sequential(alpha, tuning);
        let p = d.sequential_p(alpha, tuning);
        vec![
            ("expected", vec![d.estimate]),
            ("se", vec![d.se]),
            ("ci_lower", vec![low]),
            ("ci_upper", vec![high]),
            ("p_value", vec![p]),
        ]
    });
}

#[test]
fn gbstats_head_sequential_one_sided() {
    // Its p-value is searched by bisection between two bounds and decides nothing here.
    run("gbstats_head_sequential_one_sided", 12, &["error", "p_value", "ci_upper"], |input, _| {
        let kind = input["metric"].as_str().expect("a kind");
        let (t, c) = (arm(kind, &input["treatment"]), arm(kind, &input["control"]));
        let d = if input["difference"] == "relative" { relative(&t, &c) } else { absolute(&t, &c) };
        let low = d.sequential_lower(number(&input["alpha"]), number(&input["tuning_n"]));
        vec![("expected", vec![d.estimate]), ("se", vec![d.se]), ("ci_lower", vec![low])]
    });
}

#[test]
fn gbstats_head_quantile() {
    // Three of the cases are of its fixed-sample test, which is no rival here: estimate and standard error only.
    run("gbstats_head_quantile", 7, &["error"], |input, expected| {
        let arm = |x: &Value| {
            assert_eq!(x["n"], x["n_star"]);
            let [n, q, low, high] = ["n", "quantile_hat", "quantile_lower", "quantile_upper"].map(|f| number(&x[f]));
            Arm::quantile(n, q, low, high)
        };
        let (t, c) = (arm(&input["treatment"]), arm(&input["control"]));
        let d = if input["difference"] == "relative" { relative(&t, &c) } else { absolute(&t, &c) };
        let (alpha, tuning) = (number(&input["alpha"]), number(&input["tuning_n"]));
        let fixed = input["test"] == "TwoSidedTTest";
        let take = |field: &str, ours: f64| vec![if fixed { number(&expected[field]) } else { ours }];
        let (low, high) = d.sequential(alpha, tuning);
        vec![
            ("expected", vec![d.estimate]),
            ("se", vec![d.se]),
            ("ci_lower", take("ci_lower", low)),
            ("ci_upper", take("ci_upper", high)),
            ("p_value", take("p_value", d.sequential_p(alpha, tuning))),
        ]
    });
}

#[test]
fn confseq_quantile_ab() {
    run("confseq_quantile_ab", 10, &[], |input, _| {
        let (a, b) = (numbers(&input["a"]), numbers(&input["b"]));
        let mut values: Vec<f64> = a.iter().chain(&b).copied().collect();
        values.sort_by(f64::total_cmp);
        values.dedup();
        let counts = |xs: &[f64]| -> Vec<u64> {
            let mut counts = vec![0; values.len()];
            xs.iter().for_each(|x| counts[values.partition_point(|v| v < x)] += 1);
            counts
        };
        let [p, sample, alpha] = ["quantile_p", "t_opt", "alpha_opt"].map(|f| number(&input[f]));
        vec![("p_value", vec![quantile_ab(&counts(&a), &counts(&b), p, sample, alpha)])]
    });
}

/// Mann and Whitney's z of x moved by a shift against y, by midranks, as Kayenta's `wilcoxonDiff` has it.
fn z(x: &[f64], y: &[f64], by: f64) -> f64 {
    let moved: Vec<f64> = x.iter().map(|x| x - by).collect();
    let wins = |x: &f64| y.iter().map(|y| if x > y { 1.0 } else { 0.5 * f64::from(x == y) }).sum::<f64>();
    let (n_x, n_y) = (x.len() as f64, y.len() as f64);
    let centred = moved.iter().map(wins).sum::<f64>() - n_x * n_y / 2.0;
    (centred - 0.5 * centred.signum()) / (n_x * n_y * (n_x + n_y + 1.0) / 12.0).sqrt()
}

/// Kayenta searches the shifts by Brent's method on the rank sum; ours are read off the sorted differences.
#[test]
fn kayentas_interval_is_where_its_rank_sum_crosses() {
    let mut rng = generator(3, 0, 0);
    for (n_x, n_y) in [(10, 10), (15, 12), (60, 59)] {
        let [x, y] = [n_x, n_y].map(|n| (0..n).map(|_| normal(&mut rng)).collect::<Vec<f64>>());
        let (low, middle) = shift(&x, &y).expect("values");
        assert!(z(&x, &y, low - 1e-9) >= 2.3263 && z(&x, &y, low + 1e-9) <= 2.3264, "{low}");
        assert!(z(&x, &y, middle - 0.05) >= 0.0 && z(&x, &y, middle + 0.05) <= 0.0, "{middle}");
    }
    // Minutes of 4, 5, 6 against 0 to 3: told at the first look, the tenth minute; of 2, 3, 4 only at the second, since at
    // the first the lower end is 0, the 20th of 100 differences.
    let first = |base: f64| {
        let mut judge = Kayenta::default();
        (0..15).position(|i| judge.minute(Some(base + f64::from(i % 3)), Some(f64::from(i % 4))))
    };
    assert_eq!([first(4.0), first(2.0), first(0.5)], [Some(9), Some(14), None]);
    assert_eq!(shift(&[], &[1.0]), None);
    assert_eq!(shift(&[1.0; 5], &[1.0; 5]), Some((0.0, 0.0)), "no shift, and so never high");
}
