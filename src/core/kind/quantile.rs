//! Quantiles of rows' values: test Q, and test P1 on what is above a limit.

use super::proportion::{informed_shares, of_trials, share};
use super::report::level;
use super::state::MAX_VALUES;
use super::words::{Seen, amount, percent};
use super::{
    Against, Counted, Counting, Estimate, Form, Informed, KindRules, Match, Memory, MetricKind, Proposed, State,
    Told, Weighing,
};
use crate::error::{Error, Kind, Result};
use crate::sketch::histogram::DEFAULT_SCALE;
use crate::sketch::{Histogram, Sketch};
use crate::stats::exceedance::{self, MIX4};
use crate::stats::margin::Margin;
use crate::stats::mixture::ERROR_GRID;
use crate::stats::tilt::{Arms, Harm, fisher_increment, one_sample_increment};

/// The kind `quantile`.
pub struct Quantile;

/// The quantiles that a rule tests.
pub fn levels(quantile: Option<f64>) -> Vec<f64> {
    quantile.map_or_else(|| MIX4.to_vec(), |p| vec![p])
}

impl KindRules for Quantile {
    fn kind(&self) -> MetricKind {
        MetricKind::Quantile
    }

    fn label(&self) -> &'static str {
        "quantile"
    }

    fn add(&self, state: &mut State, _: &Counting, _: Match, value: f64) {
        state.histogram.get_or_insert_default().push(value);
        state.n += u64::from(value.is_finite());
    }

    fn add_many(&self, state: &mut State, _: &Counting, _: Match, values: &Histogram) {
        let histogram = state.histogram.get_or_insert_default();
        if values.count() <= MAX_VALUES && histogram.merge(values).is_ok() {
            state.n += values.count();
        } else {
            histogram.push(f64::NAN);
        }
    }

    fn value(&self, state: &State, quantile: Option<f64>) -> Option<f64> {
        state.histogram.as_ref()?.quantile(quantile?).ok().flatten()
    }

    fn estimates(&self) -> &'static [Told] {
        const {
            &[
                Told::new("quantile_ratio", "ratio", Form::Times),
                Told::new("share_above", "above the limit", Form::Share),
                Told::new("stage_quantile", "quantile", Form::Value),
            ]
        }
    }

    /// Of either arm those beyond its threshold.
    fn counts_told(&self) -> Option<&'static str> {
        Some("too high")
    }

    fn is_of_values(&self) -> bool {
        true
    }

    fn levels(&self, quantile: Option<f64>) -> Vec<f64> {
        levels(quantile)
    }

    /// The shares beyond the quantile, since these are what is counted: of the treatment beyond the margin, too.
    fn seen(&self, seen: &Seen) -> Option<String> {
        let (p, [t, c]) = (seen.quantile?, seen.shares().map(|share| share.map(percent)));
        let (name, t) = (level(p), t?);
        let sign = if seen.harm == Harm::Increase { "plus" } else { "minus" };
        Some(match seen.against {
            Against::Control(Margin::Relative(0.0) | Margin::Absolute(0.0)) => {
                format!(
                    "{t} of the values with the treatment, {} with the control are above the control's {name}",
                    c?
                )
            }
            Against::Control(margin) => format!(
                "{t} of the values with the treatment are above the control's {name} {sign} the margin of {}, {} of the \
                 control's above its {name}",
                self.margin_told(margin, seen.unit),
                c?
            ),
            Against::Limit(limit) => format!(
                "{t} of the values {} are above the limit of {}, {} may be",
                seen.with,
                amount(limit, seen.unit),
                percent(1.0 - p)
            ),
        })
    }

    /// By normal order statistics.
    fn moved(&self, state: &State, quantile: Option<f64>, z: f64) -> Option<f64> {
        let p = quantile?;
        self.value(state, Some((p + z * (p * (1.0 - p) / state.n as f64).sqrt()).clamp(0.0, 1.0)))
    }

    fn count(&self, weighing: &Weighing, treatment: &State, control: &State) -> Result<[Vec<u64>; 2]> {
        let empty = Histogram::default();
        let [t, c] = [treatment, control].map(|arm| arm.histogram.as_ref().unwrap_or(&empty));
        match (weighing.against, &weighing.memory.thresholds) {
            (Against::Control(margin), Some(thresholds)) => {
                let moved = exceedance::moved(thresholds, margin, weighing.harm, DEFAULT_SCALE)?;
                Ok([exceedance::exceedances(t, &moved), exceedance::exceedances(c, thresholds)])
            }
            // The first stratum: the control has no past yet.
            (Against::Control(_), None) => Ok([Vec::new(), Vec::new()]),
            // Values in the limit's own bin (2.2 % wide) count as within the limit.
            (Against::Limit(limit), _) => Ok([vec![t.key(limit).map_or(0, |key| t.count_above(key))], Vec::new()]),
        }
    }

    fn increment(&self, weighing: &Weighing, treatment: &Counted, control: &Counted) -> Result<Vec<f64>> {
        let mut increment = Vec::new();
        for (i, &y_t) in treatment.events.iter().enumerate() {
            increment.extend(match (weighing.against, weighing.quantile) {
                (Against::Control(_), _) => {
                    let y_c = control.events.get(i).copied().unwrap_or(0);
                    let arms = Arms { n_t: treatment.n, y_t, n_c: control.n, y_c };
                    fisher_increment(&arms, 1.0, weighing.harm, &ERROR_GRID)?
                }
                (Against::Limit(_), Some(p)) => {
                    one_sample_increment(treatment.n, y_t, 1.0 - p, weighing.harm, &ERROR_GRID)?
                }
                (Against::Limit(_), None) => {
                    let message = "an absolute limit of a quantile metric needs a quantile";
                    return Err(Error::new(Kind::InvalidParameter, message));
                }
            });
        }
        Ok(increment)
    }

    /// The treatment's threshold is moved by the safe margin, which its values tell and the counts at hand do not.
    fn safe_increment(
        &self,
        w: &Weighing,
        margin: f64,
        [t, c]: [&State; 2],
        counted: [&Counted; 2],
    ) -> Result<Vec<f64>> {
        let harm = w.harm.opposite();
        if let (Against::Limit(_), Some(p)) = (w.against, w.quantile) {
            let [t, _] = counted;
            return one_sample_increment(t.n, t.first(), 1.0 - p, harm, &ERROR_GRID);
        }
        let (Some(thresholds), Some(t), Some(c)) = (&w.memory.thresholds, &t.histogram, &c.histogram) else {
            return Ok(Vec::new());
        };
        let moved = exceedance::shifted(thresholds, exceedance::safe_shift(margin, w.harm, DEFAULT_SCALE)?);
        let mut increment = Vec::new();
        for arms in exceedance::arms(t, c, thresholds, &moved) {
            increment.extend(fisher_increment(&arms, 1.0, harm, &ERROR_GRID)?);
        }
        Ok(increment)
    }

    fn safe_mixed(&self, sums: &[f64], _: f64, _: bool) -> Result<f64> {
        self.mixed(sums)
    }

    /// Of the share above the control's own threshold, where a margin has moved the treatment's to.
    fn information(&self, w: &Weighing, t: &Counted, c: &Counted) -> Vec<f64> {
        if matches!(w.against, Against::Limit(_)) {
            return vec![t.n as f64];
        }
        let n = t.n + c.n;
        let of_level = |&y_c: &u64| {
            // What the treatment would have above if it were at the margin: as much as the control.
            let events = if c.n == 0 { 0 } else { (y_c as f64 * n as f64 / c.n as f64).round() as u64 };
            of_trials([t.n, c.n], events)
        };
        c.events.iter().flat_map(of_level).collect()
    }

    fn informed(&self, sums: &[f64], _: Option<f64>, quantile: Option<f64>) -> Vec<Informed> {
        informed_shares(sums, |trials| quantile.map(|p| Informed::Trials(trials, 1.0 - p)))
    }

    /// The threshold is what has the margin.
    fn tolerated(&self, _: Margin, _: Option<f64>, _: Harm) -> Option<f64> {
        Some(1.0)
    }

    /// By order statistics.
    fn interval(&self, state: &State, quantile: Option<f64>) -> [Option<f64>; 2] {
        let histogram = state.histogram.as_ref();
        let ends = histogram.zip(quantile).and_then(|(histogram, p)| histogram.quantile_interval(p, 0.95).ok());
        ends.map_or([None; 2], |(lower, upper)| [lower, upper])
    }

    /// The share above the limit.
    fn limited(&self, total: &Counted, alpha: f64) -> Result<Option<Estimate>> {
        share("share_above", total, alpha).map(Some)
    }

    fn log_levels(&self, quantile: Option<f64>) -> Vec<Option<f64>> {
        levels(quantile).into_iter().map(Some).collect()
    }

    /// Of states with ten values or more beyond the quantile. One state's half width rests on few order statistics, and would
    /// be small where the quantile is off by chance: each arm's is the mean of all its states (simulated, 100 and 900 values
    /// a minute: noise 0.016 instead of 0.039 at p90 where there is none).
    fn logs(&self, states: &[&State], level: Option<f64>) -> Vec<Option<(f64, f64)>> {
        let Some(p) = level else { return vec![None; states.len()] };
        let enough = |state: &&&State| state.n as f64 * p.min(1.0 - p) >= 10.0;
        let widths: Vec<f64> = states.iter().filter(enough).filter_map(|state| half_width(state, p)).collect();
        let width = widths.iter().sum::<f64>() / widths.len() as f64;
        let log = |state: &&State| {
            let value = self.value(state, Some(p)).filter(|value| *value > 0.0)?;
            let bin = std::f64::consts::LN_2 / 32.0; // a quantile is known to its bin
            let variance = width * width / state.n as f64 + bin * bin / 12.0;
            (enough(&state) && !widths.is_empty()).then(|| (value.ln(), variance))
        };
        states.iter().map(log).collect()
    }

    fn margin_setting(&self) -> &'static str {
        self.label()
    }

    fn problem(&self, rule: &Proposed) -> Option<String> {
        let text = match (rule.quantile, rule.limit, rule.is_of_baseline) {
            (None, Some(_), _) => "a limit for a quantile metric needs a quantile",
            (None, _, true) => "a baseline for a quantile metric needs a quantile",
            _ => return None,
        };
        Some(text.to_owned())
    }

    fn even(&self, _: &State, value: f64) -> f64 {
        value.max(1e-9).ln()
    }

    fn uneven(&self, x: f64) -> f64 {
        x.min(700.0).exp()
    }

    fn needs_past(&self, _: Option<Margin>) -> bool {
        true
    }

    fn looks_back(&self) -> bool {
        true
    }

    fn remember(
        &self,
        memory: &mut Memory,
        w: &Weighing,
        control: &Counted,
        reference: Option<&State>,
    ) -> Result<()> {
        let recent = reference.and_then(|state| state.histogram.as_ref()).filter(|_| control.n > 0);
        if let (Against::Control(_), Some(recent)) = (w.against, recent) {
            // No values in the window: the thresholds before are still from the past.
            memory.thresholds = exceedance::thresholds(recent, &levels(w.quantile))?.or(memory.thresholds.take());
        }
        Ok(())
    }
}

/// Half of Woodruff's interval of a quantile (JASA 1952), of logarithms, times the root of the number of values: from the order
/// statistics one standard error of the rank below and above; `None` unless both are positive.
fn half_width(state: &State, p: f64) -> Option<f64> {
    let n = state.n as f64;
    let error = (p * (1.0 - p) / n).sqrt();
    let at = |p: f64| state.histogram.as_ref()?.quantile(p).ok().flatten().filter(|value| *value > 0.0);
    Some(n.sqrt() * (at(p + error)?.ln() - at(p - error)?.ln()) / 2.0)
}
