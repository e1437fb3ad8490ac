//! The beta-binomial mixture: how far a count may be from its share p at every sample size at once.
//!
//! What is here: the one-sample log e-value, its bound, and the two intervals made of it: of a chance and of a quantile
//! of a histogram. What is not: comparisons of two arms.
//!
//! Source: the sub-Bernoulli mixture of Howard, Ramdas, McAuliffe, Sekhon (arXiv 1810.08240) and its use for quantiles
//! (Howard and Ramdas, arXiv 1906.09712; package confseq). With k of n values at or below x and p the tested share it
//! is `-k log p - (n - k) log(1 - p) + log B(r / p + n - k, r / (1 - p) + k) - log B(r / p, r / (1 - p))`.

use super::normal::{check_alpha, precision};
use super::special::{ln_beta, ln_beta_ratio, root};
use crate::sketch::Histogram;
use crate::{Error, Kind, Result};

/// The sample size at which intervals are narrowest, unless told otherwise.
pub const SAMPLE: f64 = 1e4;

/// A mixture for one tested share.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BetaBinomial {
    p: f64,
    /// Whether only counts above the share are evidence.
    above_only: bool,
    /// The parameters of the mixing beta law.
    a: f64,
    b: f64,
    normalizer: f64,
}

impl BetaBinomial {
    /// The mixture that is best at a sample of `n` and error `alpha`, for the share `p`.
    ///
    /// # Errors
    /// [`Kind::InvalidParameter`] when p or alpha is not strictly between 0 and 1, or n is not positive.
    pub fn new(p: f64, n: f64, alpha: f64, above_only: bool) -> Result<Self> {
        check_alpha(alpha)?;
        let spread = p * (1.0 - p);
        if !(spread > 0.0 && n > 0.0 && n.is_finite()) {
            let message = format!("share must be between 0 and 1 and sample positive, got \"{p}\" and \"{n}\"");
            return Err(Error::new(Kind::InvalidParameter, message));
        }
        let rho = precision(n * spread, if above_only { 2.0 * alpha } else { alpha });
        let r = (rho - spread).max(1e-3 * spread);
        let mut mixture = Self { p, above_only, a: r / p, b: r / (1.0 - p), normalizer: 0.0 };
        mixture.normalizer = mixture.ln_part(mixture.a, mixture.b);
        Ok(mixture)
    }

    /// log of the beta integral, over the upper part alone for one side.
    fn ln_part(&self, a: f64, b: f64) -> f64 {
        let whole = ln_beta(a, b);
        if self.above_only { whole + ln_beta_ratio(a, b, (-self.p).ln_1p(), self.p.ln()) } else { whole }
    }

    /// The log e-value of k among n; k may be fractional.
    pub fn log_e(&self, k: f64, n: f64) -> f64 {
        let rest = n - k;
        -k * self.p.ln() - rest * (-self.p).ln_1p() + self.ln_part(self.a + rest, self.b + k) - self.normalizer
    }

    /// How far k may be above p n, at every n at once but for a chance of alpha; all that is possible when that is
    /// nearer.
    pub fn bound(&self, n: f64, alpha: f64) -> f64 {
        let most = (1.0 - self.p) * n;
        if self.log_e(n, n) < -alpha.ln() {
            return most;
        }
        root(0.0, most, |s| self.log_e(self.p * n + s, n) + alpha.ln())
    }
}

/// The interval of the chance behind y events in n trials that holds at every look but for a chance of alpha, narrowest
/// near `sample` trials; None of no trials.
///
/// # Errors
/// [`Kind::InvalidParameter`] for more events than trials, or an alpha that is no chance.
pub fn chance_interval(y: u64, n: u64, alpha: f64, sample: f64) -> Result<Option<(f64, f64)>> {
    check_alpha(alpha)?;
    if y > n {
        return Err(Error::new(Kind::InvalidParameter, format!("\"{y}\" events are more than \"{n}\" trials")));
    }
    if n == 0 {
        return Ok(None);
    }
    let (y, n) = (y as f64, n as f64);
    let beyond =
        |p: f64| BetaBinomial::new(p, sample, 0.05, false).map_or(f64::INFINITY, |m| m.log_e(y, n) + alpha.ln());
    let rate = y / n;
    let edge = 1e-12;
    let rate = rate.clamp(edge, 1.0 - edge);
    let low = if beyond(edge) <= 0.0 { 0.0 } else { root(edge, rate, beyond) };
    let high = if beyond(1.0 - edge) <= 0.0 { 1.0 } else { root(rate, 1.0 - edge, beyond) };
    Ok(Some((low, high)))
}

/// The interval of the p-quantile of a histogram, in edges of its bins, that holds at every look but for a chance of
/// alpha; an end is None while too few values lie on its side.
///
/// # Errors
/// [`Kind::InvalidParameter`] when p or alpha is not strictly between 0 and 1.
pub fn quantile_interval(h: &Histogram, p: f64, alpha: f64) -> Result<(Option<f64>, Option<f64>)> {
    let mixture = BetaBinomial::new(p, SAMPLE, 0.05, false)?;
    check_alpha(alpha)?;
    let n = h.count() as f64;
    let is_far = |k: f64| mixture.log_e(k, n) >= -alpha.ln();
    let mut below = 0.0;
    // A quantile is not in a bin up to which too few values lie, nor in one below which too many lie.
    let near: Vec<(f64, f64)> = h
        .buckets()
        .into_iter()
        .filter_map(|(from, to, count)| {
            let upto = below + count as f64;
            let out = (upto < p * n && is_far(upto)) || (below > p * n && is_far(below));
            below = upto;
            (!out).then_some((from, to))
        })
        .collect();
    // Beyond the extremes there may be more, unless so many values exclude that.
    Ok((near.first().map(|bin| bin.0).filter(|_| is_far(0.0)), near.last().map(|bin| bin.1).filter(|_| is_far(n))))
}
