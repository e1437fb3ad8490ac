//! The difference of two series, treatment and control at the same time: is the treatment worse by more than the two differ by
//! chance. What both have in common, a season, a trend, a holiday, an outage, is no difference.
//!
//! # Method
//! A point's difference is d = (x_T - x_C) / sqrt(1 / n_T + 1 / n_C), around 0. How far it goes by chance is told by how far
//! points of the whole flag lie from the mean of the two beside them, before the rollout and divided alike: that has what
//! rows of one time differ by, and the series' own movement within a point or two, so it is rather too much. p is the
//! rank of d among these, either sign being as likely. Of counts p is at least the exact tail given the sum: the
//! hypergeometric law of shares, the binomial one of rates; few events are then never taken for many. The p-values go
//! into the e-SR [`detector`](super::detector).
//!
//! Approximate where an arm has slow noise of its own (a bad pod), which no past of the whole flag shows.

use super::detector::Detector;
use crate::stats::{hypergeometric_tail, ln_beta_ratio};

/// No score before so many points of the past can be compared.
const LEAST_HISTORY: usize = 100;
/// A mean or a quantile of fewer values says nothing.
const LEAST_VALUES: u64 = 30;

/// What a metric is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Basis {
    /// Values: a mean, a quantile, a ratio.
    Values,
    /// Events among data points.
    Events,
    /// Events against an exposure.
    Rate,
}

/// One point of a series.
#[derive(Debug, Clone, Copy)]
pub struct Value {
    /// When it begins, in microseconds.
    pub at: i64,
    /// Data points.
    pub n: u64,
    /// Events among them.
    pub events: u64,
    /// The metric on the scale that evens out its noise; larger is worse.
    pub x: f64,
}

impl Value {
    /// What its noise gets smaller with.
    fn size(&self, basis: Basis) -> f64 {
        // Of a rate x^2 is the rate (Anscombe's transform): events and rate tell the exposure.
        if basis == Basis::Rate { (self.events as f64 + 0.375) / (self.x * self.x) } else { self.n as f64 }
    }
}

/// The score of each pair of treatment and control, in order of time: log10 of points until a false alarm. Pairs that say
/// nothing are left out, and without enough of a past there is none. `past`: the whole flag's points before them.
pub fn scores(past: &[Value], pairs: &[[Value; 2]], basis: Basis, harm_is_more: bool) -> Vec<(i64, f64)> {
    let usual = usual(past, basis);
    if usual.len() < LEAST_HISTORY {
        return Vec::new();
    }
    let mut detector = Detector::default();
    let said = |pair: &[Value; 2]| chance(&usual, pair, basis, harm_is_more).map(|p| (pair[0].at, p));
    let mut score = |(at, p)| {
        detector.push(p);
        detector.limit();
        (at, detector.score())
    };
    pairs.iter().filter_map(said).map(&mut score).collect()
}

/// How far points lie from the mean of their neighbours, without a sign, in order.
fn usual(past: &[Value], basis: Basis) -> Vec<f64> {
    let step = past.windows(2).map(|pair| pair[1].at - pair[0].at).filter(|step| *step > 0).min().unwrap_or(0);
    let near = |w: &&[Value]| w[1].at - w[0].at == step && w[2].at - w[1].at == step;
    let mut far: Vec<f64> = past
        .windows(3)
        .filter(near)
        .map(|w| {
            let [before, here, after] = [w[0], w[1], w[2]].map(|v| 1.0 / v.size(basis));
            ((w[1].x - w[0].x.midpoint(w[2].x)) / (here + (before + after) / 4.0).sqrt()).abs()
        })
        .filter(|far| far.is_finite())
        .collect();
    far.sort_unstable_by(f64::total_cmp);
    far
}

/// The chance of such a difference or a worse one; None: the pair says nothing.
fn chance(usual: &[f64], [t, c]: &[Value; 2], basis: Basis, harm_is_more: bool) -> Option<f64> {
    if t.n == 0 || c.n == 0 || (basis == Basis::Values && t.n.min(c.n) < LEAST_VALUES) {
        return None;
    }
    let d = (t.x - c.x) / (1.0 / t.size(basis) + 1.0 / c.size(basis)).sqrt();
    if !d.is_finite() {
        return None;
    }
    let beyond = usual.len() - usual.partition_point(|far| *far < d.abs());
    let half = 0.5 * (beyond as f64 + 1.0) / (usual.len() as f64 + 1.0);
    let rank = if d > 0.0 { half } else { 1.0 - half };
    // Fewer events of the treatment are more of the control.
    let (worse, better) = if harm_is_more { (t, c) } else { (c, t) };
    Some(rank.max(exact(worse, better, basis)).clamp(f64::MIN_POSITIVE, 1.0))
}

/// The chance of as many events in the first of two series, given those of both; 0 where nothing is counted.
fn exact(first: &Value, second: &Value, basis: Basis) -> f64 {
    match basis {
        Basis::Values => 0.0,
        Basis::Events => {
            let events = first.events + second.events;
            hypergeometric_tail(first.n, second.n, events, first.events as f64, 0.0).exp()
        }
        Basis::Rate if first.events == 0 => 1.0,
        Basis::Rate => {
            // P(Binomial(n, q) >= k) = I_q(k, n - k + 1).
            let q = first.size(basis) / (first.size(basis) + second.size(basis));
            let (k, rest) = (first.events as f64, second.events as f64);
            ln_beta_ratio(k, rest + 1.0, q.ln(), (-q).ln_1p()).exp()
        }
    }
}
