//! Counts against expected shares: Pearson's chi-square, for the sample ratio of a finished rollout.

use super::distribution::chi_square_tail;
use crate::{Error, Kind, Result};

/// Pearson's chi-square.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ChiSquare {
    /// The statistic.
    pub chi2: f64,
    /// Degrees of freedom, one less than groups.
    pub df: f64,
    /// The chance of a statistic at least as large.
    pub p_value: f64,
}

/// Test counts against shares in proportion to `weights`; None when all counts are 0.
///
/// # Errors
/// [`Kind::InvalidParameter`] for lists of different lengths or of fewer than two, and a weight that is not positive.
pub fn goodness_of_fit(counts: &[u64], weights: &[f64]) -> Result<Option<ChiSquare>> {
    if counts.len() != weights.len() || counts.len() < 2 {
        let message = format!(
            "there must be as many counts as weights, at least two, got \"{}\" and \"{}\"",
            counts.len(),
            weights.len()
        );
        return Err(Error::new(Kind::InvalidParameter, message));
    }
    if let Some(bad) = weights.iter().find(|w| !(**w > 0.0 && w.is_finite())) {
        let message = format!("a weight must be a positive number, got \"{bad}\"");
        return Err(Error::new(Kind::InvalidParameter, message).hint("Leave out a group that should get nothing."));
    }
    let total: f64 = counts.iter().map(|n| *n as f64).sum();
    if total == 0.0 {
        return Ok(None);
    }
    let weight: f64 = weights.iter().sum();
    let terms = counts.iter().zip(weights).map(|(n, w)| {
        let expected = total * (w / weight);
        (*n as f64 - expected).powi(2) / expected
    });
    let (chi2, df) = (terms.sum(), counts.len() as f64 - 1.0);
    Ok(Some(ChiSquare { chi2, df, p_value: chi_square_tail(chi2, df) }))
}
