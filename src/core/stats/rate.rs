//! Test R: counts per exposure (statistics.md section 4).
//!
//! What is here: the increments of one stratum. What is not: the sum over strata and the mixture (`mixture`).
//!
//! # Formula
//! With exposures e_T, e_C (device-seconds, users, requests) and counts K_T, K_C in a stratum, K_T given x = K_T + K_C
//! is binomial with chance p = e_T m / (e_T m + e_C) at the rate ratio m, whatever the common intensity does. The
//! increment of the point d is d K_T - x log(1 + p (e^d - 1)), with mean e-value 1 at m and less below. It is the
//! one-sided form of Lindon and Malek's test (arXiv 2011.03567) with one grid for all strata.
//!
//! Counts must be Poisson given their intensity. Retries and bursts are not: divide by a design effect ([`super::mixture::temper`]).

use super::mixture::{Grid, MAX_ODDS_RATIO};
use super::tilt::{Harm, MAX_TRIALS};
use crate::{Error, Kind, Result};

/// Exposure and count of both arms in one stratum.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Counts {
    /// Exposure of the treatment.
    pub exposure_t: f64,
    /// Count of the treatment.
    pub count_t: u64,
    /// Exposure of the control.
    pub exposure_c: f64,
    /// Count of the control.
    pub count_c: u64,
}

impl Counts {
    /// Check that exposures are finite and not negative, that nothing was counted without exposure, and that counts
    /// are at most [`MAX_TRIALS`].
    ///
    /// # Errors
    /// [`Kind::InvalidParameter`] or [`Kind::LimitExceeded`].
    pub fn check(&self) -> Result<()> {
        for (exposure, count) in [(self.exposure_t, self.count_t), (self.exposure_c, self.count_c)] {
            if !(0.0..=1e300).contains(&exposure) {
                let message = format!("an exposure must be a finite number of at least 0, got \"{exposure}\"");
                return Err(Error::new(Kind::InvalidParameter, message));
            }
            if exposure == 0.0 && count > 0 {
                let message = format!("\"{count}\" events were counted in an exposure of 0");
                return Err(Error::new(Kind::InvalidParameter, message));
            }
            if count > MAX_TRIALS {
                let message = format!("a count of a stratum is at most \"{MAX_TRIALS}\", got \"{count}\"");
                return Err(Error::new(Kind::LimitExceeded, message).hint("Use shorter ticks."));
            }
        }
        Ok(())
    }

    /// The same stratum with treatment and control exchanged.
    #[must_use]
    pub fn exchanged(&self) -> Self {
        let Self { exposure_t, count_t, exposure_c, count_c } = *self;
        Self { exposure_t: exposure_c, count_t: count_c, exposure_c: exposure_t, count_c: count_t }
    }
}

/// The increments of test R of one stratum, one for each point of the grid; exact zeros without exposure in both arms
/// or without events.
///
/// The null is "rate ratio at most `margin`" for [`Harm::Increase`], "at least 1 / `margin`" for [`Harm::Decrease`]:
/// then the arms exchange their roles.
///
/// # Errors
/// As [`Counts::check`], and [`Kind::InvalidParameter`] for a margin that is not between 0.001 and 1000.
pub fn increment(counts: &Counts, margin: f64, harm: Harm, grid: &Grid) -> Result<Vec<f64>> {
    counts.check()?;
    if !(MAX_ODDS_RATIO.recip()..=MAX_ODDS_RATIO).contains(&margin) {
        let message = format!("rate ratio of the margin must be between 0.001 and 1000, got \"{margin}\"");
        return Err(Error::new(Kind::InvalidParameter, message).hint("1 is no margin; 1.1 allows 10 % more."));
    }
    let Counts { exposure_t, count_t, exposure_c, count_c } = match harm {
        Harm::Increase => *counts,
        Harm::Decrease => counts.exchanged(),
    };
    if exposure_t == 0.0 || exposure_c == 0.0 || count_t + count_c == 0 {
        return Ok(grid.zeros());
    }
    // From a quotient: products of exposures could overflow.
    let p = 1.0 / (1.0 + exposure_c / exposure_t / margin);
    let (k, x) = (count_t as f64, (count_t + count_c) as f64);
    Ok(grid.log_or().iter().map(|d| d * k - x * (p * d.exp_m1()).ln_1p()).collect())
}

/// The one-sample form, against a fixed rate: with K counted over the exposure e, the likelihood ratio of the rate
/// e^d limit is exp(d K - e limit (e^d - 1)), with mean 1 at the limit and less on its harmless side.
///
/// # Errors
/// As [`Counts::check`], and [`Kind::InvalidParameter`] for a limit that is not positive.
pub fn limit_increment(exposure: f64, count: u64, limit: f64, harm: Harm, grid: &Grid) -> Result<Vec<f64>> {
    // Events may come before the exposure that they were counted over: their sums are what counts.
    let counted = if exposure == 0.0 { 0 } else { count };
    Counts { exposure_t: exposure, count_t: counted, ..Counts::default() }.check()?;
    if !(limit > 0.0 && limit <= 1e300) {
        let message = format!("the limit of a rate must be a positive number, got \"{limit}\"");
        return Err(Error::new(Kind::InvalidParameter, message));
    }
    let sign = if harm == Harm::Increase { 1.0 } else { -1.0 };
    let expected = (exposure * limit).min(1e300);
    let one = |d: &f64| (sign * d * count as f64 - expected * (sign * d).exp_m1()).clamp(f64::MIN, f64::MAX);
    Ok(grid.log_or().iter().map(one).collect())
}

#[cfg(test)]
mod tests {
    use super::super::mixture::ERROR_GRID;
    use super::*;

    /// The mean of exp(increment) under Poisson counts, by summation.
    fn mean_e(rate: f64, limit: f64, harm: Harm) -> Vec<f64> {
        let exposure = 40.0;
        let lambda: f64 = exposure * rate;
        let mut sums = vec![0.0; 8];
        let mut log_p = -lambda;
        for k in 0..400_u64 {
            let increment = limit_increment(exposure, k, limit, harm, &ERROR_GRID).unwrap();
            sums.iter_mut().zip(increment).for_each(|(sum, l)| *sum += (l + log_p).exp());
            log_p += (lambda / (k + 1) as f64).ln();
        }
        sums
    }

    #[test]
    fn an_e_value_against_a_limit_has_mean_1_at_it_and_less_on_the_harmless_side() {
        for harm in [Harm::Increase, Harm::Decrease] {
            for e in mean_e(0.5, 0.5, harm) {
                assert!((e - 1.0).abs() < 1e-9, "{e}");
            }
            let harmless = if harm == Harm::Increase { 0.4 } else { 0.6 };
            assert!(mean_e(harmless, 0.5, harm).iter().all(|e| *e < 1.0));
        }
        assert!(limit_increment(1.0, 1, 0.0, Harm::Increase, &ERROR_GRID).is_err());
        assert!(limit_increment(f64::NAN, 1, 1.0, Harm::Increase, &ERROR_GRID).is_err());
        assert!(limit_increment(-1.0, 1, 1.0, Harm::Increase, &ERROR_GRID).is_err());
    }
}
