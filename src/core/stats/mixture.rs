//! Mixtures: from one log likelihood ratio per effect size to one e-value.
//!
//! What is here: the grid of effects and its weights, and the averages of e-values.
//!
//! What is not: the ratios themselves (`tilt`), and the decision.
//!
//! A mixture sum_j w_j exp(ell_j) with weights fixed before the data is an e-process again, and costs at most
//! log(1 / w_j) against knowing the effect. An average of e-processes is one under any dependence (Vovk and Wang,
//! arXiv 1912.06116).

use std::sync::LazyLock;

use crate::{Error, Kind, Result};

/// Odds ratios as their logarithms, and the logarithms of their weights, which sum to 1.
#[derive(Debug, Clone, PartialEq)]
pub struct Grid {
    log_or: Vec<f64>,
    log_weight: Vec<f64>,
}

/// The grid for error rates and exceedances. Two thirds of the weight are where harm is slow to be seen and yet worth a fast
/// answer, 30 to 50 % beyond the margin; the rest is spread, up to total outages. An earlier grid spread
/// all of it more evenly ({.1, .2, .35, .5, 1, 2, 4, 9} with {.1, .2, .2, .2, .15, .08, .05, .02}). Measured against that, 4,000
/// rollouts on the same draws and grids near this one: 8 to 11 % less delay at an odds ratio of 1.23, 3 to 5 % at 1.5, up to
/// a tick more from 3 on, 8 to 12 % more at 1.1, which is within the default margin.
pub static ERROR_GRID: LazyLock<Grid> = LazyLock::new(|| Grid {
    log_or: [0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 4.0, 9.0_f64].map(f64::ln_1p).to_vec(),
    log_weight: [0.08, 0.03, 0.35, 0.30, 0.10, 0.08, 0.04, 0.02_f64].map(f64::ln).to_vec(),
});

/// The largest odds ratio that a grid or a margin may have; an effect beyond it needs no statistics.
pub const MAX_ODDS_RATIO: f64 = 1e3;

impl Grid {
    /// A grid of odds ratios above 1 and their weights.
    ///
    /// # Errors
    /// [`Kind::InvalidParameter`] when an odds ratio is not above 1 and at most [`MAX_ODDS_RATIO`], a weight is not
    /// positive, the lengths differ, or the weights do not sum to 1.
    pub fn new(odds_ratios: &[f64], weights: &[f64]) -> Result<Self> {
        let bad = |message: String| Err(Error::new(Kind::InvalidParameter, message));
        if odds_ratios.is_empty() || odds_ratios.len() != weights.len() {
            return bad(format!("\"{}\" odds ratios have \"{}\" weights", odds_ratios.len(), weights.len()));
        }
        if let Some(or) = odds_ratios.iter().find(|or| !(**or > 1.0 && **or <= MAX_ODDS_RATIO)) {
            return bad(format!("odds ratio must be above 1 and at most {MAX_ODDS_RATIO}, got \"{or}\""));
        }
        let sum: f64 = weights.iter().sum();
        if weights.iter().any(|w| w.is_nan() || *w <= 0.0) || (sum - 1.0).abs() > 1e-9 {
            return bad(format!("weights must be positive and sum to 1, got \"{sum}\""));
        }
        let logs = |values: &[f64]| values.iter().map(|v| v.ln()).collect();
        Ok(Self { log_or: logs(odds_ratios), log_weight: logs(weights) })
    }

    /// The grid of a safe process at the odds ratio or rate ratio `margin`: what it hopes to show is no effect at all,
    /// which is as far from the margin as 1 is. So most of the weight is there, and the rest at half and at one and a
    /// half of it. Measured (tests/simulate, B7): half of the time that [`ERROR_GRID`] needs at a margin of 1.5.
    ///
    /// # Errors
    /// As [`Grid::new`], for a margin that is not above 1.
    pub fn safe(margin: f64) -> Result<Self> {
        Self::new(&[margin.sqrt(), margin, margin * margin.sqrt()], &[0.1, 0.8, 0.1])
    }

    /// The logarithms of the odds ratios.
    pub fn log_or(&self) -> &[f64] {
        &self.log_or
    }

    /// The logarithms of the weights.
    pub fn log_weight(&self) -> &[f64] {
        &self.log_weight
    }

    /// The state of a test that has seen nothing.
    pub fn zeros(&self) -> Vec<f64> {
        vec![0.0; self.log_or.len()]
    }
}

/// log(sum exp(x)), without overflow; minus infinity of nothing.
pub fn log_sum_exp(xs: impl IntoIterator<Item = f64> + Clone) -> f64 {
    let max = xs.clone().into_iter().fold(f64::NEG_INFINITY, f64::max);
    if max.is_infinite() {
        return max;
    }
    max + xs.into_iter().map(|x| (x - max).exp()).sum::<f64>().ln()
}

/// The log e-value of the sums `ell`, one for each point of the grid.
///
/// # Errors
/// [`Kind::InvalidParameter`] when `ell` has another length than the grid.
pub fn log_e(ell: &[f64], grid: &Grid) -> Result<f64> {
    weighted(ell, &grid.log_weight)
}

/// The logarithm of the weighted average of e-values, all as logarithms. The weights must sum to 1.
///
/// # Errors
/// [`Kind::InvalidParameter`] when the lengths differ.
pub fn weighted(log_es: &[f64], log_weights: &[f64]) -> Result<f64> {
    if log_es.len() != log_weights.len() {
        let message = format!("\"{}\" e-values have \"{}\" weights", log_es.len(), log_weights.len());
        return Err(Error::new(Kind::InvalidParameter, message));
    }
    if log_es.iter().all(|e| e.abs() < 0.5) {
        // From what the e-values differ from 1 by: exact where they say little, and exactly 0 where they say nothing.
        return Ok(log_es.iter().zip(log_weights).map(|(e, w)| w.exp() * e.exp_m1()).sum::<f64>().ln_1p());
    }
    Ok(log_sum_exp(log_es.iter().zip(log_weights).map(|(e, w)| e + w)))
}

/// The anytime-valid p-value of the greatest log e-value so far: min(1, 1 / max e) (Ville's inequality).
pub fn anytime_p(max_log_e: f64) -> f64 {
    (-max_log_e).exp().min(1.0)
}

/// Divide log likelihood ratios by a design effect of at least 1, in place: the quasi-likelihood of clustered trials
/// ([`super::ratio::Units::design_effect`]; README.md, section 7).
///
/// # Errors
/// [`Kind::InvalidParameter`] when the design effect is below 1 or not finite.
pub fn temper(ell: &mut [f64], design_effect: f64) -> Result<()> {
    if !(design_effect >= 1.0 && design_effect.is_finite()) {
        let message = format!("a design effect is at least 1, got \"{design_effect}\"");
        return Err(Error::new(Kind::InvalidParameter, message));
    }
    ell.iter_mut().for_each(|l| *l /= design_effect);
    Ok(())
}

/// The logarithm of the plain average of e-values (the mean of four quantiles of test Q); None of none.
pub fn mix(log_es: &[f64]) -> Option<f64> {
    let n = log_es.len() as f64;
    (!log_es.is_empty()).then(|| log_sum_exp(log_es.iter().copied()) - n.ln())
}
