//! One answer of each decision test over given strata: estimate, interval, evidence of harm and of safety.
//!
//! What is here: the loop over strata, in their order, with everything that scores a stratum taken from those before it.
//! What is not: the formulas (the other modules), and the worker's own running state (`guardrail`), which gives the same
//! evidence from the same strata.

mod counts;
mod values;

pub use counts::{limit, proportion, rate, ratio, share};
pub use values::{distribution, mean, mean_t, quantile, quantile_strict};

use super::margin::Margin;
use super::process::Process;
use super::tilt::Harm;
use crate::Result;

/// What is asked of a test.
#[derive(Debug, Clone, Copy)]
pub struct Question {
    /// The direction that hurts.
    pub harm: Harm,
    /// The tolerated worsening: evidence of harm is evidence of more than this.
    pub margin: Margin,
    /// Evidence of safety is evidence of less relative worsening than this; None: not asked.
    pub safe_margin: Option<f64>,
    /// Every log likelihood ratio is divided by it, 1 when trials are independent.
    pub design_effect: f64,
    /// The chance of a false verdict, for all looks together.
    pub alpha: f64,
}

/// What a test says.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Answer {
    /// The effect or the value, as each test says; None where the strata do not tell.
    pub estimate: Option<f64>,
    /// The lower end of its interval at every look.
    pub low: Option<f64>,
    /// The upper end.
    pub high: Option<f64>,
    /// The log e-value of harm after the last stratum.
    pub log_e: f64,
    /// The greatest so far.
    pub max_log_e: f64,
    /// The log e-value of safety after the last stratum, where asked.
    pub log_e_safe: Option<f64>,
    /// The greatest so far.
    pub max_log_e_safe: Option<f64>,
}

impl Answer {
    /// `found` when harm was shown at any look, `safe` when safety was, `open` otherwise.
    pub fn verdict(&self, alpha: f64, found: &'static str) -> &'static str {
        let line = -alpha.ln();
        if self.max_log_e >= line {
            return found;
        }
        if self.max_log_e_safe.is_some_and(|e| e >= line) { "safe" } else { "open" }
    }

    /// The answer of a process of harm and perhaps one of safety.
    fn of(harm: &Process, safe: Option<&Process>) -> Self {
        Self {
            log_e: harm.log_e(),
            max_log_e: harm.max_log_e(),
            log_e_safe: safe.map(Process::log_e),
            max_log_e_safe: safe.map(Process::max_log_e),
            ..Self::default()
        }
    }

    fn with(self, estimate: Option<f64>, interval: Option<(f64, f64)>) -> Self {
        let (low, high) = interval.unzip();
        Self { estimate, low, high, ..self }
    }
}

/// Check what every test needs.
fn check(question: &Question) -> Result<()> {
    super::normal::check_alpha(question.alpha)?;
    super::mixture::temper(&mut [], question.design_effect)?;
    if let Some(margin) = question.safe_margin.filter(|m| !(*m > 0.0 && *m <= 100.0)) {
        let message = format!("safe_margin must be above 0 and at most 100, got \"{margin}\"");
        return Err(crate::Error::new(crate::Kind::InvalidParameter, message));
    }
    Ok(())
}
