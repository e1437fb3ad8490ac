//! How far quantiles are from the truth: rank error at p50, p95, p99 and p99.9 for six shapes of data, from 10 to 10
//! million values, pushed one by one and merged from 1,000 parts.
//!
//! The rank error of an answer q at p is the distance of p from [share below q, share at or below q], so no answer is
//! blamed for ties. The short form runs with all tests and asserts bounds. The full one prints a table:
//! `cargo test --release -p flagscope-core --test sketch_accuracy -- --ignored --nocapture`.

#[path = "planted/random.rs"]
mod random;

use flagscope_core::sketch::histogram::Tally;
use flagscope_core::sketch::{Accumulate, Histogram, Sketch, TDigest};
use random::Random;

const LEVELS: [f64; 4] = [0.5, 0.95, 0.99, 0.999];
const PARTS: usize = 1000;
/// The name of a shape and how its next value is drawn.
type Shape = (&'static str, fn(&mut Random) -> f64);
const SHAPES: [Shape; 6] = [
    ("uniform", Random::share),
    ("lognormal", |r| r.normal().exp()),
    ("Pareto 1.5", |r| (1.0 - r.share()).powf(-1.0 / 1.5)),
    ("bimodal", |r| if r.share() < 0.8 { 1.0 + 0.1 * r.normal() } else { 50.0 + 5.0 * r.normal() }),
    ("sorted", Random::share),
    ("constant", |_| 42.0),
];

/// The values of a shape in the order in which they come; each shape begins with a seed of its own.
fn data(seed: usize, shape: &Shape, n: usize) -> Vec<f64> {
    let mut random = Random(seed as u64);
    let mut values: Vec<f64> = (0..n).map(|_| shape.1(&mut random)).collect();
    if shape.0 == "sorted" {
        values.sort_by(f64::total_cmp);
    }
    values
}

fn digest(values: &[f64]) -> TDigest {
    let mut state = TDigest::default();
    values.iter().for_each(|x| state.push(*x));
    state.flush();
    state
}

fn histogram(values: &[f64]) -> Histogram {
    let mut tally = Tally::default();
    values.iter().for_each(|x| tally.push(*x));
    tally.sketch().into_owned()
}

fn merged<S: Sketch + Default>(values: &[f64], make: fn(&[f64]) -> S) -> S {
    let mut whole = S::default();
    for part in values.chunks(values.len().div_ceil(PARTS)) {
        whole.merge(&make(part)).expect("few values");
    }
    whole
}

fn rank_error(sorted: &[f64], q: f64, p: f64) -> f64 {
    let n = sorted.len() as f64;
    let below = sorted.partition_point(|x| *x < q) as f64 / n;
    let at_most = sorted.partition_point(|x| *x <= q) as f64 / n;
    (below - p).max(p - at_most).max(0.0)
}

/// The rank errors of the four sketches at the four levels.
fn errors(values: &[f64]) -> [(&'static str, [f64; 4]); 4] {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let of = |quantile: &dyn Fn(f64) -> f64| LEVELS.map(|p| rank_error(&sorted, quantile(p), p));
    let (d, dm) = (digest(values), merged(values, digest));
    let (h, hm) = (histogram(values), merged(values, histogram));
    assert_eq!((h.buckets(), h.min(), h.max()), (hm.buckets(), hm.min(), hm.max()));
    let ask = |answer: flagscope_core::Result<Option<f64>>| answer.expect("a level").expect("values");
    for (p, exact) in LEVELS.map(|p| (p, sorted[(p * (sorted.len() - 1) as f64) as usize])) {
        assert!((ask(h.quantile(p)) / exact - 1.0).abs() < 0.0109, "the histogram's promise at {p}");
    }
    [
        ("tdigest", of(&|p| ask(d.quantile(p)))),
        ("tdigest, merged", of(&|p| ask(dm.quantile(p)))),
        ("histogram", of(&|p| ask(h.quantile(p)))),
        ("histogram, merged", of(&|p| ask(hm.quantile(p)))),
    ]
}

#[test]
fn quantiles_are_as_exact_as_the_readme_says() {
    // Measured maxima over all shapes from 1,000 to 10 million values: 0.0040, 0.0050, 0.0010, 0.0005.
    let bounds = [0.006, 0.006, 0.002, 0.001];
    for (seed, shape) in SHAPES.iter().enumerate() {
        for n in [10, 1_000, 100_000] {
            for (sketch, got) in &errors(&data(seed, shape, n))[..2] {
                for ((p, got), bound) in LEVELS.iter().zip(got).zip(bounds) {
                    // With few values between two of them every answer is as good.
                    let limit = bound + 1.0 / n as f64;
                    assert!(*got <= limit, "{sketch} of {n} {} values at {p}: {got}", shape.0);
                }
            }
        }
    }
}

#[test]
#[ignore = "prints a table, and takes a minute"]
fn table() {
    println!("{:<11} {:>9} {:<18} {:>10} {:>10} {:>10} {:>10}", "data", "n", "sketch", "p50", "p95", "p99", "p99.9");
    for (seed, shape) in SHAPES.iter().enumerate() {
        for n in [10, 1_000, 100_000, 10_000_000] {
            for (sketch, e) in errors(&data(seed, shape, n)) {
                let [a, b, c, d] = e.map(|e| format!("{e:.6}"));
                println!("{:<11} {n:>9} {sketch:<18} {a:>10} {b:>10} {c:>10} {d:>10}", shape.0);
            }
        }
    }
}
