//! Two proportions: the pooled z test, whose square is Pearson's chi-square, with Newcombe's interval.

use super::distribution::{normal_quantile, normal_tail};
use super::{Estimate, check_confidence};
use crate::Result;
use crate::stats::proportion::wilson;
use crate::stats::tilt::Arms;

/// What is said of two proportions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Proportions {
    /// Difference of the rates with Newcombe's hybrid score interval (Statistics in Medicine 17, 1998, method 10), which
    /// holds its level with few events and at rates near 0 and 1.
    pub newcombe: Estimate,
    /// The same difference with Wald's interval, unpooled standard errors.
    pub wald: Estimate,
    /// The pooled z; its square is Pearson's chi-square of the table, without continuity correction.
    pub z: f64,
    /// Two-sided, of z.
    pub p_value: f64,
    /// One-sided, of z.
    pub p_greater: f64,
    /// Two-sided, after adding one event and one other trial to each group (Agresti and Caffo, American Statistician 54,
    /// 2000): for small groups.
    pub p_agresti_caffo: f64,
}

/// Compare the event rates of two arms.
///
/// None where it says nothing: with an empty arm, and when no or every trial was an event.
///
/// # Errors
/// [`crate::Kind::InvalidParameter`] when there are more events than trials, and for a confidence outside 0 to 1.
pub fn compare(arms: &Arms, confidence: f64) -> Result<Option<Proportions>> {
    arms.check()?;
    check_confidence(confidence)?;
    let (n_t, n_c) = (arms.n_t as f64, arms.n_c as f64);
    let pooled = (arms.y_t as f64 + arms.y_c as f64) / (n_t + n_c);
    let quantile = normal_quantile((1.0 - confidence) / 2.0);
    let intervals = (wilson(arms.n_t, arms.y_t, quantile)?, wilson(arms.n_c, arms.y_c, quantile)?);
    let (Some(t), Some(c)) = intervals else { return Ok(None) };
    if !(pooled > 0.0 && pooled < 1.0) {
        return Ok(None);
    }
    let difference = t.rate - c.rate;
    let z = difference / (pooled * (1.0 - pooled) * (n_t.recip() + n_c.recip())).sqrt();
    let wald = (t.rate * (1.0 - t.rate) / n_t + c.rate * (1.0 - c.rate) / n_c).sqrt();
    Ok(Some(Proportions {
        newcombe: Estimate {
            difference,
            lower: difference - (t.rate - t.lower).hypot(c.upper - c.rate),
            upper: difference + (t.upper - t.rate).hypot(c.rate - c.lower),
        },
        wald: Estimate::around(difference, quantile * wald),
        z,
        p_value: 2.0 * normal_tail(z.abs()),
        p_greater: normal_tail(z),
        p_agresti_caffo: agresti_caffo(arms),
    }))
}

fn agresti_caffo(arms: &Arms) -> f64 {
    let add = |n: u64, y: u64| {
        let (n, y) = (n as f64 + 2.0, y as f64 + 1.0);
        (y / n, y / n * (1.0 - y / n) / n)
    };
    let ((rate_t, error_t), (rate_c, error_c)) = (add(arms.n_t, arms.y_t), add(arms.n_c, arms.y_c));
    2.0 * normal_tail((rate_t - rate_c).abs() / (error_t + error_c).sqrt())
}
