//! Test Q: how many values exceed a threshold that was known before the tick (statistics.md section 6).
//!
//! What is here: thresholds from the control's past, and the 2x2 table of a tick, which test P then judges.
//!
//! What is not: the window of the past, and test P (`tilt`).
//!
//! A threshold is the key of a histogram bin. Counts above a fixed bin are exact, so the test is exact; margin m moves
//! the treatment's threshold up by ceil(log(1 + m) / log(base)) bins. The null: no larger share of the treatment is
//! above the moved threshold than of the control is above the threshold.

use super::tilt::Arms;
use crate::Result;
use crate::sketch::Histogram;

/// The levels of the default latency guardrail: the mean of their four e-processes sees both a shift of all values and
/// one of the tail, twice as fast as p95 alone for the former and as fast for the latter (statistics.md section 6).
pub const MIX4: [f64; 4] = [0.5, 0.9, 0.95, 0.99];

/// The bins that hold the quantiles `ps` of the control's past; None when the past is empty, and then a tick tells
/// nothing. The keys belong to the scale of this histogram.
///
/// # Errors
/// [`crate::Kind::InvalidParameter`] when a quantile is not between 0 and 1.
pub fn thresholds(past_control: &Histogram, ps: &[f64]) -> Result<Option<Vec<i32>>> {
    ps.iter().map(|p| past_control.quantile_bin(*p)).collect()
}

/// How many values are above each threshold, moved up by `shift` bins (0 for the control).
pub fn exceedances(h: &Histogram, thresholds: &[i32], shift: i32) -> Vec<u64> {
    thresholds.iter().map(|key| h.count_above(key.saturating_add(shift))).collect()
}

/// The 2x2 table of a tick for each threshold. Invalid values are in no arm: pair a latency guardrail with one that
/// counts errors or absences (statistics.md section 13).
pub fn arms(treatment: &Histogram, control: &Histogram, thresholds: &[i32], shift: i32) -> Vec<Arms> {
    let (n_t, n_c) = (treatment.count(), control.count());
    let above = exceedances(treatment, thresholds, shift).into_iter().zip(exceedances(control, thresholds, 0));
    above.map(|(y_t, y_c)| Arms { n_t, y_t, n_c, y_c }).collect()
}
