//! Two rates of counts per exposure: the score test and the exact conditional one, against a ratio.
//!
//! Counts are Poisson. Given both together, the treatment's is binomial with chance r e_T / (r e_T + e_C) at the ratio r,
//! whatever the common rate is; so both tests read that one number (Przyborowski and Wilenski, Biometrika 31, 1940; Gu,
//! Ng, Tang, Schucany, Biometrical Journal 50, 2008).

use super::check_confidence;
use super::distribution::{normal_quantile, normal_tail};
use crate::stats::mixture::MAX_ODDS_RATIO;
use crate::stats::rate::Counts;
use crate::stats::special::ln_beta_ratio;
use crate::{Error, Kind, Result};

/// What is said of two rates.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rates {
    /// The treatment's rate by the control's; infinite when the control counted nothing.
    pub ratio: f64,
    /// The lower end of the score interval: ratios at which the two-sided score test would not reject.
    pub lower: f64,
    /// The upper end; infinite when the control counted nothing.
    pub upper: f64,
    /// The score statistic at the ratio of the null.
    pub z: f64,
    /// Two-sided, of z.
    pub p_value: f64,
    /// One-sided, of z: that the ratio is greater than that of the null.
    pub p_greater: f64,
    /// One-sided and exact: the chance of at least as many events of the treatment. With few events, read this one.
    pub p_greater_exact: f64,
}

/// Compare two rates against a ratio; 1 asks for any difference.
///
/// None where it says nothing: without exposure in both arms or without events.
///
/// # Errors
/// As [`Counts::check`]; [`Kind::InvalidParameter`] for a confidence outside 0 to 1 and a ratio that is not between 0.001
/// and 1000.
pub fn compare(counts: &Counts, confidence: f64, ratio: f64) -> Result<Option<Rates>> {
    counts.check()?;
    check_confidence(confidence)?;
    if !(MAX_ODDS_RATIO.recip()..=MAX_ODDS_RATIO).contains(&ratio) {
        let message = format!("ratio of rates must be between 0.001 and 1000, got \"{ratio}\"");
        return Err(Error::new(Kind::InvalidParameter, message).hint("1 asks whether the rates differ at all."));
    }
    let (t, c) = (counts.count_t as f64, counts.count_c as f64);
    if counts.exposure_t == 0.0 || counts.exposure_c == 0.0 || t + c == 0.0 {
        return Ok(None);
    }
    let per_exposure = counts.exposure_c / counts.exposure_t;
    // The null's expected count of the treatment for each one of the control.
    let odds = ratio / per_exposure;
    let z = (t - c * odds) / ((t + c) * odds).sqrt();
    // (t - c r)^2 = z^2 (t + c) r, solved for r; the smaller root by the product of both, (t / c)^2.
    let squared = normal_quantile((1.0 - confidence) / 2.0).powi(2) * (t + c);
    let half = t * c + squared / 2.0;
    let root = (squared * (t * c + squared / 4.0)).sqrt();
    let [lower, upper] = [t * t / (half + root), (half + root) / (c * c)].map(|r| r * per_exposure);
    Ok(Some(Rates {
        ratio: t / c * per_exposure,
        lower,
        upper,
        z,
        p_value: 2.0 * normal_tail(z.abs()),
        p_greater: normal_tail(z),
        p_greater_exact: at_least(t, t + c, odds),
    }))
}

/// P(X >= k) of a binomial law of n trials with these odds, by the incomplete beta ratio.
fn at_least(k: f64, n: f64, odds: f64) -> f64 {
    if k == 0.0 { 1.0 } else { ln_beta_ratio(k, n - k + 1.0, -odds.recip().ln_1p(), -odds.ln_1p()).exp() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_events_are_counted_out() {
        let counts = |t, c| Counts { exposure_t: 1.0, count_t: t, exposure_c: 1.0, count_c: c };
        // 3 heads of 3: 1/8. At least 1 of 3: 7/8. Nothing to count: 1.
        let exact = |t, c| compare(&counts(t, c), 0.95, 1.0).unwrap().unwrap().p_greater_exact;
        assert!((exact(3, 0) - 0.125).abs() < 1e-15 && (exact(1, 2) - 0.875).abs() < 1e-15 && exact(0, 3) == 1.0);
        let none = compare(&counts(3, 0), 0.95, 1.0).unwrap().unwrap();
        assert!(none.ratio.is_infinite() && none.upper.is_infinite() && none.lower > 0.0);
        let zero = compare(&counts(0, 3), 0.95, 1.0).unwrap().unwrap();
        assert!(zero.ratio == 0.0 && zero.lower == 0.0 && zero.upper.is_finite());
        assert_eq!(compare(&counts(0, 0), 0.95, 1.0), Ok(None));
        assert!(compare(&counts(1, 1), 0.95, 0.0).is_err() && compare(&counts(1, 1), 1.0, 1.0).is_err());
    }

    #[test]
    fn many_events_are_no_trouble() {
        let large = Counts { exposure_t: 1e9, count_t: 1_000_000_000_000, exposure_c: 1e9, count_c: 999_998_000_000 };
        let rates = compare(&large, 0.95, 1.0).unwrap().unwrap();
        assert!((rates.z - 2_000_000.0 / 1_999_998_000_000_f64.sqrt()).abs() < 1e-9);
        assert!(rates.lower < rates.ratio && rates.ratio < rates.upper);
    }
}
