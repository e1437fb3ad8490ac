//! Test R: counts per exposure (README.md, section 3).
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

use super::mixture::{Grid, MAX_ODDS_RATIO, log_e};
use super::normal::check_alpha;
use super::special::root;
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

/// The rates that a count over an exposure leaves possible, at every look but for a chance of alpha: those that the
/// one-sample form ([`limit_increment`], mixed over the grid) shows neither to be too low nor too high, each at half of
/// alpha. A low end of 0 is one that the count does not exclude; None without exposure.
///
/// # Errors
/// As [`limit_increment`], and [`Kind::InvalidParameter`] for an alpha that is no chance.
pub fn limit_interval(exposure: f64, count: u64, alpha: f64, grid: &Grid) -> Result<Option<(f64, f64)>> {
    let line = (2.0 / check_alpha(alpha)?).ln();
    Counts { exposure_t: exposure, count_t: if exposure == 0.0 { 0 } else { count }, ..Counts::default() }.check()?;
    if exposure == 0.0 {
        return Ok(None);
    }
    let beyond = |limit: f64, harm: Harm| {
        let log_e = limit_increment(exposure, count, limit, harm, grid).and_then(|ell| log_e(&ell, grid));
        log_e.map_or(f64::NAN, |log_e| log_e - line)
    };
    let rate = count as f64 / exposure;
    let (least, unit) = (rate * 1e-9, exposure.recip());
    let is_above_0 = count > 0 && beyond(least, Harm::Increase) > 0.0;
    let low = if is_above_0 { root(least, rate, |limit| beyond(limit, Harm::Increase)) } else { 0.0 };
    // Expectations grow by steps of the standard error, at least one event, until too few were counted.
    let step = unit * (count as f64).sqrt().max(1.0);
    let most = (0..60).map(|k| rate + step * 2_f64.powi(k)).find(|limit| beyond(*limit, Harm::Decrease) > 0.0);
    Ok(most.map(|most| (low, root(rate.max(unit * 1e-9), most, |limit| beyond(limit, Harm::Decrease)))))
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

    /// The ends are where the one-sample test stands exactly at its line; few counts exclude little.
    #[test]
    fn the_interval_of_a_rate_is_what_its_test_does_not_exclude() {
        for (exposure, count) in [(1000.0, 20), (3.5, 400), (1e6, 5), (50.0, 100_000)] {
            let (low, high) = limit_interval(exposure, count, 0.01, &ERROR_GRID).unwrap().unwrap();
            let at = |limit, harm| {
                log_e(&limit_increment(exposure, count, limit, harm, &ERROR_GRID).unwrap(), &ERROR_GRID).unwrap()
            };
            assert!(low < count as f64 / exposure && count as f64 / exposure < high);
            for (limit, harm) in [(low, Harm::Increase), (high, Harm::Decrease)] {
                assert!((at(limit, harm) - 200_f64.ln()).abs() < 1e-6, "{limit} {harm:?}");
            }
            assert!(at(low * 0.99, Harm::Increase) > 200_f64.ln() && at(high * 1.01, Harm::Decrease) > 200_f64.ln());
        }
        // None in 1000: at most as many as make 0 a surprise, and nothing at the low end.
        let (low, high) = limit_interval(1000.0, 0, 0.01, &ERROR_GRID).unwrap().unwrap();
        assert!(low == 0.0 && 0.005 < high && high < 0.02, "{high}");
        assert_eq!(limit_interval(0.0, 0, 0.01, &ERROR_GRID).unwrap(), None);
        assert!(limit_interval(1.0, 1, 0.0, &ERROR_GRID).is_err());
        assert!(limit_interval(f64::NAN, 1, 0.1, &ERROR_GRID).is_err());
    }
}
