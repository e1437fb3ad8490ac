//! What the states that answer quantiles share: the checks of their arguments, and the ranks between which a quantile
//! of the population lies.

use statrs::distribution::{ContinuousCDF, Normal};
use statrs::function::beta::beta_reg;

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

/// Refuse two quantiles that are not in order.
///
/// # Errors
/// [`Kind::InvalidParameter`] when one is not between 0 and 1, or the first is not below the second.
pub fn check_order(lower: f64, upper: f64) -> Result<()> {
    if check(lower)? < check(upper)? {
        return Ok(());
    }
    let message = format!("lower quantile \"{lower}\" must be less than upper quantile \"{upper}\"");
    Err(Error::new(Kind::InvalidParameter, message))
}

/// The ranks (from 1) of the two order statistics between which the population's p-quantile lies with at least this
/// confidence, an equal share of the rest on each side. None where even the extreme of n values is not far enough out.
///
/// The number of values below the quantile is binomial(n, p) whatever the distribution (David and Nagaraja, Order
/// Statistics, 2003, section 7.1). From a variance of [`LARGE`] on the normal approximation is used: its error is below
/// one rank, a thousandth of the interval.
///
/// # Errors
/// [`Kind::InvalidParameter`] when `p` or `confidence` is not between 0 and 1.
pub fn ranks(n: u64, p: f64, confidence: f64) -> Result<(Option<u64>, Option<u64>)> {
    check(p)?;
    if !(confidence > 0.0 && confidence < 1.0) {
        let message = format!("confidence must be between 0 and 1, got \"{confidence}\"");
        return Err(Error::new(Kind::InvalidParameter, message).hint("95 % is 0.95."));
    }
    if n == 0 {
        return Ok((None, None));
    }
    let tail = (1.0 - confidence) / 2.0;
    let lower = binomial_quantile(n, p, tail);
    let upper = binomial_quantile(n, p, 1.0 - tail) + 1;
    Ok(((lower > 0).then_some(lower), (upper <= n).then_some(upper)))
}

const LARGE: f64 = 1e5;

/// The least k with P(binomial(n, p) <= k) >= q.
fn binomial_quantile(n: u64, p: f64, q: f64) -> u64 {
    let (mean, variance) = (n as f64 * p, n as f64 * p * (1.0 - p));
    if variance > LARGE {
        let z = Normal::standard().inverse_cdf(q);
        return (mean + z * variance.sqrt() - 0.5).ceil().clamp(0.0, n as f64) as u64;
    }
    let (mut low, mut high) = (0, n);
    while low < high {
        let k = low.midpoint(high);
        // P(binomial <= k) is the regularised incomplete beta function; k < n here, so both shapes are positive.
        if beta_reg((n - k) as f64, k as f64 + 1.0, 1.0 - p) >= q {
            high = k;
        } else {
            low = k + 1;
        }
    }
    low
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Exact binomial sums by mpmath 1.3.
    #[test]
    fn ranks_are_those_of_the_binomial() {
        for (n, p, confidence, want) in [
            (10, 0.05, 0.95, (None, Some(3))),
            (10, 0.5, 0.95, (Some(2), Some(9))),
            (10, 0.95, 0.95, (Some(8), None)),
            (10_000, 0.5, 0.95, (Some(4902), Some(5099))),
            (10_000, 0.95, 0.95, (Some(9457), Some(9543))),
            (10_000, 0.99, 0.99, (Some(9873), Some(9926))),
            (1_000_000, 0.5, 0.95, (Some(499_020), Some(500_981))),
        ] {
            assert_eq!(ranks(n, p, confidence), Ok(want), "{n} {p} {confidence}");
        }
        assert_eq!(ranks(0, 0.5, 0.95), Ok((None, None)));
        assert_eq!(ranks(5, 0.0, 0.95), Ok((None, Some(1))));
        assert_eq!(ranks(5, 1.0, 0.95), Ok((Some(5), None)));
        assert!(ranks(5, 0.5, 1.0).is_err() && ranks(5, f64::NAN, 0.5).is_err());
    }
}
