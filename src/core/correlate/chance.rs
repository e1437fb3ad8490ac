//! Could it be chance? Probabilities of a segment's or symptom's events if the harm were the same everywhere.
//!
//! What is here: p-values, as logarithms, since those of real incidents underflow a float8. What is not: how many were
//! tried (`search` and `symptom` multiply).
//!
//! A segment must stand out on both scales, since an interaction that vanishes on another scale is none: "errors double
//! everywhere" looks concentrated in bad segments on the absolute scale, "one point more everywhere" in good ones on the
//! relative scale. Counts are divided by the dispersion first; a share of users who fail in series has as much evidence
//! as it has users.

use super::counts::{Dispersion, Split};
use crate::stats::{hypergeometric_tail, ln_beta_ratio};

/// log P(X >= k) of X ~ binomial(n, q), for whole k and n.
pub(super) fn binomial_tail(k: f64, n: f64, q: f64) -> f64 {
    if k <= 0.0 {
        0.0
    } else if k > n || q <= 0.0 {
        f64::NEG_INFINITY
    } else {
        ln_beta_ratio(k, n - k + 1.0, q.ln(), (-q).ln_1p())
    }
}

/// log P(X >= k) of X ~ negative binomial of this mean and size (variance = mean + mean^2 / size), for whole k.
fn negative_binomial_tail(k: f64, mean: f64, size: f64) -> f64 {
    if k <= 0.0 {
        0.0
    } else if mean <= 0.0 {
        f64::NEG_INFINITY
    } else {
        let all = mean + size;
        ln_beta_ratio(k, size, (mean / all).ln(), (size / all).ln())
    }
}

/// log p if the treatment multiplied events by the same factor everywhere: Fisher's noncentral hypergeometric law of the
/// treatment's events inside, given the events of each part, with the known odds of being treated inside and outside.
/// 0 (p = 1) where the parts cannot be compared.
pub fn ln_p_relative(split: &Split, dispersion: Dispersion) -> f64 {
    if !split.is_comparable() {
        return 0.0;
    }
    let (inside, outside) = (&split.inside, &split.outside);
    let m1 = (inside.events() / dispersion.inside).round_ties_even();
    let m2 = (outside.events() / dispersion.outside).round_ties_even();
    let k = (inside.e_t / dispersion.inside).floor();
    let x = k + (outside.e_t / dispersion.outside).round_ties_even();
    let odds = (inside.n_t / inside.n_c) / (outside.n_t / outside.n_c);
    hypergeometric_tail(m1 as u64, m2 as u64, x as u64, k, odds.ln())
}

/// log p if the treatment added the same share of events everywhere: negative binomial, whose variance is what is not
/// known of the control's rate inside and of the difference outside. `kept` is the number of rows that the segment's
/// counts were estimated from, where they were; infinite where they are exact.
pub fn ln_p_absolute(split: &Split, dispersion: Dispersion, kept: f64) -> f64 {
    if !split.is_comparable() {
        return 0.0;
    }
    let (i, o, d) = (&split.inside, &split.outside, dispersion);
    let overall = (i.e_c + o.e_c) / (i.n_c + o.n_c);
    let added = (o.e_t / o.n_t - o.e_c / o.n_c).max(0.0);
    let rate = (i.e_c + overall) / (i.n_c + 1.0) + added;
    let mean = i.n_t * rate / d.inside;
    let of_control = (i.e_c / d.inside + 0.5) * (d.inside / i.n_c).powi(2);
    let of_rest = (o.e_t / d.outside + 0.5) * (d.outside / o.n_t).powi(2)
        + (o.e_c / d.outside + 0.5) * (d.outside / o.n_c).powi(2);
    let unknown = (i.n_t / d.inside).powi(2) * (of_control + of_rest) + mean * mean / kept;
    negative_binomial_tail((i.e_t / d.inside).floor(), mean, mean * mean / unknown)
}

/// log p of a segment: the greater of both, since an interaction that vanishes on another scale is none. Where the control has
/// no event at all the relative scale says nothing (the treatment multiplied nothing), and the absolute one decides.
pub fn ln_p_segment(split: &Split, dispersion: Dispersion, kept: f64) -> f64 {
    let absolute = ln_p_absolute(split, dispersion, kept);
    if split.inside.e_c + split.outside.e_c == 0.0 {
        return absolute;
    }
    ln_p_relative(split, dispersion).max(absolute)
}

/// log p of a symptom: events among all requests of an arm, `e_t` of `rows_t` against `e_c` of `rows_c`, if each event
/// came to an arm by its share of requests.
pub fn ln_p_symptom(e_t: f64, e_c: f64, rows_t: f64, rows_c: f64, dispersion: f64) -> f64 {
    let n = ((e_t + e_c) / dispersion).round_ties_even();
    binomial_tail((e_t / dispersion).floor(), n, rows_t / (rows_t + rows_c))
}
