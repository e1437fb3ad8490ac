//! A guardrail as the planner sees it: what is measured, and what it is compared with.

use super::question::bad;
use crate::error::Result;
use crate::sketch::Histogram;
use crate::stats::margin::Margin;
use crate::stats::tilt::Harm;

/// What the control's rows are like.
#[derive(Debug, Clone)]
pub enum Measure {
    /// A share of the rows are events.
    Proportion(f64),
    /// So many events for each row, or unit of the denominator's values.
    Rate(f64),
    /// Values with this mean and standard deviation, at most `cap`.
    Mean {
        /// Their mean.
        mean: f64,
        /// Their standard deviation.
        deviation: f64,
        /// No value is above it.
        cap: f64,
    },
    /// Values like these, watched at these quantiles.
    Quantile {
        /// Values of the control.
        values: Histogram,
        /// The levels.
        levels: Vec<f64>,
    },
}

/// What the treatment is compared with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Against {
    /// The concurrent control, with the tolerated worsening.
    Control(Margin),
    /// A limit in the metric's unit.
    Limit(f64),
}

/// One guardrail and its traffic.
#[derive(Debug, Clone)]
pub struct Watched {
    /// What the control is like.
    pub measure: Measure,
    /// In which direction it hurts.
    pub harm: Harm,
    /// What it is compared with.
    pub against: Against,
    /// The chance of a false alarm over the whole rollout.
    pub alpha: f64,
    /// How many times the variance of independent rows theirs is.
    pub design_effect: f64,
    /// Rows of both arms a second; of a rate with a denominator of values the units of it.
    pub rows_per_second: f64,
}

impl Watched {
    /// Whether it looks at the treatment alone.
    pub fn is_alone(&self) -> bool {
        matches!(self.against, Against::Limit(_))
    }

    /// The value of the treatment that is so many times worse.
    pub(super) fn worse(&self, value: f64, effect: f64) -> f64 {
        if self.harm == Harm::Increase { value * effect } else { value / effect }
    }

    /// Checks that it can be played.
    pub(super) fn check(&self) -> Result<()> {
        if !(self.rows_per_second > 0.0 && self.rows_per_second <= 1e9) {
            let message = format!("rows a second lie above 0 and at most at 1e9, got \"{}\"", self.rows_per_second);
            return bad(message, "They are those of both arms together.");
        }
        if !(self.alpha > 0.0 && self.alpha < 1.0 && self.design_effect >= 1.0 && self.design_effect <= 1e6) {
            let (alpha, effect) = (self.alpha, self.design_effect);
            let message =
                format!("alpha lies between 0 and 1, a design effect from 1 on, got \"{alpha}\" and \"{effect}\"");
            return bad(message, "As shipped alpha is 0.01 for a rollout.");
        }
        match &self.measure {
            Measure::Proportion(chance) if !(*chance > 0.0 && *chance < 1.0) => {
                bad(format!("the baseline of a proportion lies between 0 and 1, got \"{chance}\""), "1 % is 0.01.")
            }
            Measure::Rate(rate) if !(*rate > 0.0 && *rate <= 1e9) => {
                bad(format!("the baseline of a rate is positive, got \"{rate}\""), "Events for each row.")
            }
            Measure::Mean { mean, cap, .. } if !(*mean > 0.0 && mean < cap && *cap <= 1e140) => bad(
                format!("a mean lies between 0 and its cap, got \"{mean}\" and the cap \"{cap}\""),
                "A metric's cap is about the 99.9 % quantile of its values.",
            ),
            Measure::Mean { deviation, .. } if !(*deviation > 0.0 && deviation.is_finite()) => bad(
                format!("a mean is planned from values that differ; their standard deviation was \"{deviation}\""),
                "Wait for more data of the metric, or plan with numbers.",
            ),
            Measure::Quantile { values, .. } if values.count() == 0 => {
                bad("there are no values to plan with".to_owned(), "Wait for data of the metric.")
            }
            _ => Ok(()),
        }
    }
}
