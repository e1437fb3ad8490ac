//! The sum of rows' values per row of a denominator. It has no sequential test.

use super::proposed::has_no_quantile;
use super::{Counted, Counting, Informed, KindRules, Match, Memory, MetricKind, Part, Proposed, State, Weighing};
use crate::error::{Error, Kind, Result};
use crate::sketch::{Histogram, Moments};
use crate::stats::margin::Margin;

/// The kind `ratio`.
pub struct Ratio;

impl KindRules for Ratio {
    fn kind(&self) -> MetricKind {
        MetricKind::Ratio
    }

    fn label(&self) -> &'static str {
        "ratio"
    }

    fn takes(&self) -> &'static [Part] {
        &[Part::Per]
    }

    fn add(&self, state: &mut State, _: &Counting, matched: Match, value: f64) {
        state.n += u64::from(matched != Match::Lone);
        if matched != Match::Row {
            state.moments.get_or_insert_default().push(value);
        }
    }

    fn add_many(&self, state: &mut State, counting: &Counting, matched: Match, values: &Histogram) {
        let fits = if matched == Match::Row { fits(values) } else { state.absorb(counting, values) };
        if fits && matched != Match::Lone {
            state.n += values.count();
        }
    }

    fn value(&self, state: &State, _: Option<f64>) -> Option<f64> {
        (state.n > 0).then(|| state.moments.as_ref().and_then(Moments::sum).unwrap_or(0.0) / state.n as f64)
    }

    /// By the standard error of a compound Poisson sum.
    fn moved(&self, state: &State, _: Option<f64>, z: f64) -> Option<f64> {
        let (sum, error) = state.moments.as_ref().map_or((0.0, 0.0), compound);
        (state.n > 0).then(|| (sum + z * error) / state.n as f64)
    }

    fn count(&self, _: &Weighing, _: &State, _: &State) -> Result<[Vec<u64>; 2]> {
        Err(untested())
    }

    fn increment(&self, _: &Weighing, _: &Counted, _: &Counted) -> Result<Vec<f64>> {
        Err(untested())
    }

    fn safe_increment(&self, _: &Weighing, _: f64, _: [&State; 2], _: [&Counted; 2]) -> Result<Vec<f64>> {
        Err(untested())
    }

    fn information(&self, _: &Weighing, _: &Counted, _: &Counted) -> Vec<f64> {
        Vec::new()
    }

    fn informed(&self, _: &[f64], _: Option<f64>, _: Option<f64>) -> Vec<Informed> {
        Vec::new()
    }

    fn logs(&self, states: &[&State], _: Option<f64>) -> Vec<Option<(f64, f64)>> {
        let log = |state: &&State| {
            let (sum, error) = compound(state.moments.as_ref()?);
            (sum > 0.0 && state.n > 0).then(|| ((sum / state.n as f64).ln(), (error / sum).powi(2)))
        };
        states.iter().map(log).collect()
    }

    fn is_tested(&self, _: bool) -> bool {
        false
    }

    fn problem(&self, rule: &Proposed) -> Option<String> {
        let text = "a ratio needs test \"threshold\" against a limit or a baseline, or test \"anomaly\"";
        (rule.is_sequential || rule.is_of_control)
            .then(|| text.to_owned())
            .or_else(|| has_no_quantile(rule, self.label()))
    }

    fn needs_past(&self, _: Option<Margin>) -> bool {
        false
    }

    fn remember(&self, _: &mut Memory, _: &Weighing, _: &Counted, _: Option<&State>) -> Result<()> {
        Ok(())
    }
}

fn fits(values: &Histogram) -> bool {
    values.count() <= super::state::MAX_VALUES
}

/// The sum of some values and its standard error when their number is Poisson: the root of the sum of their squares.
fn compound(moments: &Moments) -> (f64, f64) {
    let (n, mean) = (moments.count() as f64, moments.mean().unwrap_or(0.0));
    let squares = n * mean * mean + (n - 1.0) * moments.variance().unwrap_or(0.0);
    (moments.sum().unwrap_or(0.0), squares.max(0.0).sqrt())
}

fn untested() -> Error {
    Error::new(Kind::InvalidParameter, "a ratio has no sequential test")
        .hint("Compare it with a limit or a baseline by test \"threshold\", or watch a rate or a capped mean.")
}
