//! The score of the common odds ratio: the estimate and the interval that a dashboard shows beside test P.
//!
//! What is here: sums over strata. What is not: the decision. The interval is asymptotic; measured in its one-sided
//! form it errs in 1.8 to 5.8 % at 5 %, so no verdict rests on it.

use super::normal::{self, check_alpha};
use super::tilt::Arms;
use crate::Result;

/// The standard deviation of log odds ratios that the interval expects (its width is best there).
const TAU: f64 = 0.4;

/// Sums of the Mantel-Haenszel score: S = sum(y_T - x n_T / N), and its variance under equal odds,
/// V = sum(x (n_T / N) (n_C / N) (N - x) / (N - 1)). S^2 / V is the Mantel-Haenszel chi-square. Beside them the sums of
/// the Mantel-Haenszel odds ratio, y_T (n_C - y_C) / N over y_C (n_T - y_T) / N.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Score {
    s: f64,
    v: f64,
    for_treatment: f64,
    for_control: f64,
}

impl Score {
    /// Add a stratum. An empty arm adds exactly nothing.
    ///
    /// # Errors
    /// As [`Arms::check`].
    pub fn add(&mut self, arms: &Arms) -> Result<()> {
        arms.check()?;
        if arms.n_t == 0 || arms.n_c == 0 {
            return Ok(());
        }
        let n = (arms.n_t + arms.n_c) as f64;
        let x = (arms.y_t + arms.y_c) as f64;
        let (share_t, share_c) = (arms.n_t as f64 / n, arms.n_c as f64 / n);
        // y_T - x n_T / N, without the difference of two large numbers.
        self.s += arms.y_t as f64 * share_c - arms.y_c as f64 * share_t;
        self.v += x * share_t * share_c * (n - x) / (n - 1.0);
        self.for_treatment += arms.y_t as f64 * (arms.n_c - arms.y_c) as f64 / n;
        self.for_control += arms.y_c as f64 * (arms.n_t - arms.y_t) as f64 / n;
        Ok(())
    }

    /// Add a stratum whose share of events is known but for the effect: k of x events in the treatment, p of them when
    /// there is no effect. Tests R (p from exposures) and S (p is the nominal share) are of this form; the odds ratio is
    /// then the ratio of rates, or of shares.
    pub fn add_share(&mut self, k: u64, x: u64, p: f64) {
        let (k, x) = (k as f64, x as f64);
        if !(p > 0.0 && p < 1.0) {
            return;
        }
        self.s += k - x * p;
        self.v += x * p * (1.0 - p);
        self.for_treatment += k * (1.0 - p);
        self.for_control += (x - k) * p;
    }

    /// Add the strata of another sum.
    pub fn merge(&mut self, other: &Self) {
        self.s += other.s;
        self.v += other.v;
        self.for_treatment += other.for_treatment;
        self.for_control += other.for_control;
    }

    /// S, the events of the treatment above what its share of all events would be.
    pub fn s(&self) -> f64 {
        self.s
    }

    /// V, the variance of S under equal odds.
    pub fn v(&self) -> f64 {
        self.v
    }

    /// The Mantel-Haenszel odds ratio; None where no stratum tells (it would be 0/0) or all tell the same (infinite).
    pub fn odds_ratio(&self) -> Option<f64> {
        (self.for_control > 0.0).then(|| self.for_treatment / self.for_control)
    }

    /// The one-step estimate of the log odds ratio, S / V, which the interval is centred on; it overshoots for large
    /// effects, where [`Score::odds_ratio`] does not. None before there is any information.
    pub fn log_or_estimate(&self) -> Option<f64> {
        (self.v > 0.0).then(|| self.s / self.v)
    }

    /// The anytime-valid interval {d : |S - d V| <= sqrt((V + rho) log((V + rho) / (rho alpha^2)))}, rho = 1 / tau^2,
    /// of the log odds ratio (normal mixture; Howard, Ramdas, McAuliffe, Sekhon, arXiv 1810.08240); None before there
    /// is any information.
    ///
    /// # Errors
    /// [`crate::Kind::InvalidParameter`] when alpha is not strictly between 0 and 1.
    pub fn log_or_interval(&self, alpha: f64) -> Result<Option<(f64, f64)>> {
        let width = normal::bound(self.v, (TAU * TAU).recip(), check_alpha(alpha)?) / self.v;
        Ok(self.log_or_estimate().map(|d| (d - width, d + width)))
    }
}
