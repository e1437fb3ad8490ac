//! The error budget of a rollout, handed out to its guardrails' evidence: it is never overspent.
//!
//! At the start all but a reserve goes to the sequential guardrails by their weights (weighted Bonferroni over e-values,
//! which names the culprit; `together` adds what they say together). Evidence that begins later, or anew, takes half of what
//! is left: however often it is asked, the halves never add up to more.

/// A guardrail's share at the start, of a weight among all weights.
pub fn first_share(alpha: f64, reserve: f64, weight: f64, weights: f64) -> f64 {
    alpha * (1.0 - reserve) * weight / weights
}

/// What is left when the guardrails have their first shares; all of it where there are none.
pub fn left_at_start(alpha: f64, reserve: f64, has_guardrails: bool) -> f64 {
    if has_guardrails { alpha * reserve } else { alpha }
}

/// What evidence takes that begins later: as much is left then.
pub fn half(left: f64) -> f64 {
    left / 2.0
}
