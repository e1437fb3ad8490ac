//! What strata are weighed with: what the treatment is compared with, and what is known of the control's past.

use super::State;
use crate::sketch::Moments;
use crate::stats::margin::{Margin, Past};
use crate::stats::tilt::Harm;

/// What the treatment is compared with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Against {
    /// The concurrent control; tolerated worsening.
    Control(Margin),
    /// An absolute limit in the metric's unit.
    Limit(f64),
}

/// What is kept of the control's strata so far. Whatever scores a stratum is known before it: this alone keeps the tests
/// valid at every look.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Memory {
    /// Bins of the control's quantiles over its recent past, that the next stratum is judged at.
    pub thresholds: Option<Vec<i32>>,
    /// About the control's mean in earlier strata; for an absolute margin its chance or rate.
    pub centre: Option<f64>,
    /// What that chance or rate is of.
    pub past: Option<Past>,
}

/// How a sequential guardrail weighs a stratum.
#[derive(Debug, Clone, Copy)]
pub struct Weighing<'a> {
    /// Direction in which the metric hurts.
    pub harm: Harm,
    /// Which quantile; `None` stands for four of them.
    pub quantile: Option<f64>,
    /// Against the concurrent control with this margin, or against this absolute limit.
    pub against: Against,
    /// Of a mean: no value is above it.
    pub cap: Option<f64>,
    /// What the control's past gave.
    pub memory: &'a Memory,
    /// How much more data points resemble each other than independent ones: all evidence is divided by it.
    pub design_effect: f64,
}

/// One arm of a stratum, counted.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counted<'a> {
    /// Data points.
    pub n: u64,
    /// Events among them, or values above each threshold.
    pub events: &'a [u64],
    /// Of the values of means and ratios; of the denominator's values, for rates.
    pub moments: Option<&'a Moments>,
}

impl<'a> Counted<'a> {
    /// The arm that a state is, with what was counted of it.
    pub fn of(state: &'a State, events: &'a [u64]) -> Self {
        Self { n: state.n, events, moments: state.moments.as_ref() }
    }

    /// How many events, or values above the first threshold.
    pub fn first(&self) -> u64 {
        self.events.first().copied().unwrap_or(0)
    }

    /// What the events of a rate were counted over: the denominator's values, else its rows.
    pub fn exposure(&self) -> f64 {
        exposure(self.n, self.moments)
    }
}

/// What events were counted over: a denominator's values, else its rows.
pub(super) fn exposure(n: u64, moments: Option<&Moments>) -> f64 {
    moments.and_then(Moments::sum).unwrap_or(n as f64)
}
