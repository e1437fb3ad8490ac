//! Test P: proportions, by Fisher's tilt of a stratum's 2x2 table; and its one-sample form P1.
//!
//! What is here: the increments that one closed tick adds to `ell`, one for each point of a grid.
//!
//! What is not: the sum over ticks, the mixture (`mixture`), thresholds of a histogram (`exceedance`).
//!
//! # Formula (README.md, section 2)
//! In a stratum with n_T and n_C trials and y_T and y_C events, given x = y_T + y_C, the number y_T is hypergeometric
//! under the null, whatever the base rate is. With margin m (an odds ratio) and L(t) = log E exp(t y_T), the increment
//! of the point d is d y_T - [L(d + log m) - L(log m)]: the log likelihood ratio of Fisher's noncentral hypergeometric
//! law with odds ratio m e^d against m. Its exponential has mean 1 at odds ratio m and less below (monotone likelihood
//! ratio). It is the sequential stratified form of Fisher's exact test and of the safe logrank test with ties (ter
//! Schure, Perez-Ortiz, Ly, Grunwald, arXiv 2011.06931).
//!
//! # Harm
//! When a decrease is harmful (conversions), events and non-events swap roles. The odds ratio of non-events is the
//! inverse, so the same grid and the same margin m then test the null "odds ratio at least 1 / m".

use super::hypergeometric::Urn;
use super::mixture::{Grid, MAX_ODDS_RATIO};
use crate::{Error, Kind, Result};

/// The most trials that one arm of one stratum may have: up to here the cost is known. It grows with the standard
/// deviation of the events. Measured, for the 8 points of the default grid: 3 us for 10 events of 1,000, 22 us for 5,000
/// of 10^5, 0.2 ms for half of 2 10^6, and 0.15 s for half of 2 10^12.
pub const MAX_TRIALS: u64 = 1_000_000_000_000;

/// Which direction of a proportion is harmful.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Harm {
    /// More events are harmful: errors, slow requests.
    Increase,
    /// Fewer events are harmful: conversions.
    Decrease,
}

impl Harm {
    /// The other direction.
    #[must_use]
    pub fn opposite(self) -> Self {
        if self == Self::Increase { Self::Decrease } else { Self::Increase }
    }

    /// Reads the SQL label.
    ///
    /// # Errors
    /// [`Kind::InvalidParameter`] when there is no such direction.
    pub fn from_label(label: &str) -> Result<Self> {
        match label {
            "increase" => Ok(Self::Increase),
            "decrease" => Ok(Self::Decrease),
            other => Err(Error::new(
                Kind::InvalidParameter,
                format!("harm must be \"increase\" or \"decrease\", got \"{other}\""),
            )),
        }
    }
}

/// Trials and events of treatment and control in one stratum (a tick).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Arms {
    /// Trials of the treatment.
    pub n_t: u64,
    /// Events of the treatment.
    pub y_t: u64,
    /// Trials of the control.
    pub n_c: u64,
    /// Events of the control.
    pub y_c: u64,
}

impl Arms {
    /// Check that no arm has more events than trials, or more trials than [`MAX_TRIALS`].
    ///
    /// # Errors
    /// [`Kind::InvalidParameter`] or [`Kind::LimitExceeded`].
    pub fn check(&self) -> Result<()> {
        check_trials(self.n_t, self.y_t)?;
        check_trials(self.n_c, self.y_c)
    }

    /// The same table with the harmful outcome as the event.
    fn harmful(self, harm: Harm) -> Self {
        match harm {
            Harm::Increase => self,
            Harm::Decrease => Self { y_t: self.n_t - self.y_t, y_c: self.n_c - self.y_c, ..self },
        }
    }
}

fn check_events(n: u64, y: u64) -> Result<()> {
    if y <= n {
        return Ok(());
    }
    Err(Error::new(Kind::InvalidParameter, format!("\"{y}\" events are more than \"{n}\" trials")))
}

fn check_trials(n: u64, y: u64) -> Result<()> {
    check_events(n, y)?;
    if n <= MAX_TRIALS {
        return Ok(());
    }
    let message = format!("an arm of a stratum has at most \"{MAX_TRIALS}\" trials, got \"{n}\"");
    Err(Error::new(Kind::LimitExceeded, message).hint("Use shorter ticks."))
}

fn check_margin(margin_or: f64) -> Result<f64> {
    if (MAX_ODDS_RATIO.recip()..=MAX_ODDS_RATIO).contains(&margin_or) {
        return Ok(margin_or.ln());
    }
    let least = MAX_ODDS_RATIO.recip();
    let message =
        format!("odds ratio of the margin must be between {least} and {MAX_ODDS_RATIO}, got \"{margin_or}\"");
    Err(Error::new(Kind::InvalidParameter, message).hint("1 is no margin; 1.1 allows 10 % higher odds."))
}

/// log E exp(delta y) for the number y of events in an arm of n_t trials, when x of n_t + n_c trials are events.
///
/// # Errors
/// [`Kind::InvalidParameter`] when x is more than all trials or delta is beyond +-log 10^6, the largest sum of a grid
/// point and a margin; [`Kind::LimitExceeded`] beyond [`MAX_TRIALS`].
pub fn log_m(n_t: u64, n_c: u64, x: u64, delta: f64) -> Result<f64> {
    check_trials(n_t, 0)?;
    check_trials(n_c, 0)?;
    check_events(n_t + n_c, x)?;
    let limit = (MAX_ODDS_RATIO * MAX_ODDS_RATIO).ln();
    if !(-limit..=limit).contains(&delta) {
        return Err(Error::new(Kind::InvalidParameter, format!("delta is out of range, got \"{delta}\"")));
    }
    Ok(Urn::new(n_t, n_c, x).log_m(delta, 0.0))
}

/// The increments of test P of one stratum, one for each point of the grid.
///
/// The null is "odds ratio at most `margin_or`" for [`Harm::Increase`], "at least 1 / `margin_or`" for
/// [`Harm::Decrease`]. A stratum that cannot tell anything (an empty arm, no event, only events) gives exact zeros.
///
/// # Errors
/// As [`Arms::check`], and [`Kind::InvalidParameter`] for a margin that is not between 0.001 and 1000.
pub fn fisher_increment(arms: &Arms, margin_or: f64, harm: Harm, grid: &Grid) -> Result<Vec<f64>> {
    arms.check()?;
    let margin = check_margin(margin_or)?;
    let Arms { n_t, y_t, n_c, y_c } = arms.harmful(harm);
    let urn = Urn::new(n_t, n_c, y_t + y_c);
    if urn.low == urn.high {
        return Ok(grid.zeros());
    }
    // Counts from the null's mode: differences stay small where products of large counts would round.
    let origin = urn.mode(margin);
    let at_margin = urn.log_m(margin, origin);
    let y = y_t as f64 - origin;
    Ok(grid.log_or().iter().map(|d| d * y - (urn.log_m(d + margin, origin) - at_margin)).collect())
}

/// The increments of test P1 of one stratum: y events in n trials against the fixed chance `p0`.
///
/// The increment of the point d is d y - n log(1 - p0 + p0 e^d), for the null "chance at most p0"; for
/// [`Harm::Decrease`] the null is "at least p0", and events and non-events swap roles.
///
/// # Errors
/// As [`Arms::check`], and [`Kind::InvalidParameter`] when `p0` is not strictly between 0 and 1.
pub fn one_sample_increment(n: u64, y: u64, p0: f64, harm: Harm, grid: &Grid) -> Result<Vec<f64>> {
    check_trials(n, y)?;
    if !(p0 > 0.0 && p0 < 1.0) {
        let message = format!("chance must be between 0 and 1, got \"{p0}\"");
        return Err(Error::new(Kind::InvalidParameter, message).hint("An error budget of 0.1 % is 0.001."));
    }
    let (y, p) = match harm {
        Harm::Increase => (y, p0),
        Harm::Decrease => (n - y, 1.0 - p0),
    };
    let (n, y) = (n as f64, y as f64);
    Ok(grid.log_or().iter().map(|d| d * y - n * (p * d.exp_m1()).ln_1p()).collect())
}
