//! Test Q: how many values exceed a threshold that was known before the tick (README.md, section 5).
//!
//! What is here: thresholds from the control's past, and the 2x2 table of a tick, which test P then judges.
//!
//! What is not: the window of the past, and test P (`tilt`).
//!
//! A threshold is the key of a histogram bin. Counts above a fixed bin are exact, so the test is exact; margin m moves
//! the treatment's threshold up by ceil(log(1 + m) / log(base)) bins, an absolute one to the first edge of a bin that is
//! as far above the threshold's. The null: no larger share of the treatment is above the moved threshold than of the
//! control is above the threshold.

use super::margin::Margin;
use super::tilt::{Arms, Harm};
use crate::sketch::Histogram;
use crate::sketch::histogram::{bin, shift_for_margin};
use crate::{Error, Kind, Result};

/// The levels of the default latency guardrail: the mean of their four e-processes sees both a shift of all values and
/// one of the tail, twice as fast as p95 alone for the former and as fast for the latter (README.md, section 5).
pub const MIX4: [f64; 4] = [0.5, 0.9, 0.95, 0.99];

/// The bins that hold the quantiles `ps` of the control's past; None when the past is empty, and then a tick tells
/// nothing. The keys belong to the scale of this histogram.
///
/// # Errors
/// [`crate::Kind::InvalidParameter`] when a quantile is not between 0 and 1.
pub fn thresholds(past_control: &Histogram, ps: &[f64]) -> Result<Option<Vec<i32>>> {
    ps.iter().map(|p| past_control.quantile_bin(*p)).collect()
}

/// The treatment's thresholds for those of the control: moved by the margin in the harmful direction, at least so far.
///
/// # Errors
/// As [`shift_for_margin`], and [`Kind::InvalidParameter`] for an absolute margin that is negative or not finite.
pub fn moved(thresholds: &[i32], margin: Margin, harm: Harm, scale: i32) -> Result<Vec<i32>> {
    match margin {
        Margin::Relative(margin) => {
            let bins = shift_for_margin(margin, scale)?;
            Ok(shifted(thresholds, if harm == Harm::Increase { bins } else { -bins }))
        }
        Margin::Absolute(units) if !(0.0..f64::INFINITY).contains(&units) => {
            let message = format!("an absolute margin must be a number of at least 0, got \"{units}\"");
            Err(Error::new(Kind::InvalidParameter, message))
        }
        Margin::Absolute(units) => Ok(thresholds.iter().map(|key| beyond(*key, units, harm, scale)).collect()),
    }
}

/// How far a safe margin moves the treatment's threshold: whole bins, towards the conservative side of its claim, which
/// is the other one than [`moved`] takes.
///
/// # Errors
/// As [`shift_for_margin`].
pub fn safe_shift(margin: f64, harm: Harm, scale: i32) -> Result<i32> {
    let up = shift_for_margin(margin, scale)?;
    let is_more = (f64::from(up) / 2_f64.powi(scale)).exp2() > (1.0 + margin) * (1.0 + 1e-9);
    let bins = if is_more { up - 1 } else { up };
    Ok(if harm == Harm::Increase { bins } else { -bins })
}

/// Thresholds moved up by so many bins.
pub fn shifted(thresholds: &[i32], bins: i32) -> Vec<i32> {
    thresholds.iter().map(|key| key.saturating_add(bins)).collect()
}

/// The threshold whose edge lies `units` beyond that of another, or else the next one after it.
fn beyond(key: i32, units: f64, harm: Harm, scale: i32) -> i32 {
    let edge = |key| bin::range(key, scale).1;
    match harm {
        Harm::Increase => bin::key((edge(key) + units).min(f64::MAX), scale),
        Harm::Decrease => {
            let line = (edge(key) - units).max(f64::MIN);
            let holds = bin::key(line, scale);
            // Values in the line's own bin may lie above it.
            if edge(holds) == line { holds } else { holds - 1 }
        }
    }
}

/// How many values are above each threshold.
pub fn exceedances(h: &Histogram, thresholds: &[i32]) -> Vec<u64> {
    thresholds.iter().map(|key| h.count_above(*key)).collect()
}

/// The 2x2 table of a tick for each threshold of the control and the treatment's ([`moved`]). Invalid values are in no
/// arm: pair a latency guardrail with one that counts errors or absences (README.md, section 10).
pub fn arms(treatment: &Histogram, control: &Histogram, thresholds: &[i32], moved: &[i32]) -> Vec<Arms> {
    let (n_t, n_c) = (treatment.count(), control.count());
    let above = exceedances(treatment, moved).into_iter().zip(exceedances(control, thresholds));
    above.map(|(y_t, y_c)| Arms { n_t, y_t, n_c, y_c }).collect()
}
