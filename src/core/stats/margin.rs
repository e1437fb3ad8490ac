//! Margins: the worsening that is tolerated, relative or in the metric's unit, and what each test makes of it.
//!
//! What is here: the conversion of absolute margins by the control's past, and a past that fades. What is not: the tests
//! (`tilt`, `rate`, `mean`), which know ratios and lines, and the thresholds of quantiles (`exceedance`).
//!
//! The past must be of earlier strata alone: then what scores a stratum is known before it (a predictable conversion;
//! README.md, sections 1 and 7). Means need none of it: their line has an absolute part, whatever the baseline is.

use super::mean::Line;
use super::mixture::{Grid, MAX_ODDS_RATIO};
use super::rate::{self, Counts};
use super::tilt::{Arms, Harm, fisher_increment, one_sample_increment};
use crate::{Error, Kind, Result};

/// The worsening that a test tolerates.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Margin {
    /// Of the odds of a proportion, of the value of anything else: 0.1 is 10 %.
    Relative(f64),
    /// In the metric's unit, of a proportion in shares: 0.005 is half a percentage point.
    Absolute(f64),
}

impl Margin {
    /// The number, whichever of the two it is.
    pub fn value(self) -> f64 {
        let (Self::Relative(margin) | Self::Absolute(margin)) = self;
        margin
    }

    /// One of the same kind with another number.
    #[must_use]
    pub fn with(self, value: f64) -> Self {
        match self {
            Self::Relative(_) => Self::Relative(value),
            Self::Absolute(_) => Self::Absolute(value),
        }
    }
}

/// What of an effect is tolerated, given the margin and what the control was before.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Tolerated {
    /// This ratio of odds or rates.
    Ratio(f64),
    /// Up to this chance or rate of the treatment: beside a control with hardly any event the ratio would be beyond what the
    /// tests take, and a smaller one would be narrower than the margin (a treatment of half the margin was a breach).
    Limit(f64),
    /// Whatever can be: the margin reaches beyond 0 or 1.
    Anything,
}

impl Tolerated {
    /// The log likelihood ratios that a stratum of test P adds; with a limit those of test P1.
    ///
    /// # Errors
    /// As [`fisher_increment`] and [`one_sample_increment`].
    pub fn tilt(self, arms: &Arms, harm: Harm, grid: &Grid) -> Result<Vec<f64>> {
        match self {
            Self::Ratio(ratio) => fisher_increment(arms, ratio, harm, grid),
            Self::Limit(chance) => one_sample_increment(arms.n_t, arms.y_t, chance, harm, grid),
            Self::Anything => Ok(grid.zeros()),
        }
    }

    /// The same of test R.
    ///
    /// # Errors
    /// As [`rate::increment`] and [`rate::limit_increment`].
    pub fn tilt_rate(self, counts: &Counts, harm: Harm, grid: &Grid) -> Result<Vec<f64>> {
        match self {
            Self::Ratio(ratio) => rate::increment(counts, ratio, harm, grid),
            Self::Limit(limit) => rate::limit_increment(counts.exposure_t, counts.count_t, limit, harm, grid),
            Self::Anything => Ok(grid.zeros()),
        }
    }

    /// The worst of the treatment that is tolerated (`end`), as a ratio where the tests take it.
    fn of(ratio: f64, end: f64) -> Self {
        if ratio <= MAX_ODDS_RATIO { Self::Ratio(ratio) } else { Self::Limit(end) }
    }
}

impl Margin {
    /// The odds ratio that test P tolerates, given the control's chance before; None: an absolute margin without a past.
    ///
    /// # Errors
    /// As [`odds_of_points`].
    pub fn odds_ratio(self, past: Option<f64>, harm: Harm) -> Result<Option<Tolerated>> {
        match self {
            Self::Relative(margin) => Ok(Some(Tolerated::Ratio(1.0 + margin))),
            Self::Absolute(points) => past.map(|chance| odds_of_points(chance, points, harm)).transpose(),
        }
    }

    /// The rate ratio that test R tolerates, given the control's rate before; None: an absolute margin without a past.
    ///
    /// # Errors
    /// As [`ratio_of_units`].
    pub fn rate_ratio(self, past: Option<f64>, harm: Harm) -> Result<Option<Tolerated>> {
        match self {
            Self::Relative(margin) => Ok(Some(Tolerated::Ratio(1.0 + margin))),
            Self::Absolute(units) => past.map(|rate| ratio_of_units(rate, units, harm)).transpose(),
        }
    }

    /// The line of test M: what hurts by an increase may grow by the margin, what hurts by a decrease may shrink.
    pub fn line(self, harm: Harm) -> Line {
        let sign = if harm == Harm::Increase { 1.0 } else { -1.0 };
        match self {
            Self::Relative(margin) => Line { relative: sign * margin, absolute: 0.0 },
            Self::Absolute(units) => Line { relative: 0.0, absolute: sign * units },
        }
    }
}

/// What one more stratum leaves of a mean's past: half after 86 of them, about 7 minutes of 5 seconds.
pub const FADING: f64 = 0.992;

/// How many events the past of a proportion or rate holds: the older ones fade, whatever the length of a stratum is.
///
/// Fewer are noisy, but their noise is that of the control, with the other sign; more lag behind a baseline that falls,
/// which makes the margin too narrow. Measured at the boundary, in 15 cells of 300 to 600 rollouts (proportions and rates,
/// 10 to 500 trials a stratum, baselines that swing by half or fall by 70 %, budget 5 %), false alarms in the worst cell:
/// 30 and 50 events 3.5 %, 100 events 5.5 %, 300 events 6.8 %; a past that fades by [`FADING`] 12.2 %.
pub const MEMORY: f64 = 50.0;

/// The control's past, fading: its last events and what they were counted over.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Past {
    /// Trials; of a rate what its events were counted over.
    pub exposure: f64,
    /// Events.
    pub events: f64,
}

impl Past {
    /// Add a closed stratum of trials, of which some are events. What is rarer, events or others, counts for the memory.
    pub fn add_trials(&mut self, n: u64, y: u64) {
        let past = Self { exposure: self.exposure + n as f64, events: self.events + y as f64 };
        *self = past.faded(past.events.min(past.exposure - past.events));
    }

    /// Add a closed stratum of events over an exposure.
    pub fn add_exposure(&mut self, exposure: f64, y: u64) {
        let past = Self { exposure: self.exposure + exposure, events: self.events + y as f64 };
        *self = past.faded(past.events);
    }

    /// What is left of it when so many of what counts were found.
    fn faded(self, found: f64) -> Self {
        let kept = (MEMORY / found).min(1.0);
        Self { exposure: kept * self.exposure, events: kept * self.events }
    }

    /// The control's chance of an event, kept off 0 and 1 by half an event; None before there is any past.
    pub fn chance(&self) -> Option<f64> {
        (self.exposure > 0.0).then(|| (self.events + 0.5) / (self.exposure + 1.0))
    }

    /// The control's events per exposure, kept off 0 by half an event; None before there is any exposure.
    pub fn rate(&self) -> Option<f64> {
        (self.exposure > 0.0).then(|| (self.events + 0.5) / self.exposure)
    }
}

/// The margin of the odds that stands for `points` (0.005: half a percentage point) of harm at the control's chance: the
/// odds ratio of chance + points against chance, for a decrease of chance against chance - points.
///
/// Where the points take a chance beyond 0 or 1, nothing can be worse than tolerated.
///
/// # Errors
/// [`Kind::InvalidParameter`] when the points are not in [0, 1) or the chance is not strictly between 0 and 1.
pub fn odds_of_points(chance: f64, points: f64, harm: Harm) -> Result<Tolerated> {
    if !((0.0..1.0).contains(&points) && chance > 0.0 && chance < 1.0) {
        let message = format!("margin must be in [0, 1) and rate between 0 and 1, got \"{points}\" and \"{chance}\"");
        return Err(Error::new(Kind::InvalidParameter, message).hint("Half a percentage point is 0.005."));
    }
    let odds = |p: f64| p / (1.0 - p);
    let (low, high) = ends(chance, points, harm);
    if low <= 0.0 || high >= 1.0 {
        return Ok(Tolerated::Anything);
    }
    Ok(Tolerated::of(odds(high) / odds(low), if harm == Harm::Increase { high } else { low }))
}

/// The rate ratio that stands for `units` (0.1: a tenth of an event more for each unit of exposure) of harm at the
/// control's rate; anything where a rate would fall to 0.
///
/// # Errors
/// [`Kind::InvalidParameter`] when the units are negative, the rate is not above 0, or one of them is not finite.
pub fn ratio_of_units(rate: f64, units: f64, harm: Harm) -> Result<Tolerated> {
    if !((0.0..f64::INFINITY).contains(&units) && rate > 0.0 && rate.is_finite()) {
        let message = format!("margin must be at least 0 and rate above 0, got \"{units}\" and \"{rate}\"");
        return Err(Error::new(Kind::InvalidParameter, message));
    }
    let (low, high) = ends(rate, units, harm);
    if low <= 0.0 {
        return Ok(Tolerated::Anything);
    }
    Ok(Tolerated::of(high / low, if harm == Harm::Increase { high } else { low }))
}

/// The smaller and the larger of the control's value and the worst that is tolerated.
fn ends(value: f64, units: f64, harm: Harm) -> (f64, f64) {
    match harm {
        Harm::Increase => (value, value + units),
        Harm::Decrease => (value - units, value),
    }
}
