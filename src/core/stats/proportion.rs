//! A rate and its interval for reports about one group at one moment.
//!
//! What is not here: anything that may be looked at repeatedly to decide. This is a fixed-sample interval.

use super::tilt::Arms;
use crate::{Error, Kind, Result};

/// The normal quantile of a two-sided 95 % interval.
pub const Z_95: f64 = 1.959963984540054;

/// A rate with its interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Proportion {
    /// Events per trial.
    pub rate: f64,
    /// The lower end of the interval.
    pub lower: f64,
    /// The upper end of the interval.
    pub upper: f64,
}

/// The rate of y events in n trials with Wilson's score interval (JASA 22, 1927), z standard errors wide on each side;
/// None of no trials.
///
/// # Errors
/// [`Kind::InvalidParameter`] when there are more events than trials, or z is not a positive number.
pub fn wilson(n: u64, y: u64, z: f64) -> Result<Option<Proportion>> {
    Arms { n_t: n, y_t: y, ..Arms::default() }.check()?;
    if !(z > 0.0 && z.is_finite()) {
        return Err(Error::new(Kind::InvalidParameter, format!("z must be a positive number, got \"{z}\"")));
    }
    if n == 0 {
        return Ok(None);
    }
    let (n, y) = (n as f64, y as f64);
    let rate = y / n;
    let z2 = z * z;
    let centre = (y + z2 / 2.0) / (n + z2);
    let half = z / (n + z2) * (y * (1.0 - rate) + z2 / 4.0).sqrt();
    // At 0 and n events the formula gives 0 and 1 but for rounding; the rate must not be outside its interval.
    Ok(Some(Proportion { rate, lower: (centre - half).clamp(0.0, rate), upper: (centre + half).clamp(rate, 1.0) }))
}
