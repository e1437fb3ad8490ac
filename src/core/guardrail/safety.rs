//! How sure a guardrail is beside "no harm is proven": what it has shown to be safe, and what harm it would have found.
//!
//! What is here: evidence of safety, grown by each stratum as that of harm is, and the question how much the data so far lets
//! the test see. What is not: the tests (`core::kind`), the closed form (`stats::power`), and the gates of a ramp that ask
//! (`sql/api/gate.sql`).
//!
//! Its line is log(1 / alpha) of the whole rollout. It errs to the other side than harm does, so it takes nothing of that
//! budget; and a ramp that goes on only when every guardrail has shown its margin goes on wrongly only if that one errs
//! which is worse than its margin (an intersection-union test), so alpha is not shared among guardrails either.

use super::status::{Safety, Status};
use crate::error::Result;
use crate::kind::{Counted, MetricKind, State, Weighing};
use crate::stats::margin::Margin;
use crate::stats::mixture;
use crate::stats::power::Sight;
use crate::stats::tilt::Harm;

use super::rule::Rule;

/// Adds a stratum to the evidence of safety, and returns what it added: nothing where its counts do not tell.
///
/// # Errors
/// As the tests.
pub(super) fn gather(
    rule: &Rule,
    safety: &mut Safety,
    weighing: &Weighing,
    states: [&State; 2],
    counted: &[Counted; 2],
    of_the_past: Option<Vec<f64>>,
) -> Result<Vec<f64>> {
    let rules = rule.kind.rules();
    // What refutes a smaller margin refutes a greater one; the other way it begins anew.
    if safety.margin.is_none_or(|was| was > rule.safe_margin) {
        *safety = Safety::default();
    }
    let is_known = of_the_past.is_some();
    let mut increment = match of_the_past {
        Some(increment) => increment,
        None => rules.safe_increment(weighing, rule.safe_margin, states, [&counted[0], &counted[1]])?,
    };
    if !is_known {
        mixture::temper(&mut increment, weighing.design_effect)?;
    }
    if increment.is_empty() {
        return Ok(increment);
    }
    if safety.evidence.len() != increment.len() {
        *safety = Safety { evidence: vec![0.0; increment.len()], ..Safety::default() };
    }
    safety.margin = Some(rule.safe_margin);
    safety.evidence.iter_mut().zip(&increment).for_each(|(sum, x)| *sum += x);
    safety.log_e = log_e(rule, &safety.evidence)?;
    Ok(increment)
}

/// The log e-value of safety: of several quantiles the mean of theirs.
fn log_e(rule: &Rule, evidence: &[f64]) -> Result<f64> {
    let levels = rule.kind.rules().levels(rule.quantile).len().max(1);
    let points = (evidence.len() / levels).max(1);
    let mixed = |sums: &[f64]| rule.kind.rules().safe_mixed(sums, rule.safe_margin, rule.is_of_control());
    let each: Result<Vec<f64>> = evidence.chunks(points).map(mixed).collect();
    Ok(mixture::mix(&each?).unwrap_or(0.0))
}

/// Adds what a stratum tells of what the test is able to see, divided by the design effect as the evidence is.
pub(super) fn inform(sums: &mut Vec<f64>, more: Vec<f64>, weighing: &Weighing) {
    if sums.len() != more.len() {
        sums.clear();
        sums.resize(more.len(), 0.0);
    }
    sums.iter_mut().zip(more).for_each(|(sum, x)| *sum += x / weighing.design_effect);
}

/// A guardrail's data as the closed form of its test takes it.
#[derive(Debug, Clone, Copy)]
pub struct Data<'a> {
    /// Kind of the metric.
    pub kind: MetricKind,
    /// Direction in which it hurts.
    pub harm: Harm,
    /// Which quantile.
    pub quantile: Option<f64>,
    /// Its share of the error budget.
    pub alpha: f64,
    /// The margin; `None` against a limit.
    pub margin: Option<Margin>,
    /// The limit; `None` against the control.
    pub limit: Option<f64>,
    /// The control's recent value, where it is kept.
    pub centre: Option<f64>,
    /// [`Status::information`].
    pub information: &'a [f64],
}

impl<'a> Data<'a> {
    /// Of a guardrail as it stands.
    pub fn of(rule: &Rule, status: &'a Status) -> Self {
        Self {
            kind: rule.kind,
            harm: rule.harm,
            quantile: rule.quantile,
            alpha: status.alpha,
            margin: status.margin.filter(|_| rule.is_of_control()),
            limit: status.limit.filter(|_| !rule.is_of_control()),
            centre: status.memory.centre,
            information: &status.information,
        }
    }

    /// What the test sees; `None`: nothing can be said.
    pub fn sight(&self) -> Option<Sight> {
        let rules = self.kind.rules();
        let tolerated = match (self.limit, self.margin) {
            (Some(_), _) => 1.0,
            (None, margin) => rules.tolerated(margin?, self.centre, self.harm)?,
        };
        let told = rules.informed(self.information, self.limit, self.quantile);
        (!told.is_empty()).then(|| Sight { harm: self.harm, line: -self.alpha.ln(), tolerated, told })
    }
}
