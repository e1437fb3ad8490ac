//! Several e-values at once: one verdict on a rollout with its culprits, and a list of findings over a fleet.
//!
//! What is here: README.md, section 6. What is not: the tests, and how weights are chosen.

use super::mixture::weighted;
use crate::{Error, Kind, Result};

/// What several guardrails of one rollout say together.
#[derive(Debug, Clone, PartialEq)]
pub struct Combined {
    /// The log of the weighted average of the e-values: an e-value under any dependence.
    pub log_e: f64,
    /// Whether it reaches log(1 / alpha).
    pub is_reached: bool,
    /// Which guardrails reach their own line log(1 / (alpha w)), by index. When only the average does, the one that
    /// adds most to it.
    pub culprits: Vec<usize>,
}

/// Combine the log e-values of one rollout's guardrails by weights that sum to 1.
///
/// The average dominates weighted Bonferroni (any guardrail above its own line puts the average above the common one),
/// needs no independence, and must be read at one time in one filtration, the end of a tick (Vovk and Wang,
/// arXiv 1912.06116; Choe and Ramdas, arXiv 2402.09698).
///
/// # Errors
/// [`Kind::InvalidParameter`] when the lengths differ, weights are not positive or do not sum to 1, an e-value is not a
/// number, or alpha is no chance.
pub fn combine(log_es: &[f64], weights: &[f64], alpha: f64) -> Result<Combined> {
    super::normal::check_alpha(alpha)?;
    let sum: f64 = weights.iter().sum();
    if weights.iter().any(|w| w.is_nan() || *w <= 0.0) || (sum - 1.0).abs() > 1e-9 {
        return Err(Error::new(
            Kind::InvalidParameter,
            format!("weights must be positive and sum to 1, got \"{sum}\""),
        ));
    }
    check_numbers(log_es)?;
    let log_weights: Vec<f64> = weights.iter().map(|w| w.ln()).collect();
    let log_e = weighted(log_es, &log_weights)?;
    let line = -alpha.ln();
    let parts: Vec<f64> = log_es.iter().zip(&log_weights).map(|(e, w)| e + w).collect();
    let mut culprits: Vec<usize> = (0..parts.len()).filter(|i| parts[*i] >= line).collect();
    let is_reached = log_e >= line || !culprits.is_empty();
    if is_reached && culprits.is_empty() {
        culprits.extend((0..parts.len()).max_by(|a, b| parts[*a].total_cmp(&parts[*b])));
    }
    Ok(Combined { log_e, is_reached, culprits })
}

fn check_numbers(log_es: &[f64]) -> Result<()> {
    match log_es.iter().find(|e| e.is_nan()) {
        Some(_) => Err(Error::new(Kind::InvalidParameter, "a log e-value is not a number")),
        None => Ok(()),
    }
}

/// e-BH: which of M hypotheses to reject so that at most alpha of the rejected ones are true in the mean, under any
/// dependence (Wang and Ramdas, arXiv 2009.02824): the k* largest, k* the greatest k with k e_(k) / M >= 1 / alpha.
///
/// # Errors
/// [`Kind::InvalidParameter`] when an e-value is not a number or alpha is no chance.
pub fn e_bh(log_es: &[f64], alpha: f64) -> Result<Vec<bool>> {
    super::normal::check_alpha(alpha)?;
    check_numbers(log_es)?;
    let mut order: Vec<usize> = (0..log_es.len()).collect();
    order.sort_by(|a, b| log_es[*b].total_cmp(&log_es[*a]));
    let line = (log_es.len() as f64).ln() - alpha.ln();
    let last = (1..=order.len()).rev().find(|k| log_es[order[k - 1]] + (*k as f64).ln() >= line).unwrap_or(0);
    let mut rejected = vec![false; log_es.len()];
    order[..last].iter().for_each(|i| rejected[*i] = true);
    Ok(rejected)
}

/// The log e-value kappa p^(kappa - 1) of a p-value. Only anytime-valid p-values may be looked at repeatedly; with
/// kappa = 1/2 it is p^(-1/2) / 2 (Vovk and Wang, arXiv 1912.06116).
///
/// # Errors
/// [`Kind::InvalidParameter`] when p is not in (0, 1] or kappa not in (0, 1).
pub fn calibrated(p: f64, kappa: f64) -> Result<f64> {
    check_p(p)?;
    if !(kappa > 0.0 && kappa < 1.0) {
        return Err(Error::new(Kind::InvalidParameter, format!("kappa must be between 0 and 1, got \"{kappa}\"")));
    }
    Ok(kappa.ln() + (kappa - 1.0) * p.ln())
}

/// The log of the average of kappa p^(kappa - 1) over all kappa: (1 - p + p log p) / (p log^2 p).
///
/// # Errors
/// [`Kind::InvalidParameter`] when p is not in (0, 1].
pub fn calibrated_average(p: f64) -> Result<f64> {
    check_p(p)?;
    let log = p.ln();
    if log > -1e-4 {
        // 1 - p + p log p = L^2/2 + L^3/3 + ..., by expansion around p = 1 where it cancels.
        return Ok((0.5 + log / 3.0 + log * log / 8.0).ln() - log);
    }
    Ok((1.0 - p + p * log).ln() - log - 2.0 * (-log).ln())
}

fn check_p(p: f64) -> Result<f64> {
    if p > 0.0 && p <= 1.0 {
        return Ok(p);
    }
    Err(Error::new(Kind::InvalidParameter, format!("a p-value must be above 0 and at most 1, got \"{p}\"")))
}
