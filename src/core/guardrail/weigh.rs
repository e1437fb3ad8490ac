//! What one stratum adds to a guardrail's evidence (statistics.md P, Q and P1 of the design; M and R in `sums`).
//!
//! An increment is a list of log likelihood ratios, eight (the points of the effect grid) for each tested quantile,
//! or eight for any other kind. How increments become an e-value is `evidence`'s matter.

use super::sums;
use crate::error::{Error, Kind, Result};
use crate::sketch::histogram::DEFAULT_SCALE;
use crate::sketch::{Histogram, Moments};
use crate::stats::exceedance::{self, MIX4};
use crate::stats::margin::{Margin, Tolerated};
use crate::stats::mixture::{self, ERROR_GRID};
use crate::stats::tilt::{Arms, Harm, fisher_increment, one_sample_increment};
use crate::telemetry::MetricKind;

/// A sequential guardrail's rule.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    /// Kind of its metric.
    pub kind: MetricKind,
    /// Direction in which the metric hurts.
    pub harm: Harm,
    /// Which quantile; `None` stands for the four of [`MIX4`].
    pub quantile: Option<f64>,
    /// Against the concurrent control with this margin, or against this absolute limit.
    pub against: Against,
    /// Of a mean: no value is above it.
    pub cap: Option<f64>,
    /// About the control's mean in earlier strata; for an absolute margin its chance or rate; `None`: there were none.
    pub centre: Option<f64>,
    /// How much more data points resemble each other than independent ones: all evidence is divided by it.
    pub design_effect: f64,
}

/// What the treatment is compared with.
#[derive(Debug, Clone, Copy)]
pub enum Against {
    /// The concurrent control; tolerated worsening.
    Control(Margin),
    /// An absolute limit in the metric's unit.
    Limit(f64),
}

/// One arm of a stratum.
#[derive(Debug, Clone, Copy, Default)]
pub struct Side<'a> {
    /// Data points.
    pub n: u64,
    /// Events among them; for proportions.
    pub events: u64,
    /// Of their values; for quantiles.
    pub histogram: Option<&'a Histogram>,
    /// Of their values, for means; of the denominator's values, for rates.
    pub moments: Option<&'a Moments>,
}

impl Side<'_> {
    /// What the events of a rate were counted over: the denominator's values, else its rows.
    pub fn exposure(&self) -> f64 {
        self.moments.and_then(Moments::sum).unwrap_or(self.n as f64)
    }
}

/// One arm of a stratum as it was stored.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counted<'a> {
    /// Data points.
    pub n: u64,
    /// Events among them, or values above each threshold.
    pub events: &'a [u64],
    /// As in [`Side`].
    pub moments: Option<&'a Moments>,
}

/// One stratum, weighed.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Weighed {
    /// Events of the treatment, or its values above each threshold.
    pub events_treatment: Vec<u64>,
    /// The same of the control; empty against a limit.
    pub events_control: Vec<u64>,
    /// Added to the evidence; empty when there is no threshold yet, or no past of the control for an absolute margin.
    pub increment: Vec<f64>,
}

impl Rule {
    /// A rule from SQL labels; `comparison` is `control` or `absolute`.
    pub fn new(
        kind: &str,
        comparison: &str,
        harm: &str,
        quantile: Option<f64>,
        margin: Option<Margin>,
        limit: Option<f64>,
    ) -> Result<Self> {
        let against = match (comparison, margin, limit) {
            ("control", Some(margin), _) => Against::Control(margin),
            ("absolute", _, Some(limit)) => Against::Limit(limit),
            _ => {
                let message = format!("comparison \"{comparison}\" lacks its margin or limit");
                return Err(Error::new(Kind::InvalidParameter, message));
            }
        };
        let harm = if harm == "decrease" { Harm::Decrease } else { Harm::Increase };
        let kind = MetricKind::from_label(kind)?;
        Ok(Self { kind, harm, quantile, against, cap: None, centre: None, design_effect: 1.0 })
    }

    /// The rule with what a mean, or an absolute margin, is judged on.
    #[must_use]
    pub fn scaled(self, cap: Option<f64>, centre: Option<f64>) -> Self {
        Self { cap, centre, ..self }
    }

    /// The rule with a design effect, at least 1.
    #[must_use]
    pub fn tempered(self, design_effect: f64) -> Self {
        Self { design_effect, ..self }
    }
}

/// The quantiles that a rule tests.
pub fn levels(quantile: Option<f64>) -> Vec<f64> {
    quantile.map_or_else(|| MIX4.to_vec(), |p| vec![p])
}

/// Weighs one stratum. `thresholds` are the bins that the control's past gave for a quantile rule against control.
///
/// # Errors
/// [`Kind::InvalidParameter`] for a rule that has no test or a design effect below 1, and as the tests.
pub fn weigh(rule: &Rule, thresholds: Option<&[i32]>, treatment: Side, control: Side) -> Result<Weighed> {
    let mut weighed = weigh_independent(rule, thresholds, treatment, control)?;
    mixture::temper(&mut weighed.increment, rule.design_effect)?;
    Ok(weighed)
}

fn weigh_independent(rule: &Rule, thresholds: Option<&[i32]>, treatment: Side, control: Side) -> Result<Weighed> {
    match (rule.kind, rule.against) {
        (MetricKind::Proportion, Against::Control(margin)) => {
            let arms = Arms { n_t: treatment.n, y_t: treatment.events, n_c: control.n, y_c: control.events };
            compare(&[arms], margin.odds_ratio(rule.centre, rule.harm)?, rule.harm)
        }
        (MetricKind::Proportion, Against::Limit(limit)) => limited(treatment.n, treatment.events, limit, rule.harm),
        (MetricKind::Quantile, Against::Control(margin)) => {
            exceeding(rule.harm, margin, thresholds, treatment, control)
        }
        (MetricKind::Quantile, Against::Limit(limit)) => above_limit(rule, limit, treatment),
        (MetricKind::Mean, _) => {
            let increment = sums::mean_increment(rule, treatment.moments, control.moments)?;
            Ok(Weighed { increment, ..Weighed::default() })
        }
        (MetricKind::Rate, against) => {
            let increment = sums::rate_increment(rule, treatment, control)?;
            let events_control = if matches!(against, Against::Control(_)) { vec![control.events] } else { vec![] };
            Ok(Weighed { events_treatment: vec![treatment.events], events_control, increment })
        }
        (MetricKind::Ratio, _) => Err(Error::new(Kind::InvalidParameter, "a ratio has no sequential test")
            .hint("Compare it with a limit or a baseline by test \"threshold\", or watch a rate or a capped mean.")),
    }
}

/// Counts, and their increments where there is a margin.
fn compare(arms: &[Arms], tolerated: Option<Tolerated>, harm: Harm) -> Result<Weighed> {
    let mut weighed = Weighed::default();
    for stratum in arms {
        weighed.events_treatment.push(stratum.y_t);
        weighed.events_control.push(stratum.y_c);
        weighed.increment.extend(tilted(stratum, tolerated, harm)?);
    }
    Ok(weighed)
}

fn tilted(arms: &Arms, tolerated: Option<Tolerated>, harm: Harm) -> Result<Vec<f64>> {
    tolerated.map_or(Ok(Vec::new()), |tolerated| tolerated.tilt(arms, harm, &ERROR_GRID))
}

fn limited(n: u64, events: u64, p0: f64, harm: Harm) -> Result<Weighed> {
    let increment = one_sample_increment(n, events, p0, harm, &ERROR_GRID)?;
    Ok(Weighed { events_treatment: vec![events], events_control: Vec::new(), increment })
}

fn exceeding(harm: Harm, margin: Margin, thresholds: Option<&[i32]>, t: Side, c: Side) -> Result<Weighed> {
    let Some(thresholds) = thresholds else {
        return Ok(Weighed::default()); // the first stratum: the control has no past yet
    };
    let empty = Histogram::default();
    let moved = exceedance::moved(thresholds, margin, harm, DEFAULT_SCALE)?;
    let arms = exceedance::arms(t.histogram.unwrap_or(&empty), c.histogram.unwrap_or(&empty), thresholds, &moved);
    compare(&arms, Some(Tolerated::Ratio(1.0)), harm)
}

fn above_limit(rule: &Rule, limit: f64, treatment: Side) -> Result<Weighed> {
    let Some(p) = rule.quantile else {
        let message = "an absolute limit of a quantile metric needs a quantile";
        return Err(Error::new(Kind::InvalidParameter, message));
    };
    let Some(histogram) = treatment.histogram else {
        return limited(0, 0, 1.0 - p, rule.harm);
    };
    // Values in the limit's own bin (2.2 % wide) count as within the limit.
    let above = histogram.key(limit).map_or(0, |key| histogram.count_above(key));
    limited(histogram.count(), above, 1.0 - p, rule.harm)
}

/// What stored counts add to the evidence: the same increment as [`weigh`] gave, without the histograms.
///
/// # Errors
/// As [`weigh`].
pub fn weigh_counts(rule: &Rule, t: Counted, c: Counted) -> Result<Vec<f64>> {
    let mut increment = match rule.kind {
        MetricKind::Mean => sums::mean_increment(rule, t.moments, c.moments)?,
        _ => Vec::new(),
    };
    for (i, &y_t) in t.events.iter().enumerate() {
        increment.extend(weigh_count(rule, (&t, y_t), (&c, c.events.get(i).copied().unwrap_or(0)))?);
    }
    mixture::temper(&mut increment, rule.design_effect)?;
    Ok(increment)
}

fn weigh_count(rule: &Rule, (t, y_t): (&Counted, u64), (c, y_c): (&Counted, u64)) -> Result<Vec<f64>> {
    let arms = Arms { n_t: t.n, y_t, n_c: c.n, y_c };
    match (rule.kind, rule.against) {
        (MetricKind::Rate, _) => {
            let of = |n, events, moments| Side { n, events, moments, ..Side::default() };
            sums::rate_increment(rule, of(t.n, y_t, t.moments), of(c.n, y_c, c.moments))
        }
        (MetricKind::Proportion, Against::Control(margin)) => {
            tilted(&arms, margin.odds_ratio(rule.centre, rule.harm)?, rule.harm)
        }
        (_, Against::Control(_)) => fisher_increment(&arms, 1.0, rule.harm, &ERROR_GRID),
        (MetricKind::Quantile, Against::Limit(_)) => {
            one_sample_increment(t.n, y_t, 1.0 - rule.quantile.unwrap_or(f64::NAN), rule.harm, &ERROR_GRID)
        }
        (_, Against::Limit(limit)) => one_sample_increment(t.n, y_t, limit, rule.harm, &ERROR_GRID),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{gather, log_e};
    use super::*;

    /// The log e-value of evidence that has seen one stratum.
    fn log_e_of(increment: &[f64]) -> f64 {
        log_e(MetricKind::Proportion, &gather(&[], increment, false).unwrap()).unwrap()
    }

    fn rule(kind: &str, comparison: &str, quantile: Option<f64>) -> Rule {
        Rule::new(kind, comparison, "increase", quantile, Some(Margin::Relative(0.0)), Some(0.05)).unwrap()
    }

    fn side(n: u64, events: u64) -> Side<'static> {
        Side { n, events, ..Side::default() }
    }

    #[test]
    fn a_total_outage_is_seen_in_one_small_stratum() {
        let weighed = weigh(&rule("proportion", "control", None), None, side(20, 20), side(2000, 20)).unwrap();
        assert_eq!((weighed.events_treatment, weighed.events_control), (vec![20], vec![20]));
        // alpha 0.01: ln(1/alpha) = 4.6
        assert!(log_e_of(&weighed.increment) > 20.0);
    }

    #[test]
    fn equal_arms_gather_no_evidence() {
        let weighed = weigh(&rule("proportion", "control", None), None, side(1000, 10), side(1000, 10)).unwrap();
        assert!(log_e_of(&weighed.increment) < 0.0);
    }

    #[test]
    fn an_empty_arm_says_nothing() {
        let weighed = weigh(&rule("proportion", "control", None), None, side(0, 0), side(1000, 10)).unwrap();
        assert_eq!(weighed.increment, vec![0.0; 8]);
    }

    #[test]
    fn no_thresholds_weigh_nothing() {
        let weighed = weigh(&rule("quantile", "control", None), None, side(10, 0), side(10, 0)).unwrap();
        assert_eq!(weighed, Weighed::default());
        assert_eq!(log_e_of(&weighed.increment), 0.0);
    }

    #[test]
    fn a_slow_treatment_exceeds_the_controls_past() {
        let mut past = Histogram::default();
        let mut slow = Histogram::default();
        for i in 1..=1000 {
            past.push(f64::from(i) / 1000.0);
            slow.push(f64::from(i) / 700.0);
        }
        let thresholds = exceedance::thresholds(&past, &levels(None)).unwrap().unwrap();
        let side = |h| Side { n: 1000, histogram: Some(h), ..Side::default() };
        let quantiles = rule("quantile", "control", None);
        let worse = weigh(&quantiles, Some(&thresholds), side(&slow), side(&past)).unwrap();
        assert_eq!(worse.increment.len(), 32);
        assert!(log_e_of(&worse.increment) > 10.0);
        let counted = |events| Counted { n: 1000, events, moments: None };
        let again =
            weigh_counts(&quantiles, counted(&worse.events_treatment), counted(&worse.events_control)).unwrap();
        assert_eq!(again, worse.increment);
        let equal = weigh(&quantiles, Some(&thresholds), side(&past), side(&past)).unwrap();
        assert!(log_e_of(&equal.increment) < 0.0);
    }

    #[test]
    fn a_quantile_limit_counts_what_is_above() {
        let mut histogram = Histogram::default();
        for i in 0..1000 {
            histogram.push(if i % 10 == 0 { 0.2 } else { 0.01 });
        }
        let side = Side { n: 1000, histogram: Some(&histogram), ..Side::default() };
        let weighed = weigh(&rule("quantile", "absolute", Some(0.95)), None, side, Side::default()).unwrap();
        assert_eq!(weighed.events_treatment, [100]);
        assert!(log_e_of(&weighed.increment) > 4.6);
    }

    #[test]
    fn a_mean_has_no_sequential_test() {
        assert_eq!(
            weigh(&rule("mean", "absolute", None), None, side(1, 0), side(0, 0)).unwrap_err().kind,
            Kind::InvalidParameter
        );
    }
}
