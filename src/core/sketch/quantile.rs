//! The check of a quantile argument, shared by the states that answer quantiles.

use crate::{Error, Kind, Result};

/// Give back `p` when it is between 0 and 1.
///
/// # Errors
/// [`Kind::InvalidParameter`] otherwise, and for NaN.
pub fn check(p: f64) -> Result<f64> {
    if (0.0..=1.0).contains(&p) {
        return Ok(p);
    }
    let message = format!("quantile must be between 0 and 1, got \"{p}\"");
    Err(Error::new(Kind::InvalidParameter, message).hint("The 95th percentile is 0.95."))
}
