//! Margins of test P in percentage points: converted into odds ratios by the control's past.
//!
//! What is here: the conversion and a past that fades. What is not: the test (`tilt`), which only knows odds ratios.
//!
//! The control's rate must come from earlier strata (a predictable conversion; statistics.md section 3). Measured there
//! at the boundary, with a baseline that swings by half: 2.2 % false alarms for 0.2 points, 4.1 % for 0.5 points, of 5 %.

use super::mixture::MAX_ODDS_RATIO;
use super::tilt::Harm;
use crate::{Error, Kind, Result};

/// What one more stratum leaves of the past: half after 86 of them, about 7 minutes of 5 seconds.
pub const FADING: f64 = 0.992;

/// Trials and events of the control's past, fading.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Past {
    n: f64,
    y: f64,
}

impl Past {
    /// Add a closed stratum of the control.
    pub fn add(&mut self, n: u64, y: u64) {
        self.n = FADING * self.n + n as f64;
        self.y = FADING * self.y + y as f64;
    }

    /// The control's rate, kept off 0 and 1 by half an event; None before there is any past.
    pub fn rate(&self) -> Option<f64> {
        (self.n > 0.0).then(|| (self.y + 0.5) / (self.n + 1.0))
    }
}

/// The margin of the odds that stands for `points` (0.005: half a percentage point) of harm at the control's rate: the
/// odds ratio of rate + points against rate, for a decrease of rate against rate - points.
///
/// A rate that the points take beyond 0 or 1 gives the widest margin there is: nothing can be worse than tolerated.
///
/// # Errors
/// [`Kind::InvalidParameter`] when the points are not in [0, 1) or the rate is not strictly between 0 and 1.
pub fn odds_of_points(rate: f64, points: f64, harm: Harm) -> Result<f64> {
    if !((0.0..1.0).contains(&points) && rate > 0.0 && rate < 1.0) {
        let message = format!("margin must be in [0, 1) and rate between 0 and 1, got \"{points}\" and \"{rate}\"");
        return Err(Error::new(Kind::InvalidParameter, message).hint("Half a percentage point is 0.005."));
    }
    let odds = |p: f64| p / (1.0 - p);
    let (low, high) = match harm {
        Harm::Increase => (rate, rate + points),
        Harm::Decrease => (rate - points, rate),
    };
    let ratio = if low <= 0.0 || high >= 1.0 { MAX_ODDS_RATIO } else { odds(high) / odds(low) };
    Ok(ratio.min(MAX_ODDS_RATIO))
}
