//! Two means: Welch's t test (Biometrika 34, 1947), for a margin and in units of the control's mean too.

use super::distribution::{t_quantile, t_tail};
use super::{Estimate, check_confidence};
use crate::sketch::{Moments, Ratio};
use crate::{Error, Kind, Result};

/// What the test says of two groups.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Means {
    /// Difference of the means, and its test against the margin.
    pub absolute: Tested,
    /// The difference divided by the control's mean, by the delta method, and its test against 0; None when that mean
    /// is 0.
    pub relative: Option<Tested>,
    /// Welch and Satterthwaite's degrees of freedom.
    pub df: f64,
}

/// A difference with its interval and its test against a margin.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tested {
    /// The difference, with a two-sided interval.
    pub estimate: Estimate,
    /// The standard error of the difference.
    pub standard_error: f64,
    /// (difference - margin) / standard error.
    pub t: f64,
    /// Two-sided, of a difference equal to the margin.
    pub p_value: f64,
    /// One-sided, of a difference at most as large as the margin.
    pub p_greater: f64,
}

impl Tested {
    /// None when the error is no positive number.
    fn new(difference: f64, standard_error: f64, margin: f64, df: f64, confidence: f64) -> Option<Self> {
        if !(standard_error > 0.0 && standard_error.is_finite() && difference.is_finite()) {
            return None;
        }
        let t = (difference - margin) / standard_error;
        let half = t_quantile((1.0 - confidence) / 2.0, df) * standard_error;
        let estimate = Estimate { difference, lower: difference - half, upper: difference + half };
        Some(Self { estimate, standard_error, t, p_value: 2.0 * t_tail(t.abs(), df), p_greater: t_tail(t, df) })
    }
}

/// One group: count, mean and sample variance (n - 1).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Group {
    /// Number of values, at least 2.
    pub n: f64,
    /// Their mean.
    pub mean: f64,
    /// Their sample variance.
    pub variance: f64,
}

impl Group {
    /// The group of a state; None of fewer than two values.
    pub fn of(moments: &Moments) -> Option<Self> {
        let (mean, variance) = (moments.mean()?, moments.variance()?);
        Some(Self { n: moments.count() as f64, mean, variance })
    }

    /// The group of a ratio of sums over units: its variance by the delta method, as if each unit had a ratio of its
    /// own; None of fewer than two units or without a ratio.
    pub fn of_ratio(ratio: &Ratio) -> Option<Self> {
        let n = ratio.count() as f64;
        Some(Self { n, mean: ratio.value()?, variance: ratio.variance()? * n })
    }

    /// The variance of the mean.
    fn error(&self) -> f64 {
        self.variance / self.n
    }
}

/// Welch's test of two groups against a margin in the metric's unit.
///
/// None where it says nothing: when both groups have variance 0.
///
/// # Errors
/// [`Kind::InvalidParameter`] for a confidence outside 0 to 1 and a margin that is not finite.
pub fn welch(treatment: &Group, control: &Group, confidence: f64, margin: f64) -> Result<Option<Means>> {
    compare(treatment, control, confidence, margin, degrees_of_freedom(treatment, control))
}

/// The same with the normal distribution in place of Student's t: for samples so large that it makes no difference, and
/// for comparing with tools that use it.
///
/// # Errors
/// As [`welch`].
pub fn z_test(treatment: &Group, control: &Group, confidence: f64, margin: f64) -> Result<Option<Means>> {
    compare(treatment, control, confidence, margin, f64::INFINITY)
}

fn compare(treatment: &Group, control: &Group, confidence: f64, margin: f64, df: f64) -> Result<Option<Means>> {
    check_confidence(confidence)?;
    if !margin.is_finite() {
        return Err(Error::new(Kind::InvalidParameter, format!("margin must be a finite number, got \"{margin}\"")));
    }
    let (difference, variance) = (treatment.mean - control.mean, treatment.error() + control.error());
    let absolute = Tested::new(difference, variance.sqrt(), margin, df, confidence);
    // Over the control's mean: var = var_T / mean_C^2 + var_C mean_T^2 / mean_C^4.
    let ratio = treatment.mean / control.mean;
    let error = (treatment.error() + control.error() * ratio * ratio).sqrt() / control.mean.abs();
    let relative = Tested::new(ratio - 1.0, error, 0.0, df, confidence);
    Ok(absolute.map(|absolute| Means { absolute, relative, df }))
}

fn degrees_of_freedom(a: &Group, b: &Group) -> f64 {
    // In shares of the sum: squares of large variances would overflow.
    let share = a.error() / (a.error() + b.error());
    (share * share / (a.n - 1.0) + (1.0 - share) * (1.0 - share) / (b.n - 1.0)).recip()
}
