//! Test Mt: the stratified t mixture of a difference of means (README.md, section 4).
//!
//! What is here: estimate, interval and e-values from sums over strata. The interval is what people look at beside
//! test M, in the metric's unit.
//!
//! What is not: the default decision. It assumes that means are nearly normal: measured on A/A data, its one-sided
//! form errs in 12 to 47 % for decreases of skewed values at small shares.
//!
//! Source: the two-sided e-value is the anytime-valid t of Lindon, Ham, Tingley and Bojinov (arXiv 2210.08589, package
//! savvi); the one-sided closed form is its half-normal counterpart, checked by quadrature (tests/data/stat-vectors).

use super::mean::{Group, Line};
use super::normal::check_alpha;
use super::special::ln_student_cdf;
use crate::Result;

/// How many values each arm of a stratum needs by default, so that its variance can be estimated.
pub const LEAST: u64 = 8;

/// The default prior precision in observations: effects of a tenth of a standard deviation.
pub const PHI: f64 = 100.0;

/// Sums over strata for one margin.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sums {
    margin: Line,
    s: f64,
    v: f64,
    h: f64,
    nu: f64,
    least: u64,
    waiting: (Group, Group),
}

impl Sums {
    /// The sums of no strata.
    pub fn new(margin: Line) -> Self {
        Self::pooling(margin, LEAST)
    }

    /// The sums of no strata, where a stratum needs `least` values in each arm, 2 at least.
    pub fn pooling(margin: Line, least: u64) -> Self {
        Self { margin, s: 0.0, v: 0.0, h: 0.0, nu: 0.0, least: least.max(2), waiting: Default::default() }
    }

    /// Add a stratum. One with too few values in an arm waits, and is pooled with the next ones until there are enough.
    pub fn add(&mut self, t: &Group, c: &Group) {
        self.waiting.0.merge(t);
        self.waiting.1.merge(c);
        let (t, c) = self.waiting;
        if t.n < self.least || c.n < self.least {
            return;
        }
        self.waiting = Default::default();
        self.include(&t, &c);
    }

    fn include(&mut self, t: &Group, c: &Group) {
        let (n_t, n_c, q) = (t.n as f64, c.n as f64, 1.0 + self.margin.relative);
        let h = (n_t.recip() + q * q / n_c).recip();
        let (s2_t, s2_c) = (t.m2 / (n_t - 1.0), c.m2 / (n_c - 1.0));
        self.h += h;
        self.s += h * (t.mean - q * c.mean - self.margin.absolute);
        self.v += h * h * (s2_t / n_t + q * q * s2_c / n_c);
        self.nu += n_t - 1.0;
    }

    /// S, the weighted sum of differences beyond the margin.
    pub fn s(&self) -> f64 {
        self.s
    }

    /// V, the variance of S.
    pub fn v(&self) -> f64 {
        self.v
    }

    /// H, the sum of the strata's weights.
    pub fn h(&self) -> f64 {
        self.h
    }

    /// Degrees of freedom, counted from the treatment's values only.
    pub fn nu(&self) -> f64 {
        self.nu
    }

    /// The t statistic; None before there is any spread.
    pub fn t(&self) -> Option<f64> {
        (self.v > 0.0).then(|| self.s / self.v.sqrt())
    }

    /// The estimate of mu_T - (1 + r) mu_C - D, which is the effect of a regression with one intercept a stratum.
    pub fn estimate(&self) -> Option<f64> {
        (self.h > 0.0).then(|| self.s / self.h)
    }

    /// The two-sided log e-value against "on the margin's line"; 0 before there is any spread.
    pub fn log_e(&self, phi: f64) -> f64 {
        self.t().map_or(0.0, |t| log_e(t, self.nu, phi / (phi + self.h)))
    }

    /// The log e-value against "at most the margin's line"; 0 before there is any spread.
    pub fn log_e_greater(&self, phi: f64) -> f64 {
        self.t().map_or(0.0, |t| log_e_greater(t, self.nu, phi / (phi + self.h)))
    }

    /// The one-sided log e-value against "at least the margin's line"; 0 before there is any spread.
    pub fn log_e_less(&self, phi: f64) -> f64 {
        self.t().map_or(0.0, |t| log_e_greater(-t, self.nu, phi / (phi + self.h)))
    }

    /// The interval around the estimate that holds at every look but for a chance of alpha; None before there is any
    /// spread, and infinite while the data is too little.
    ///
    /// # Errors
    /// [`crate::Kind::InvalidParameter`] when alpha is not strictly between 0 and 1.
    pub fn interval(&self, alpha: f64, phi: f64) -> Result<Option<(f64, f64)>> {
        check_alpha(alpha)?;
        let Some(estimate) = self.estimate().filter(|_| self.v > 0.0) else { return Ok(None) };
        let r = phi / (phi + self.h);
        let level = ((r.ln() + 2.0 * alpha.ln()) / (self.nu + 1.0)).exp();
        let gap = level - r;
        let width =
            if gap > 0.0 { self.v.sqrt() / self.h * (self.nu * (1.0 - level) / gap).sqrt() } else { f64::INFINITY };
        Ok(Some((estimate - width, estimate + width)))
    }
}

/// The two-sided log e-value of a t statistic with nu degrees of freedom, where r = phi / (phi + information).
pub fn log_e(t: f64, nu: f64, r: f64) -> f64 {
    let square = t * t / nu;
    0.5 * r.ln() + 0.5 * (nu + 1.0) * (square.ln_1p() - (r * square).ln_1p())
}

/// The one-sided log e-value, for positive effects.
pub fn log_e_greater(t: f64, nu: f64, r: f64) -> f64 {
    let scaled = t * ((1.0 - r) * (nu + 1.0) / (nu * (1.0 + r * t * t / nu))).sqrt();
    std::f64::consts::LN_2 + log_e(t, nu, r) + ln_student_cdf(scaled, nu + 1.0)
}
