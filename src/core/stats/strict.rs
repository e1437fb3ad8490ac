//! Test Qs: that a quantile itself got worse, not only the share above the control's usual one (README.md, section 5).
//!
//! What is here: the e-value of all strata at once. What is not: a running state. The set of edges that are possible
//! for the control's quantile shrinks, so every look is computed from the strata's histograms.
//!
//! # Method
//! A confidence sequence of the control's quantile at alpha / 10 leaves a set of bins. In each of them, test P compares
//! the shares above its edge, stratum by stratum; the null is rejected when all of them reject, at the rest of alpha.
//! Exact up to one bin in the level of the quantile: the edge above the quantile has level p* >= p. It takes 1.7 to 1.9
//! times as long as test Q and assumes that the control's distribution stays what it is:
//! under drift the set of edges can exclude the true one. The default guardrail is test Q.

use super::beta_binomial::BetaBinomial;
use super::mixture::{ERROR_GRID, log_e};
use super::tilt::{Arms, Harm, fisher_increment};
use crate::sketch::{Histogram, Sketch};
use crate::{Error, Kind, Result};

/// Which part of alpha the control's confidence sequence takes.
pub const CONTROL_PART: f64 = 0.1;

/// What the strata say.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Strict {
    /// The least log e-value over the possible edges: reject at log(1 / (alpha - alpha / 10)).
    pub log_e: f64,
    /// The possible bins of the control's quantile: lower bound of the first, upper bound of the last.
    pub control: (f64, f64),
}

/// Test Qs over all strata, given as histograms of treatment and control; None before the control has values.
///
/// # Errors
/// [`Kind::InvalidParameter`] when p or alpha is no chance or histograms have different scales; as
/// [`fisher_increment`].
pub fn strict(strata: &[(&Histogram, &Histogram)], p: f64, alpha: f64, harm: Harm) -> Result<Option<Strict>> {
    let Some((_, first)) = strata.first() else { return Ok(None) };
    let mut control = Histogram::new(first.scale())?;
    let mut all = control.clone();
    for (t, c) in strata {
        if t.scale() != first.scale() || c.scale() != first.scale() {
            return Err(Error::new(Kind::InvalidParameter, "histograms of different scales have different bins"));
        }
        control.merge(c)?;
        all.merge(t)?;
    }
    all.merge(&control)?;
    let keys = possible(&control, &all, p, alpha)?;
    let low = keys.first().and_then(|key| all.lower_bound(*key));
    let high = keys.last().and_then(|key| all.upper_bound(*key));
    let Some(bounds) = low.zip(high).filter(|_| control.count() > 0) else { return Ok(None) };
    let mut least = f64::INFINITY;
    for key in keys {
        // The edge that the quantile's bin has on the harmless side.
        let edge = if harm == Harm::Increase { key } else { key.saturating_sub(1) };
        least = least.min(at_edge(strata, edge, harm)?);
    }
    Ok(Some(Strict { log_e: least, control: bounds }))
}

/// The keys of the bins that may hold the control's quantile, of those where any arm has values: between them nothing
/// changes.
fn possible(control: &Histogram, all: &Histogram, p: f64, alpha: f64) -> Result<Vec<i32>> {
    let n = control.count() as f64;
    let mixture = BetaBinomial::new(p, 1000.0, CONTROL_PART * alpha, false)?;
    let line = -(CONTROL_PART * alpha).ln();
    let mut below = 0.0;
    Ok(all
        .bins()
        .iter()
        .filter_map(|(key, _)| {
            let upto = n - control.count_above(*key) as f64;
            let nearest = (p * n).clamp(below, upto);
            below = upto;
            (mixture.log_e(nearest, n) < line).then_some(*key)
        })
        .collect())
}

fn at_edge(strata: &[(&Histogram, &Histogram)], edge: i32, harm: Harm) -> Result<f64> {
    let mut ell = ERROR_GRID.zeros();
    for (t, c) in strata {
        let arms = Arms { n_t: t.count(), y_t: t.count_above(edge), n_c: c.count(), y_c: c.count_above(edge) };
        let increment = fisher_increment(&arms, 1.0, harm, &ERROR_GRID)?;
        ell.iter_mut().zip(increment).for_each(|(sum, x)| *sum += x);
    }
    log_e(&ell, &ERROR_GRID)
}
