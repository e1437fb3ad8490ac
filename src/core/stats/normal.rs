//! The normal mixture: the e-value and the interval of a sum that is nearly normal.
//!
//! What is here: functions of a centred sum s and its variance v. What is not: where the two come from (`score`,
//! `student`, `ratio`).
//!
//! Source: Howard, Ramdas, McAuliffe, Sekhon (arXiv 1810.08240), with the precision rho of the mixing normal law. The
//! e-value of Johari's mSPRT (arXiv 1512.04922) is the two-sided one with rho = sigma^2 / tau^2. Asymptotic unless the
//! sum is sub-Gaussian: no default guardrail rests on it.

use super::special::{ln_normal_cdf, root};
use crate::{Error, Kind, Result};

/// The precision whose bound is narrowest at variance `v`, for a two-sided test at `alpha` (one-sided: 2 alpha).
pub fn precision(v: f64, alpha: f64) -> f64 {
    let twice = -2.0 * alpha.ln();
    v / (twice + twice.ln_1p())
}

/// The log e-value against s = 0 in either direction: log(rho / (v + rho)) / 2 + s^2 / (2 (v + rho)).
pub fn log_e(s: f64, v: f64, rho: f64) -> f64 {
    let total = v + rho;
    0.5 * (rho / total).ln() + s * s / (2.0 * total)
}

/// The log e-value against s <= 0: the mixture over positive means only.
pub fn log_e_greater(s: f64, v: f64, rho: f64) -> f64 {
    std::f64::consts::LN_2 + log_e(s, v, rho) + ln_normal_cdf(s / (v + rho).sqrt())
}

/// How far |s| may go at every v at once, but for a chance of alpha.
pub fn bound(v: f64, rho: f64, alpha: f64) -> f64 {
    let total = v + rho;
    (total * ((total / rho).ln() - 2.0 * alpha.ln())).sqrt()
}

/// How far s may go upwards at every v at once, but for a chance of alpha.
pub fn bound_greater(v: f64, rho: f64, alpha: f64) -> f64 {
    root(0.0, bound(v, rho, alpha), |s| log_e_greater(s, v, rho) + alpha.ln())
}

/// Check that alpha is a chance strictly between 0 and 1.
///
/// # Errors
/// [`Kind::InvalidParameter`] when it is not.
pub fn check_alpha(alpha: f64) -> Result<f64> {
    if alpha > 0.0 && alpha < 1.0 {
        return Ok(alpha);
    }
    Err(Error::new(Kind::InvalidParameter, format!("alpha must be between 0 and 1, got \"{alpha}\"")))
}
