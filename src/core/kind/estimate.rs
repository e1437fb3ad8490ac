//! Estimates for people, with intervals that are valid at every look. Verdicts come from the evidence alone.

use super::levels;
use crate::error::Result;
use crate::sketch::Histogram;
use crate::stats::answer::{self, Answer, Question};
use crate::stats::margin::Margin;
use crate::stats::tilt::Harm;

/// Something estimated.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// What it is: `odds_ratio`, `difference`, `rate_ratio`, `share`, `rate` or `share_above`.
    pub what: &'static str,
    /// It, and the ends of its interval; `None` where the strata do not tell; no estimate at all without strata.
    pub value: Option<[Option<f64>; 3]>,
}

impl Estimate {
    /// The estimate of a test's answer.
    pub(super) fn of(what: &'static str, answer: &Answer) -> Self {
        Self { what, value: Some([answer.estimate, answer.low, answer.high]) }
    }
}

/// What is asked for an estimate alone: the margin and the direction make no difference to it.
pub(super) fn question(alpha: f64) -> Question {
    Question { harm: Harm::Increase, margin: Margin::Relative(0.0), safe_margin: None, design_effect: 1.0, alpha }
}

/// The quantiles of treatment and control, and their ratio.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct QuantileRatio {
    /// Which quantile.
    pub level: f64,
    /// Treatment by control, and the ends of its interval.
    pub ratio: [Option<f64>; 3],
    /// Of the treatment.
    pub treatment: [Option<f64>; 3],
    /// Of the control.
    pub control: [Option<f64>; 3],
}

/// A quantile of an arm with its interval, which is valid at every look while the arm's law stays the same.
///
/// # Errors
/// As [`answer::quantile`].
pub fn quantile_of(values: &Histogram, level: f64, alpha: f64) -> Result<[Option<f64>; 3]> {
    let answer = answer::quantile(&[(values.clone(), Histogram::default())], Some(level), &question(alpha))?;
    Ok([answer.estimate, answer.low, answer.high])
}

/// The ratios of the tested quantiles, the one most surely worse first; none where a quantile is not positive. The arms'
/// intervals, each at half of a level's part of alpha, hold together; so does what their ends give.
///
/// # Errors
/// As [`quantile_of`].
pub fn quantile_ratios(
    [t, c]: [&Histogram; 2],
    quantile: Option<f64>,
    harm: Harm,
    alpha: f64,
) -> Result<Vec<QuantileRatio>> {
    let levels = levels(quantile);
    let share = alpha / (2.0 * levels.len() as f64);
    let mut ratios = Vec::new();
    for level in levels {
        let (treatment, control) = (quantile_of(t, level, share)?, quantile_of(c, level, share)?);
        if let ([Some(x_t), low_t, high_t], [Some(x_c), low_c, high_c]) = (treatment, control)
            && x_t > 0.0
            && x_c > 0.0
        {
            let low = low_t.zip(high_c).filter(|(t, c)| *t >= 0.0 && *c > 0.0).map(|(t, c)| t / c);
            let high = high_t.zip(low_c).filter(|(_, c)| *c > 0.0).map(|(t, c)| t / c);
            ratios.push(QuantileRatio { level, ratio: [Some(x_t / x_c), low, high], treatment, control });
        }
    }
    let worst = |ratio: &QuantileRatio| {
        let [_, low, high] = ratio.ratio;
        if harm == Harm::Increase { low.map_or(f64::INFINITY, |low| -low) } else { high.unwrap_or(f64::INFINITY) }
    };
    ratios.sort_by(|a, b| worst(a).total_cmp(&worst(b)).then(a.level.total_cmp(&b.level)));
    Ok(ratios)
}
