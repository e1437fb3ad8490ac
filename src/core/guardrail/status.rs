//! Where a guardrail stands in a rollout, and what a tick brings to it. Times are in microseconds since 2000.

use super::data_state::DataState;
use super::rhythm::Rhythm;
use super::sighting::Sighting;
use crate::error::Result;
use crate::kind::{Memory, State};
use crate::sketch::Moments;
use crate::stats::margin::Margin;

/// What one tick consumed of a metric and variant.
#[derive(Debug, Clone, Default)]
pub struct Stratum {
    /// All of it.
    pub state: State,
    /// How many of its data points are from the rollout's present stage.
    pub stage_n: u64,
}

/// Data that waits: for the other arm's, or for a rule that failed to be tried again.
#[derive(Debug, Clone, Default)]
pub struct Waiting {
    /// Of the treatment.
    pub treatment: Option<Stratum>,
    /// Of the control.
    pub control: Option<Stratum>,
    /// Since when.
    pub since: Option<i64>,
}

/// Evidence of the other direction: that the treatment is not worse than a margin, or within its limit.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Safety {
    /// The margin that is to be refuted; `None`: nothing was weighed yet.
    pub margin: Option<f64>,
    /// Sums of log likelihood ratios.
    pub evidence: Vec<f64>,
    /// Natural log of the e-value.
    pub log_e: f64,
}

/// Where a guardrail stands.
#[derive(Debug, Clone, Default)]
pub struct Status {
    /// The verdict.
    pub state: DataState,
    /// Since when it is that.
    pub state_since: Option<i64>,
    /// The verdict in words.
    pub reason: String,
    /// Ordinal of the last stratum.
    pub last_stratum: i32,
    /// This evidence's share of the rollout's error budget.
    pub alpha: f64,
    /// The margin tested; `None` against a limit.
    pub margin: Option<Margin>,
    /// The limit tested; `None` against the control, and while a baseline is not known.
    pub limit: Option<f64>,
    /// How many copies have begun, and sums of log likelihood ratios.
    pub evidence: Vec<f64>,
    /// When the latest copy of the evidence began, or the evidence itself.
    pub copied_at: Option<i64>,
    /// Natural log of the e-value.
    pub log_e: f64,
    /// Its maximum.
    pub max_log_e: f64,
    /// Evidence that the treatment is safe.
    pub safety: Safety,
    /// What the data tells of how much the test has been able to see (`stats::power`), summed over strata.
    pub information: Vec<f64>,
    /// What is kept of the control's past.
    pub memory: Memory,
    /// Data that waits.
    pub waiting: Waiting,
    /// Data points of the treatment.
    pub n_treatment: u64,
    /// Data points of the control.
    pub n_control: u64,
    /// Events of the treatment, or its values above each threshold.
    pub events_treatment: Vec<u64>,
    /// The same of the control.
    pub events_control: Vec<u64>,
    /// Data points of the treatment in this stage.
    pub stage_treatment: u64,
    /// The same of the control.
    pub stage_control: u64,
    /// When the treatment's data comes in this stage.
    pub rhythm_treatment: Rhythm,
    /// The same of the control.
    pub rhythm_control: Rhythm,
    /// Last value of a threshold, last score of an anomaly.
    pub value: Option<f64>,
    /// Whether each of the last looks of a threshold was beyond the limit.
    pub looks: Vec<bool>,
    /// When the last of them began.
    pub looked_at: Option<i64>,
    /// Of an anomaly: when the last point began that was judged.
    pub point: Option<i64>,
    /// Of an anomaly: the score that is an alarm.
    pub alarm_score: Option<f64>,
    /// Tick that last saw data of the treatment.
    pub last_data_at: Option<i64>,
    /// Latest time among all rows judged.
    pub watermark: Option<i64>,
    /// Since when it is breached.
    pub breached_at: Option<i64>,
    /// Why it is breached together with others, in words.
    pub joint: Option<String>,
    /// How often it has failed in a row.
    pub failures: i32,
    /// When it is tried again.
    pub retry_at: Option<i64>,
}

/// The stage of the rollout.
#[derive(Debug, Clone, Copy)]
pub struct Stage {
    /// When it began.
    pub started_at: i64,
    /// Data points that it wants of every guardrail.
    pub min_sample: u64,
    /// Is no control left: there is nothing to wait for.
    pub is_alone: bool,
    /// The share of users that is served the treatment; 0: nobody is.
    pub share: f64,
}

/// A stratum that was weighed before: what the stored evaluation says of it.
#[derive(Debug, Clone, Default)]
pub struct Before {
    /// Events, or values above each threshold, of treatment and control.
    pub events: [Vec<u64>; 2],
    /// The centre in force then.
    pub centre: Option<f64>,
    /// Did a copy of the evidence begin with it; `None`: time tells.
    pub begins_copy: Option<bool>,
    /// What it added to the evidence of safety; `None`: that is computed from the counts, where they tell.
    pub safe_increment: Option<Vec<f64>>,
}

/// What a tick brings to a guardrail.
#[derive(Debug, Clone, Default)]
pub struct Arrived {
    /// Data of the treatment.
    pub treatment: Option<Stratum>,
    /// Data of the control.
    pub control: Option<Stratum>,
    /// Did rows of treatment and control come, be they compared now or waiting for their other half.
    pub is_heard: [bool; 2],
    /// The same was weighed before: it is paired and counted.
    pub before: Option<Before>,
    /// The control over its recent past.
    pub reference: Option<State>,
    /// The control before the rollout.
    pub baseline: Option<State>,
    /// How much that has varied from time to time beyond sampling ([`super::spread`]).
    pub baseline_spread: f64,
    /// The value over a threshold's window.
    pub value: Option<f64>,
    /// The newest point of an anomaly's series.
    pub sighting: Option<Sighting>,
    /// Why its metric could not be counted.
    pub problem: Option<String>,
    /// Why what it is judged by could not be loaded.
    pub unloaded: Option<String>,
}

/// What was judged of a guardrail in one tick.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation {
    /// Data points of treatment and control.
    pub n: [u64; 2],
    /// Events, or values above each threshold.
    pub events: [Vec<u64>; 2],
    /// Sums of the values, where they were compared.
    pub moments: [Option<Moments>; 2],
    /// What the control's past gave, that they were judged at.
    pub memory: Memory,
    /// The margin against the control, else the limit, that they were compared at.
    pub bound: Option<f64>,
    /// The design effect that its increments were divided by.
    pub design_effect: f64,
    /// Added to the evidence.
    pub increment: Vec<f64>,
    /// Added to the evidence of safety.
    pub safe_increment: Vec<f64>,
    /// Does a copy of the evidence begin with it.
    pub begins_copy: bool,
    /// Latest time among the rows.
    pub watermark: Option<i64>,
}

/// A guardrail after one tick.
#[derive(Debug, Clone)]
pub struct Stepped {
    /// Where it stands.
    pub status: Status,
    /// What was judged; `None` when nothing was, and nothing is new.
    pub evaluation: Option<Evaluation>,
    /// Is there anything to store: an idle tick writes nothing.
    pub is_changed: bool,
}

impl Stratum {
    /// Both strata as one.
    ///
    /// # Errors
    /// As [`State::merge`].
    pub fn merge(&mut self, other: &Self) -> Result<()> {
        self.state.merge(&other.state)?;
        self.stage_n = crate::kind::bounded_sum(self.stage_n, other.stage_n);
        Ok(())
    }
}
