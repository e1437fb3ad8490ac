//! The mean of rows' values: test M.

use super::estimate::question;
use super::proportion::plain;
use super::proposed::has_no_quantile;
use super::{
    Against, Counted, Counting, Estimate, Form, Informed, KindRules, Match, Memory, MetricKind, Part, Proposed,
    State, Told, Weighing,
};
use crate::error::{Error, Kind, Result};
use crate::sketch::{Histogram, Moments};
use crate::stats::answer;
use crate::stats::margin::{FADING, Margin};
use crate::stats::mean::{self, Group, Scale};
use crate::stats::mixture;
use crate::stats::power;
use crate::stats::tilt::Harm;

/// The kind `mean`.
pub struct Mean;

impl KindRules for Mean {
    fn kind(&self) -> MetricKind {
        MetricKind::Mean
    }

    fn label(&self) -> &'static str {
        "mean"
    }

    fn add(&self, state: &mut State, counting: &Counting, _: Match, value: f64) {
        // What is not finite stays so: a bound would make a value of it.
        let value = if value.is_finite() { value.clamp(counting.floor, counting.cap) } else { value };
        state.moments.get_or_insert_default().push(value);
        state.n += u64::from(value.is_finite());
    }

    fn add_many(&self, state: &mut State, counting: &Counting, _: Match, values: &Histogram) {
        if state.absorb(counting, values) {
            state.n += values.count();
        }
    }

    fn value(&self, state: &State, _: Option<f64>) -> Option<f64> {
        state.moments.as_ref().and_then(Moments::mean)
    }

    fn estimates(&self) -> &'static [Told] {
        const { &[Told::new("difference", "difference", Form::Difference)] }
    }

    fn counts_told(&self) -> Option<&'static str> {
        None
    }

    fn takes(&self) -> &'static [Part] {
        &[Part::Cap, Part::Query, Part::PerUnit]
    }

    fn is_of_values(&self) -> bool {
        true
    }

    fn latest(&self, arm: &Counted) -> Option<f64> {
        arm.moments.and_then(Moments::mean)
    }

    fn moved(&self, state: &State, _: Option<f64>, z: f64) -> Option<f64> {
        let deviation = state.moments.as_ref().and_then(Moments::stddev).unwrap_or(0.0);
        self.value(state, None).map(|mean| mean + z * deviation / (state.n as f64).sqrt())
    }

    /// Nothing is counted: the moments are compared.
    fn count(&self, _: &Weighing, _: &State, _: &State) -> Result<[Vec<u64>; 2]> {
        Ok([Vec::new(), Vec::new()])
    }

    fn increment(&self, weighing: &Weighing, treatment: &Counted, control: &Counted) -> Result<Vec<f64>> {
        let (Against::Control(margin), Some(cap)) = (weighing.against, weighing.cap) else {
            return Err(Error::new(Kind::InvalidParameter, "a mean is tested against the control, and needs a cap")
                .hint("Give the metric a cap; or compare it with a limit or a baseline by test \"threshold\"."));
        };
        let Some(centre) = weighing.memory.centre else { return Ok(Vec::new()) };
        let [t, c] = [treatment, control].map(|arm| arm.moments.map(Group::from).unwrap_or_default());
        mean::increment(&t, &c, &Scale::new(cap, centre), &margin.line(weighing.harm), weighing.harm)
    }

    fn safe_increment(&self, w: &Weighing, margin: f64, _: [&State; 2], arms: [&Counted; 2]) -> Result<Vec<f64>> {
        let (Some(cap), Some(centre)) = (w.cap, w.memory.centre) else { return Ok(Vec::new()) };
        // Nothing falls by its whole value.
        let line = Margin::Relative(margin.min(0.99)).line(w.harm);
        let [t, c] = arms.map(|arm| arm.moments.map(Group::from).unwrap_or_default());
        mean::increment(&t, &c, &Scale::new(cap, centre), &line, w.harm.opposite())
    }

    fn safe_mixed(&self, sums: &[f64], _: f64, _: bool) -> Result<f64> {
        self.mixed(sums)
    }

    fn information(&self, w: &Weighing, treatment: &Counted, control: &Counted) -> Vec<f64> {
        let (Against::Control(margin), Some(cap), Some(centre)) = (w.against, w.cap, w.memory.centre) else {
            return Vec::new();
        };
        let [t, c] = [treatment, control].map(|arm| arm.moments.map(Group::from).unwrap_or_default());
        power::of_values(&t, &c, &Scale::new(cap, centre), &margin.line(w.harm), w.harm).to_vec()
    }

    fn informed(&self, sums: &[f64], _: Option<f64>, _: Option<f64>) -> Vec<Informed> {
        if let [a, v] = *sums { vec![Informed::Values([a, v])] } else { Vec::new() }
    }

    /// The relative change.
    fn tolerated(&self, margin: Margin, centre: Option<f64>, _: Harm) -> Option<f64> {
        match margin {
            Margin::Relative(margin) => Some(margin),
            Margin::Absolute(units) => centre.filter(|centre| *centre > 0.0).map(|centre| units / centre),
        }
    }

    /// The effects of test M have equal weights.
    fn mixed(&self, sums: &[f64]) -> Result<f64> {
        Ok(mixture::mix(sums).unwrap_or(0.0))
    }

    fn compared(&self, strata: &[[Counted; 2]], cap: Option<f64>, alpha: f64) -> Result<Option<Estimate>> {
        let Some(cap) = cap else { return Ok(Some(Estimate { what: "difference", value: None })) };
        let moments = |arm: &Counted| arm.moments.cloned().unwrap_or_default();
        let strata: Vec<_> = strata.iter().map(|[t, c]| (moments(t), moments(c))).collect();
        Ok(Some(Estimate::of("difference", &answer::mean(&strata, cap, &question(alpha))?)))
    }

    fn logs(&self, states: &[&State], _: Option<f64>) -> Vec<Option<(f64, f64)>> {
        let log = |state: &&State| {
            let moments = state.moments.as_ref()?;
            let mean = moments.mean().filter(|mean| *mean > 0.0)?;
            Some((mean.ln(), moments.variance()? / (state.n as f64 * mean * mean)))
        };
        states.iter().map(log).collect()
    }

    /// A mean that must not fall is tested against (1 - margin) times the control's.
    fn margin_of_log(&self, log: f64, harm: Harm, is_of_control: bool) -> f64 {
        if harm == Harm::Decrease && is_of_control { 1.0 - (-log).exp() } else { log.exp() - 1.0 }
    }

    fn is_tested(&self, is_of_control: bool) -> bool {
        is_of_control
    }

    fn margin_setting(&self) -> &'static str {
        self.label()
    }

    fn problem(&self, rule: &Proposed) -> Option<String> {
        let (metric, control) = (rule.metric, rule.is_of_control);
        if rule.is_sequential && !control {
            return Some("a mean needs test \"threshold\" against a limit or a baseline, or test \"anomaly\"".into());
        }
        let Some(cap) = rule.cap.or((!control).then_some(f64::INFINITY)) else {
            return Some(format!(
                "mean \"{metric}\" has no cap: a mean can be compared with the control only if its values are capped (create_metric(..., cap => ...))"
            ));
        };
        let falls = rule.margin.filter(|margin| control && rule.harm == Harm::Decrease && *margin >= 1.0);
        let beyond = rule.margin_absolute.filter(|margin| control && *margin >= cap);
        falls
            .map(|margin| {
                format!("the margin of a mean that must not fall must be below 1, got \"{}\"", plain(margin))
            })
            .or_else(|| has_no_quantile(rule, self.label()))
            .or_else(|| {
                beyond.map(|margin| {
                    format!(
                        "means of values between 0 and the cap \"{}\" cannot differ by \"{}\"",
                        plain(cap),
                        plain(margin)
                    )
                })
            })
    }

    fn needs_past(&self, _: Option<Margin>) -> bool {
        true
    }

    /// The control's mean, fading over strata. A stratum without control leaves it.
    fn remember(&self, memory: &mut Memory, _: &Weighing, control: &Counted, _: Option<&State>) -> Result<()> {
        memory.centre = match (memory.centre, control.moments.and_then(Moments::mean)) {
            (Some(old), Some(mean)) => Some(FADING * old + (1.0 - FADING) * mean),
            (old, mean) => old.or(mean),
        };
        Ok(())
    }
}
