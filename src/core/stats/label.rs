//! Test H: whether two arms have the same distribution, by a score on the bins of their histograms (README.md,
//! section 5).
//!
//! What is here: the default score and the increments of one stratum. What is not: a test of means. Equal means with
//! other spreads are another distribution, and at a small share this test says so. It is nearly blind to changes of the
//! tail alone: never the only guardrail of a latency.
//!
//! # Formula
//! With a score g of each bin, counts c_T and c_C of the stratum and pi = n_T / N, the increment of the point l is
//! sum g c_T l - sum (c_T + c_C) log(1 + pi (e^(l g) - 1)): the likelihood of the labels under a logistic model against
//! a coin.
//!
//! # What holds
//! When the values of a stratum are independent draws from one law, whatever it is and however it differs from stratum to
//! stratum, the mean e-value is at most 1 (Turner, Ly, Grunwald, arXiv 2106.02693: u^n_T v^n_C <= (pi u + (1 - pi) v)^N =
//! 1). Over the permutations of fixed values, which is all that randomisation alone gives, it is at most 1 when all scores
//! have one sign: with w = e^(l g), the mean of a product of w over k of the values is convex in k, because its second
//! difference is the mean of products of w times (w_a - 1) (w_b - 1), and pi is the chance whose binomial k has the mean
//! n_T. With scores of both signs, as [`LogScore`] has them, it is not: by enumeration
//! 1.11 for two values, one standard deviation to either side. So P and Q, which are exact over permutations, stay the
//! default where the values of a tick come from different endpoints.

use super::tilt::{Harm, MAX_TRIALS};
use crate::sketch::Histogram;
use crate::{Error, Kind, Result};

/// The tested slopes, in units of one standard deviation of the score; their weights are equal.
pub const SLOPES: [f64; 6] = [0.05, 0.1, 0.2, 0.4, 0.8, 1.6];

/// Scores are clipped to this many e-folds around the centre, so that no value decides alone.
const CLIP: f64 = 6.0;

/// One bin of both arms with its score.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bin {
    /// The score, the same for all values of the bin.
    pub score: f64,
    /// How many values of the treatment.
    pub t: u64,
    /// How many values of the control.
    pub c: u64,
}

/// The increments of test H of one stratum, one for each slope; exact zeros for an empty arm. The e-value is their
/// plain mean. A decrease is tested by negative slopes.
///
/// # Errors
/// [`Kind::InvalidParameter`] for a score or slope that is no number or too steep, [`Kind::LimitExceeded`] beyond
/// 10^12 values.
pub fn increment(bins: &[Bin], slopes: &[f64]) -> Result<Vec<f64>> {
    let (n_t, n_c) = bins.iter().fold((0_u64, 0_u64), |(t, c), b| (t.saturating_add(b.t), c.saturating_add(b.c)));
    if n_t > MAX_TRIALS || n_c > MAX_TRIALS {
        let message = format!("an arm of a stratum has at most \"{MAX_TRIALS}\" values, got \"{}\"", n_t.max(n_c));
        return Err(Error::new(Kind::LimitExceeded, message).hint("Use shorter ticks."));
    }
    let steepest = bins.iter().flat_map(|b| slopes.iter().map(|l| (b.score * l).abs())).fold(0.0, f64::max);
    let all_numbers = bins.iter().all(|b| !b.score.is_nan()) && slopes.iter().all(|l| !l.is_nan());
    if !all_numbers || steepest > 500.0 {
        return Err(Error::new(
            Kind::InvalidParameter,
            format!("score times slope is at most 500, got \"{steepest}\""),
        ));
    }
    if n_t == 0 || n_c == 0 {
        return Ok(vec![0.0; slopes.len()]);
    }
    let pi = n_t as f64 / (n_t + n_c) as f64;
    let term =
        |l: f64, b: &Bin| l * b.score * b.t as f64 - (b.t + b.c) as f64 * (pi * (l * b.score).exp_m1()).ln_1p();
    Ok(slopes.iter().map(|l| bins.iter().map(|b| term(*l, b)).sum()).collect())
}

/// The default score of positive values: the distance of a bin's logarithm from the mean of the control's past.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LogScore {
    centre: f64,
    spread: f64,
}

impl LogScore {
    /// The score that a past of the control gives; None when it has no two different positive values.
    pub fn of(past: &Histogram) -> Option<Self> {
        let positive: Vec<(f64, f64)> =
            past.buckets().iter().filter(|b| b.0 > 0.0).map(|b| ((0.5 * (b.0 + b.1)).ln(), b.2 as f64)).collect();
        let n: f64 = positive.iter().map(|b| b.1).sum();
        let centre = positive.iter().map(|(x, k)| x * k).sum::<f64>() / n;
        let square = positive.iter().map(|(x, k)| (x - centre).powi(2) * k).sum::<f64>() / n;
        (n > 1.0 && square > 0.0).then(|| Self { centre, spread: square.sqrt() })
    }

    /// The score of the bin between two bounds; values up to 0 get the least one.
    pub fn score(&self, low: f64, high: f64) -> f64 {
        if low > 0.0 { ((0.5 * (low + high)).ln() - self.centre).clamp(-CLIP, CLIP) } else { -CLIP }
    }

    /// The slopes for this score's spread, negative when a decrease is harmful.
    pub fn slopes(&self, harm: Harm) -> [f64; 6] {
        let sign = if harm == Harm::Increase { 1.0 } else { -1.0 };
        // A spread of next to nothing would make slopes too steep to be computed.
        SLOPES.map(|l| sign * l / self.spread.max(0.02))
    }

    /// The bins of both arms with their scores.
    ///
    /// # Errors
    /// [`Kind::InvalidParameter`] when the histograms have different scales.
    pub fn bins(&self, t: &Histogram, c: &Histogram) -> Result<Vec<Bin>> {
        if t.scale() != c.scale() {
            let message = format!("histograms of scale \"{}\" and \"{}\" have different bins", t.scale(), c.scale());
            return Err(Error::new(Kind::InvalidParameter, message));
        }
        let (mut t, mut c) = (t.buckets().into_iter().peekable(), c.buckets().into_iter().peekable());
        let mut bins = Vec::new();
        loop {
            let low = match (t.peek(), c.peek()) {
                (None, None) => return Ok(bins),
                (Some(b), None) | (None, Some(b)) => b.0,
                (Some(b), Some(d)) => b.0.min(d.0),
            };
            let of_t = t.next_if(|b| b.0 == low);
            let of_c = c.next_if(|b| b.0 == low);
            let high = of_t.or(of_c).map_or(low, |b| b.1);
            let count = |b: Option<(f64, f64, u64)>| b.map_or(0, |b| b.2);
            bins.push(Bin { score: self.score(low, high), t: count(of_t), c: count(of_c) });
        }
    }
}
