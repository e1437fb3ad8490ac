//! Several e-values at once: one verdict on a rollout with its culprits, and a list of findings over a fleet.
//!
//! What is here: how e-values add up ([`part`], [`climb`]), which is how guardrails act together (`guardrail::together`), too;
//! README.md, section 6. What is not: the tests, and how weights are chosen.

use super::mixture::weighted;
use crate::{Error, Kind, Result};

/// What several guardrails of one rollout say together.
#[derive(Debug, Clone, PartialEq)]
pub struct Combined {
    /// The log of the weighted average of the e-values: an e-value under any dependence.
    pub log_e: f64,
    /// Whether it reaches log(1 / alpha).
    pub is_reached: bool,
    /// Which guardrails are to blame, by index: the one that adds most to the average, and of the rest the next one, as long
    /// as that reaches the line without it.
    pub culprits: Vec<usize>,
}

/// What some evidence adds to the sum that acts at 1: its share of the error budget times its e-value. One of 1 has reached
/// its own line, so more is not counted; what is no number adds nothing.
pub fn part(log_e: f64, alpha: f64) -> f64 {
    if log_e < f64::INFINITY && alpha > 0.0 { (log_e + alpha.ln()).clamp(-700.0, 0.0).exp() } else { 0.0 }
}

/// Parts by index, least first, each with the sum of it and of all that say less; of equals those that come first.
pub fn climb(parts: &[f64]) -> Vec<(usize, f64)> {
    let mut order: Vec<usize> = (0..parts.len()).collect();
    order.sort_by(|a, b| parts[*a].total_cmp(&parts[*b]));
    let mut sum = 0.0;
    let step = |i: usize| {
        sum += parts[i];
        (i, sum)
    };
    order.into_iter().map(step).collect()
}

/// The culprits among climbed parts, the greatest first: the greatest, and of what is left without it the next one, as long
/// as that reaches 1, too.
pub fn culprits(climbed: &[(usize, f64)]) -> impl Iterator<Item = usize> + '_ {
    (0..climbed.len()).rev().take_while(|place| climbed[*place].1 >= 1.0)
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
    let parts: Vec<f64> = log_es.iter().zip(weights).map(|(e, w)| part(e.min(f64::MAX), alpha * w)).collect();
    let climbed = climb(&parts);
    let mut culprits: Vec<usize> = self::culprits(&climbed).map(|place| climbed[place].0).collect();
    culprits.sort_unstable();
    Ok(Combined { log_e, is_reached: !culprits.is_empty(), culprits })
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
