//! Test T: ratios of sums over units, where one unit (a user, a host) has many rows (README.md, section 7).
//!
//! What is here: the mergeable sums of an arm, the delta method, the e-value and the interval of a ratio of ratios, and
//! the design effect. What is not: which unit a row belongs to.
//!
//! # Formula
//! R = sum x / sum y and var(R) = [s_xx - 2 R s_xy + R^2 s_yy] / (ybar^2 n), with sample co-moments over the n units.
//! With v = var_T + (1 + r)^2 var_C, pool the ratio of both arms, d = (R_T - (1 + r) R_C) / pool and information
//! I = pool^2 / v, the log e-value is the one-sided normal mixture of (d I, I) with precision 1 / 0.4^2. Asymptotic:
//! it waits for 100 units and a numerator of 20 in each arm. A unit's totals may change as it returns only if the sums
//! are those of closed windows.

use super::normal::{self, check_alpha};
use super::tilt::Harm;
use crate::Result;

/// The precision of the mixture: log ratios of 0.4 are expected.
const RHO: f64 = 1.0 / 0.16;

/// Fewer units an arm than this are not judged.
pub const MIN_UNITS: u64 = 100;

/// Nor is a smaller sum of numerators.
pub const MIN_NUMERATOR: f64 = 20.0;

/// Count, means and co-moments of (numerator x, denominator y) over units.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Units {
    /// How many units.
    pub n: u64,
    /// Mean numerator.
    pub x: f64,
    /// Mean denominator.
    pub y: f64,
    /// Centred sum of squares of numerators.
    pub xx: f64,
    /// Centred sum of products.
    pub xy: f64,
    /// Centred sum of squares of denominators.
    pub yy: f64,
}

impl Units {
    /// Add one unit's totals.
    pub fn push(&mut self, x: f64, y: f64) {
        self.merge(&Self { n: 1, x, y, ..Self::default() });
    }

    /// Add the units of another group (Chan's formula in two dimensions).
    pub fn merge(&mut self, other: &Self) {
        if other.n == 0 {
            return;
        }
        let (a, b) = (self.n as f64, other.n as f64);
        let (dx, dy, between, share) = (other.x - self.x, other.y - self.y, a * b / (a + b), b / (a + b));
        self.xx += other.xx + dx * dx * between;
        self.xy += other.xy + dx * dy * between;
        self.yy += other.yy + dy * dy * between;
        self.x += dx * share;
        self.y += dy * share;
        self.n += other.n;
    }

    /// R, the sum of numerators by the sum of denominators; None where that is 0.
    pub fn ratio(&self) -> Option<f64> {
        (self.n > 0 && self.y != 0.0).then(|| self.x / self.y)
    }

    /// The variance of R by the delta method; None of fewer than two units.
    pub fn variance(&self) -> Option<f64> {
        let r = self.ratio().filter(|_| self.n > 1)?;
        let n = self.n as f64;
        let spread = (self.xx - 2.0 * r * self.xy + r * r * self.yy).max(0.0) / (n - 1.0);
        Some(spread / (self.y * self.y * n))
    }

    /// The sum of the numerators.
    fn numerator(&self) -> f64 {
        self.x * self.n as f64
    }

    /// How much larger the variance of a share of events x among trials y is than if all trials were independent,
    /// at least 1. Divide every log likelihood ratio of request-level tests by it ([`super::mixture::temper`]); take
    /// it from the control before the rollout, since the first minutes are unprotected otherwise (README.md, section 7).
    pub fn design_effect(&self) -> Option<f64> {
        let (p, variance) = (self.ratio()?, self.variance()?);
        let independent = p * (1.0 - p) / (self.y * self.n as f64);
        (independent > 0.0).then(|| (variance / independent).max(1.0))
    }
}

/// Whether both arms have what the asymptotics need.
fn is_judged(t: &Units, c: &Units) -> bool {
    [t, c].iter().all(|u| u.n >= MIN_UNITS && u.numerator() >= MIN_NUMERATOR)
}

/// The log e-value of test T. The null is R_T <= (1 + margin) R_C for [`Harm::Increase`], R_T >= (1 + margin) R_C for
/// [`Harm::Decrease`]; 0 while an arm has too few units or events.
pub fn log_e(t: &Units, c: &Units, margin: f64, harm: Harm) -> f64 {
    let (Some(r_t), Some(r_c), Some(v_t), Some(v_c)) = (t.ratio(), c.ratio(), t.variance(), c.variance()) else {
        return 0.0;
    };
    let q = 1.0 + margin;
    let pool = (t.numerator() + c.numerator()) / (t.y * t.n as f64 + c.y * c.n as f64);
    let v = v_t + q * q * v_c;
    if !is_judged(t, c) || v <= 0.0 || pool <= 0.0 {
        return 0.0;
    }
    let information = pool * pool / v;
    let d = (r_t - q * r_c) / pool;
    let signed = if harm == Harm::Increase { d } else { -d };
    normal::log_e_greater(signed * information, information, RHO)
}

/// The ratio R_T / R_C and its interval at every look but for a chance of alpha, on the log scale; None while an arm
/// has too few units or events.
///
/// # Errors
/// [`crate::Kind::InvalidParameter`] when alpha is not strictly between 0 and 1.
pub fn interval(t: &Units, c: &Units, alpha: f64) -> Result<Option<(f64, f64, f64)>> {
    check_alpha(alpha)?;
    let (Some(r_t), Some(r_c), Some(v_t), Some(v_c)) = (t.ratio(), c.ratio(), t.variance(), c.variance()) else {
        return Ok(None);
    };
    let v = v_t / (r_t * r_t) + v_c / (r_c * r_c);
    if !is_judged(t, c) || v.is_nan() || v <= 0.0 {
        return Ok(None);
    }
    let information = v.recip();
    let width = normal::bound(information, RHO, alpha) / information;
    let ratio = r_t / r_c;
    Ok(Some((ratio, ratio * (-width).exp(), ratio * width.exp())))
}
