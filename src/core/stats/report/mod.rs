//! Classical tests for reports: one look, at a sample size that was fixed beforehand.
//!
//! What is here: means and ratios of sums over units (Welch), two proportions, two rates, ranks (Mann-Whitney on
//! histograms), counts against shares (chi-square), and corrections for many tests. What is not: anything that a guardrail acts on. Looked at again and again until it is
//! significant, each of these errs in 30 to 60 % of healthy rollouts (the README.md above, section 9); the sequential tests
//! of the parent module do not.
//!
//! All effects are treatment minus control. `p_value` is two-sided; `p_greater` is that of the treatment being greater.

pub mod chi_square;
mod distribution;
pub mod means;
pub mod multiple;
pub mod proportions;
pub mod ranks;
pub mod rates;

use crate::{Error, Kind, Result};

/// An estimated difference with its interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// Treatment minus control.
    pub difference: f64,
    /// The lower end of the interval.
    pub lower: f64,
    /// The upper end of the interval.
    pub upper: f64,
}

impl Estimate {
    fn around(difference: f64, half: f64) -> Self {
        Self { difference, lower: difference - half, upper: difference + half }
    }
}

/// Refuse a confidence that is not between 0 and 1.
fn check_confidence(confidence: f64) -> Result<()> {
    if confidence > 0.0 && confidence < 1.0 {
        return Ok(());
    }
    let message = format!("confidence must be between 0 and 1, got \"{confidence}\"");
    Err(Error::new(Kind::InvalidParameter, message).hint("95 % is 0.95."))
}
