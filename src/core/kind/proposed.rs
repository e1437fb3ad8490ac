//! A rule as somebody proposes it, before it is one.

use crate::stats::tilt::Harm;

/// What of a rule a kind of metric has to fit.
#[derive(Debug, Clone, Copy)]
pub struct Proposed<'a> {
    /// Name of the metric.
    pub metric: &'a str,
    /// Cap of the metric.
    pub cap: Option<f64>,
    /// Direction in which the metric hurts.
    pub harm: Harm,
    /// Is the treatment compared with the concurrent control.
    pub is_of_control: bool,
    /// Is it compared with what the control was before.
    pub is_of_baseline: bool,
    /// Is the test sequential.
    pub is_sequential: bool,
    /// Which quantile.
    pub quantile: Option<f64>,
    /// The limit.
    pub limit: Option<f64>,
    /// The relative margin.
    pub margin: Option<f64>,
    /// The margin in the metric's unit.
    pub margin_absolute: Option<f64>,
}

/// Why a rule with a quantile does not fit a kind that has none.
pub(super) fn has_no_quantile(rule: &Proposed, label: &str) -> Option<String> {
    rule.quantile.map(|_| format!("quantile is for quantile metrics only, \"{}\" is a {label}", rule.metric))
}
