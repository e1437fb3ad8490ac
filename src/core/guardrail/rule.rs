//! A guardrail's rule: what it compares, how it is tested, and how long it waits. Times are in microseconds.

use super::whose::Whose;
use crate::error::{Error, Kind, Result};
use crate::kind::{Against, Memory, MetricKind, State, Weighing};
use crate::stats::margin::Margin;
use crate::stats::tilt::Harm;

/// How a guardrail tests its metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Test {
    /// Evidence that is valid at every look.
    Sequential,
    /// The value over a window beside a limit.
    Threshold,
    /// The series of the flag's metric beside its own past.
    Anomaly,
}

/// What the treatment is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// The concurrent control.
    Control,
    /// What the control was before the rollout: a limit like any other, once it is known.
    Baseline,
    /// A limit.
    Absolute,
}

/// What a guardrail, its metric and the settings say.
#[derive(Debug, Clone)]
pub struct Rule {
    /// Its name; that of the metric when it has none.
    pub name: String,
    /// Name of the metric.
    pub metric: String,
    /// Kind of the metric.
    pub kind: MetricKind,
    /// Unit of the metric; may be empty.
    pub unit: String,
    /// Direction in which the metric hurts.
    pub harm: Harm,
    /// Of a mean: no value is above it.
    pub cap: Option<f64>,
    /// Is the metric counted by the tick, later than others.
    pub is_polled: bool,
    /// Of a metric by unit, of which a subject counts once: how long after its first exposure.
    pub by_unit: Option<i64>,
    /// How it is tested.
    pub test: Test,
    /// What the treatment is compared with.
    pub comparison: Comparison,
    /// Which quantile.
    pub quantile: Option<f64>,
    /// How much more data points resemble each other than independent ones.
    pub design_effect: f64,
    /// What is to be refuted as "safe": so much worse than the control, or worse than the limit.
    pub safe_margin: f64,
    /// The chance that this is said of a treatment that is worse: the alpha of the whole rollout.
    pub safe_alpha: f64,
    /// How many of the last looks of a threshold must be beyond the limit.
    pub breaches: usize,
    /// How many looks count.
    pub of_looks: usize,
    /// Data points wanted.
    pub min_sample: u64,
    /// How far a threshold looks back; width of a point of an anomaly.
    pub window: i64,
    /// How long data of one arm waits for the other's.
    pub pairing: i64,
    /// When another copy of the evidence begins.
    pub copy_after: i64,
    /// How long missing data is excused at the start of a stage.
    pub grace: i64,
    /// How long data may pause.
    pub stale_after: i64,
    /// When a rule that failed is tried again for the first time.
    pub retry_after: i64,
    /// Does a breach of it stop the rollout: it is no shadow, and does more than warn.
    pub acts: bool,
    /// The variant that is the control.
    pub control: String,
    /// Whose data it reads, beside the control or alone.
    pub whose: Whose,
}

impl Test {
    /// Reads the SQL label.
    ///
    /// # Errors
    /// [`Kind::InvalidParameter`] when there is no such test.
    pub fn from_label(label: &str) -> Result<Self> {
        match label {
            "sequential" => Ok(Self::Sequential),
            "threshold" => Ok(Self::Threshold),
            "anomaly" => Ok(Self::Anomaly),
            other => Err(Error::new(Kind::InvalidParameter, format!("there is no test \"{other}\""))),
        }
    }
}

impl Comparison {
    /// Reads the SQL label.
    ///
    /// # Errors
    /// [`Kind::InvalidParameter`] when there is no such comparison.
    pub fn from_label(label: &str) -> Result<Self> {
        match label {
            "control" => Ok(Self::Control),
            "baseline" => Ok(Self::Baseline),
            "absolute" => Ok(Self::Absolute),
            other => Err(Error::new(Kind::InvalidParameter, format!("there is no comparison \"{other}\""))),
        }
    }
}

impl Rule {
    /// Is it a test that is valid at every look.
    pub fn is_sequential(&self) -> bool {
        self.test == Test::Sequential
    }

    /// Is the treatment compared with the concurrent control.
    pub fn is_of_control(&self) -> bool {
        self.comparison == Comparison::Control
    }

    /// Are an event and what it is counted per gathered for a while before they are compared with a limit.
    pub fn gathers_parts(&self) -> bool {
        self.is_sequential() && !self.is_of_control() && self.kind.rules().comes_in_parts()
    }

    /// What a state says of the metric.
    pub fn value(&self, state: &State) -> Option<f64> {
        self.kind.rules().value(state, self.quantile)
    }

    /// How a stratum is weighed; `None` for what is not tested sequentially, and while a baseline is not known.
    ///
    /// # Errors
    /// [`Kind::InvalidParameter`] when there is no margin against the control.
    pub fn weighing<'a>(
        &self,
        margin: Option<Margin>,
        limit: Option<f64>,
        memory: &'a Memory,
    ) -> Result<Option<Weighing<'a>>> {
        let against = match (self.test, self.is_of_control(), margin, limit) {
            (Test::Threshold | Test::Anomaly, ..) | (_, false, _, None) => return Ok(None),
            (_, true, Some(margin), _) => Against::Control(margin),
            (_, false, _, Some(limit)) => Against::Limit(limit),
            (_, true, None, _) => {
                return Err(Error::new(Kind::InvalidParameter, "comparison \"control\" lacks its margin"));
            }
        };
        let Self { harm, quantile, cap, design_effect, .. } = *self;
        Ok(Some(Weighing { harm, quantile, against, cap, memory, design_effect }))
    }

    /// The limit that a baseline gives: what the control was before, at the lenient end of its uncertainty, worsened by
    /// the margin; `None` while there is too little of it.
    ///
    /// The end of an interval of 3.09 standard errors (one-sided 0.1 %), so that a small sample makes a lenient limit and
    /// not a random one. Where the control varied from time to time beyond sampling (`spread`, a standard deviation of
    /// logarithms), it goes on doing so when there is none any more: as many of that are no harm either.
    pub fn baseline(&self, before: &State, spread: f64, margin: Option<Margin>) -> Option<f64> {
        if before.n < self.min_sample.max(1) {
            return None;
        }
        let (z, rules) = (if self.harm == Harm::Increase { 3.09 } else { -3.09 }, self.kind.rules());
        let usual = rules.moved(before, self.quantile, z)?;
        let worst =
            if spread > 0.0 { rules.worse(usual, self.harm, Margin::Relative(3.09 * spread))? } else { usual };
        rules.worse(worst, self.harm, margin?)
    }
}
