//! Where a guardrail stands: what a verdict is made of, beside its rule and its status. Times are in microseconds.

use super::rhythm::Rhythm;
use super::rule::{Comparison, Rule, Test};
use super::sighting::Sighting;
use super::status::{Stage, Status};
use crate::kind::MetricKind;
use crate::stats::margin::Margin;
use crate::stats::tilt::Harm;

/// Where a guardrail stands at a time.
#[derive(Debug, Clone, Copy)]
pub struct Standing<'a> {
    /// Its rule.
    pub rule: &'a Rule,
    /// What is known of it.
    pub status: &'a Status,
    /// The stage of the rollout.
    pub stage: &'a Stage,
    /// The newest point of an anomaly's series.
    pub anomaly: Option<&'a Sighting>,
    /// Values of treatment and control in the stratum at hand, where the status does not tell them.
    pub latest: [Option<f64>; 2],
    /// The time.
    pub at: i64,
}

/// One of the two that are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arm {
    Treatment,
    Control,
}

impl Standing<'_> {
    pub(super) fn line(&self) -> f64 {
        -self.status.alpha.ln()
    }

    pub(super) fn is_sequential(&self) -> bool {
        self.rule.test == Test::Sequential
    }

    pub(super) fn is_threshold(&self) -> bool {
        self.rule.test == Test::Threshold
    }

    pub(super) fn is_beyond_limit(&self) -> bool {
        match (self.status.value, self.status.limit) {
            (Some(value), Some(limit)) if self.rule.harm == Harm::Decrease => value < limit,
            (Some(value), Some(limit)) => value > limit,
            _ => false,
        }
    }

    /// Of what counts events: there was none in any arm that is looked at.
    pub(super) fn is_eventless(&self) -> bool {
        let events = [self.status.events_treatment.as_slice(), &self.status.events_control];
        is_eventless(self.rule.kind, self.rule.test, self.status.value, events)
    }

    /// Is the first data of the control only what the next is judged at: quantiles, means, absolute margins.
    pub(super) fn needs_past(&self) -> bool {
        let is_absolute = matches!(self.status.margin, Some(Margin::Absolute(_)));
        self.rule.is_of_control() && (is_absolute || self.rule.kind.rules().needs_past(self.status.margin))
    }

    /// Data points wanted in this stage: some in any case, since what was before it says nothing of it.
    pub(super) fn wanted(&self) -> u64 {
        self.rule.min_sample.max(self.stage.min_sample).max(1)
    }

    /// Is nothing compared: nobody is served the control any more, and what it was is not known.
    pub(super) fn is_without_control(&self) -> bool {
        let is_known = match self.rule.comparison {
            Comparison::Control => false,
            Comparison::Baseline => self.rule.test == Test::Anomaly || self.status.limit.is_some(),
            Comparison::Absolute => true,
        };
        // What is not about the treatment has its own past, and no control.
        self.stage.is_alone && self.rule.whose.is_treatment && !is_known
    }

    /// The arm whose data has stopped, for longer than chance explains, while the other's goes on.
    pub(super) fn silent_arm(&self) -> Option<Arm> {
        let (status, since) = (self.status, self.stage.started_at);
        let is_asked = self.is_of_both() && self.stage.share > 0.0 && !self.stage.is_alone && !self.is_excused();
        let stopped = |silent: &Rhythm, other: &Rhythm, times: f64| {
            let patience = self.rule.stale_after;
            other.is_fresh(patience, self.at) && silent.is_silent(patience, since, self.at, other.expected_at(times))
        };
        let [t, c] = [&status.rhythm_treatment, &status.rhythm_control];
        let times = self.stage.share / (1.0 - self.stage.share);
        // What never came has not stopped.
        match (status.last_data_at, c.last.is_some() || status.n_control > 0) {
            (Some(_), _) if is_asked && stopped(t, c, times) => Some(Arm::Treatment),
            (_, true) if is_asked && stopped(c, t, 1.0 / times) => Some(Arm::Control),
            _ => None,
        }
    }

    /// Data points of the control in this stage, where any are wanted.
    pub(super) fn stage_control(&self) -> u64 {
        if self.is_of_both() { self.status.stage_control } else { u64::MAX }
    }

    /// Since the stage started.
    pub(super) fn stage_age(&self) -> i64 {
        self.at.saturating_sub(self.stage.started_at)
    }

    /// May data still be missing at the start of the stage.
    pub(super) fn is_excused(&self) -> bool {
        self.stage_age() < self.rule.grace
    }

    /// What is compared with nothing waits for the other arm.
    pub(super) fn is_of_both(&self) -> bool {
        self.rule.comparison == Comparison::Control
    }
}

/// Has a guardrail that counts events seen none, of treatment and control: all is well, or its metric's event is not what
/// was meant.
pub fn is_eventless(kind: MetricKind, test: Test, value: Option<f64>, events: [&[u64]; 2]) -> bool {
    kind.rules().counts_events()
        && match test {
            Test::Sequential => events.iter().all(|events| events.iter().all(|n| *n == 0)),
            Test::Threshold => value == Some(0.0),
            Test::Anomaly => false,
        }
}
