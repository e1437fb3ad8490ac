//! Test S: sample ratio mismatch, that units arrive in other shares than were asked for (README.md, section 8).
//!
//! What is here: the increments of one stratum for two groups, and the e-value of counts of many groups at once.
//!
//! What is not: what to do about it. Results of a rollout with a mismatch are not to be trusted: hold it.
//!
//! # Formula
//! Of n newly assigned units n_T got the treatment, whose nominal share in this stratum is pi. The increment of the
//! point d is d n_T - n log(1 + pi (e^d - 1)), on a grid of both signs: the log likelihood ratio of the odds
//! e^d pi / (1 - pi) against pi / (1 - pi). Its mean e-value is exactly 1. A ramp needs nothing: each stratum has its
//! own share. Counting a unit once is the caller's part.

use std::sync::LazyLock;

use super::special::ln_beta;
use super::tilt::MAX_TRIALS;
use crate::{Error, Kind, Result};

/// The tested odds ratios as logarithms; their weights are equal.
pub static GRID: LazyLock<[f64; 14]> = LazyLock::new(|| {
    let ratios = [1.02, 1.05, 1.1, 1.2, 1.5, 2.0, 5.0_f64];
    std::array::from_fn(|j| if j < 7 { ratios[j].ln() } else { -ratios[j - 7].ln() })
});

/// The increments of one stratum, one for each of [`GRID`]; the e-value is their plain mean. No units: exact zeros.
///
/// # Errors
/// [`Kind::InvalidParameter`] when the nominal share is not strictly between 0 and 1, [`Kind::LimitExceeded`] beyond
/// 10^12 units.
pub fn increment(nominal: f64, n_t: u64, n_rest: u64) -> Result<Vec<f64>> {
    check_share(nominal)?;
    if n_t > MAX_TRIALS || n_rest > MAX_TRIALS {
        let message = format!("a group of a stratum has at most \"{MAX_TRIALS}\" units, got \"{}\"", n_t.max(n_rest));
        return Err(Error::new(Kind::LimitExceeded, message).hint("Use shorter ticks."));
    }
    let (k, n) = (n_t as f64, (n_t + n_rest) as f64);
    Ok(GRID.iter().map(|d| d * k - n * (nominal * d.exp_m1()).ln_1p()).collect())
}

fn check_share(nominal: f64) -> Result<f64> {
    if nominal > 0.0 && nominal < 1.0 {
        return Ok(nominal);
    }
    let message = format!("a nominal share must be between 0 and 1, got \"{nominal}\"");
    Err(Error::new(Kind::InvalidParameter, message).hint("A group that is not served has no share to be compared."))
}

/// The log e-value of cumulative counts of many groups against their nominal shares, by a Dirichlet law of the given
/// concentration around them (Lindon and Malek, arXiv 2011.03567; package savvi). For constant shares only: in a ramp,
/// add the log e-values of its epochs.
///
/// # Errors
/// [`Kind::InvalidParameter`] when the lengths differ, the shares do not sum to 1, or the concentration is not positive.
pub fn dirichlet_log_e(nominal: &[f64], counts: &[u64], concentration: f64) -> Result<f64> {
    let sum: f64 = nominal.iter().sum();
    if nominal.len() != counts.len() || nominal.is_empty() || (sum - 1.0).abs() > 1e-9 {
        let message = format!("\"{}\" counts have shares that sum to \"{sum}\", wanted 1", counts.len());
        return Err(Error::new(Kind::InvalidParameter, message));
    }
    if !(concentration > 0.0 && concentration.is_finite()) {
        let message = format!("concentration must be a positive number, got \"{concentration}\"");
        return Err(Error::new(Kind::InvalidParameter, message));
    }
    // The Dirichlet integral, one group after the other: each is a beta integral against all that follow.
    let (mut prior, mut rest) = (concentration, counts.iter().map(|n| *n as f64).sum::<f64>());
    let mut log_e = 0.0;
    for (i, (share, n)) in nominal.iter().zip(counts).enumerate() {
        let n = *n as f64;
        if nominal.len() > 1 {
            check_share(*share)?;
        }
        let a = concentration * share;
        log_e -= n * share.ln();
        prior -= a;
        rest -= n;
        if i + 1 < counts.len() {
            log_e += ln_beta(a + n, prior + rest) - ln_beta(a, prior);
        }
    }
    Ok(log_e)
}
