//! Rules on means (test M) and rates (test R): what one stratum's sums add to the evidence.

use super::weigh::{Against, Rule, Side};
use crate::error::{Error, Kind, Result};
use crate::sketch::Moments;
use crate::stats::margin::{FADING, Past};
use crate::stats::mean::{self, Group, Scale};
use crate::stats::mixture::ERROR_GRID;
use crate::stats::rate::{self, Counts};
use crate::telemetry::MetricKind;

/// Test M against the control: its eight increments; none before the control has a past to take the centre from.
pub(super) fn mean_increment(rule: &Rule, t: Option<&Moments>, c: Option<&Moments>) -> Result<Vec<f64>> {
    let (Against::Control(margin), Some(cap)) = (rule.against, rule.cap) else {
        return Err(Error::new(Kind::InvalidParameter, "a mean is tested against the control, and needs a cap")
            .hint("Give the metric a cap; or compare it with a limit or a baseline by test \"threshold\"."));
    };
    let Some(centre) = rule.centre else { return Ok(Vec::new()) };
    let group = |moments: Option<&Moments>| moments.map(Group::from).unwrap_or_default();
    mean::increment(&group(t), &group(c), &Scale::new(cap, centre), &margin.line(rule.harm), rule.harm)
}

/// The centre for the next stratum: the control's mean, fading over strata. A stratum without control leaves it.
pub fn next_centre(centre: Option<f64>, control: Option<&Moments>) -> Option<f64> {
    match (centre, control.and_then(Moments::mean)) {
        (Some(old), Some(mean)) => Some(FADING * old + (1.0 - FADING) * mean),
        (old, mean) => old.or(mean),
    }
}

/// The past that the margin of the next stratum is taken from, with the control of this one: its trials, or what the
/// events of a rate were counted over, and its events.
#[must_use]
pub fn next_past(kind: MetricKind, mut past: Past, control: Side) -> Past {
    match kind {
        MetricKind::Rate => past.add_exposure(control.exposure(), control.events),
        _ => past.add_trials(control.n, control.events),
    }
    past
}

/// The chance or rate of the control's past; `None`: it has none yet.
pub fn centre_of(kind: MetricKind, past: &Past) -> Option<f64> {
    if kind == MetricKind::Rate { past.rate() } else { past.chance() }
}

/// Test R against the control, or its one-sample form against a limit.
pub(super) fn rate_increment(rule: &Rule, t: Side, c: Side) -> Result<Vec<f64>> {
    let (exposure_t, exposure_c) = (t.exposure(), c.exposure());
    let margin = match rule.against {
        Against::Limit(limit) => return rate::limit_increment(exposure_t, t.events, limit, rule.harm, &ERROR_GRID),
        Against::Control(margin) => margin.rate_ratio(rule.centre, rule.harm)?,
    };
    match margin {
        None => Ok(Vec::new()),
        // What was counted before its exposure came, or without any, has nothing to be compared with.
        Some(_) if exposure_t == 0.0 || exposure_c == 0.0 => Ok(ERROR_GRID.zeros()),
        Some(margin) => {
            let counts = Counts { exposure_t, count_t: t.events, exposure_c, count_c: c.events };
            margin.tilt_rate(&counts, rule.harm, &ERROR_GRID)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::weigh::Counted;
    use super::super::{gather, log_e, weigh, weigh_counts};
    use super::*;
    use crate::stats::answer::{self, Question};
    use crate::stats::margin::Margin;
    use crate::stats::process::with_reserve;
    use crate::stats::tilt::{Arms, Harm};

    fn values(n: u32, mean: f64) -> Moments {
        let mut moments = Moments::default();
        (0..n).for_each(|i| moments.push(mean * (0.5 + f64::from(i % 11) / 10.0)));
        moments
    }

    fn rule(kind: &str, harm: &str, margin: f64) -> Rule {
        Rule::new(kind, "control", harm, None, Some(Margin::Relative(margin)), None).unwrap()
    }

    fn question(harm: Harm, margin: f64, design_effect: f64) -> Question {
        Question { harm, margin: Margin::Relative(margin), safe_margin: None, design_effect, alpha: 0.01 }
    }

    #[test]
    fn means_give_the_evidence_of_test_m() {
        let strata: Vec<_> = (1..=20).map(|k| (values(40 + k, 0.25), values(400, 0.2))).collect();
        for (label, harm) in [("increase", Harm::Increase), ("decrease", Harm::Decrease)] {
            let (mut evidence, mut centre) = (Vec::new(), None);
            for (t, c) in &strata {
                let rule = rule("mean", label, 0.05).scaled(Some(2.0), centre);
                let side = |moments: &'_ Moments| Side { n: moments.count(), ..Side::default() };
                let (t_side, c_side) = (Side { moments: Some(t), ..side(t) }, Side { moments: Some(c), ..side(c) });
                let weighed = weigh(&rule, None, t_side, c_side).unwrap();
                evidence = gather(&evidence, &weighed.increment, false).unwrap();
                let stored = |m| Counted { n: 0, events: &[], moments: Some(m) };
                assert_eq!(weigh_counts(&rule, stored(t), stored(c)).unwrap(), weighed.increment);
                centre = next_centre(centre, Some(c));
            }
            let answer = answer::mean(&strata, 2.0, &question(harm, 0.05, 1.0)).unwrap();
            let found = log_e(MetricKind::Mean, &evidence).unwrap();
            let expected = with_reserve(answer.log_e, 0.0);
            assert!((found - expected).abs() < 1e-9, "{found} {expected}");
            assert_eq!(found > 4.6, harm == Harm::Increase);
        }
    }

    #[test]
    fn rates_give_the_evidence_of_test_r() {
        let counts = Counts { exposure_t: 500.0, count_t: 30, exposure_c: 4500.0, count_c: 90 };
        let side = |n| Side { n, ..Side::default() };
        let sides = |rule: &Rule| {
            weigh(rule, None, Side { events: 30, ..side(500) }, Side { events: 90, ..side(4500) }).unwrap()
        };
        for deff in [1.0, 2.0] {
            let rule = rule("rate", "increase", 0.1).tempered(deff);
            let weighed = sides(&rule);
            let answer = answer::rate(&[counts], &question(Harm::Increase, 0.1, deff)).unwrap();
            let evidence = gather(&[], &weighed.increment, false).unwrap();
            assert!((log_e(rule.kind, &evidence).unwrap() - with_reserve(answer.log_e, 0.0)).abs() < 1e-12);
            assert_eq!((weighed.events_treatment, weighed.events_control), (vec![30], vec![90]));
        }
        // The exposure is the sum of values where there are values.
        let mut seconds = Moments::default();
        (0..10).for_each(|_| seconds.push(50.0));
        let by_time = Side { n: 10, events: 30, histogram: None, moments: Some(&seconds) };
        assert_eq!(by_time.exposure(), 500.0);
        let rule = rule("rate", "increase", 0.1);
        let weighed = weigh(&rule, None, by_time, Side { events: 90, ..side(4500) }).unwrap();
        assert_eq!(weighed.increment, sides(&rule).increment);
    }

    #[test]
    fn what_came_without_its_exposure_says_nothing() {
        let side = |n, events| Side { n, events, ..Side::default() };
        let weighed = weigh(&rule("rate", "increase", 0.1), None, side(0, 7), side(100, 1)).unwrap();
        assert_eq!(weighed.increment, vec![0.0; 8]);
    }

    #[test]
    fn a_ratio_has_no_test() {
        let rule = rule("ratio", "increase", 0.1);
        assert_eq!(weigh(&rule, None, Side::default(), Side::default()).unwrap_err().kind, Kind::InvalidParameter);
    }

    fn counted<'a>(events: &'a [u64], side: Side<'a>) -> Counted<'a> {
        Counted { n: side.n, events, moments: side.moments }
    }

    /// The evidence of strata as the worker gathers it, with the past that it keeps; checked against the stored counts.
    fn gathered(kind: &str, harm: &str, margin: f64, strata: &[(Side, Side)]) -> f64 {
        let rule = Rule::new(kind, "control", harm, None, Some(Margin::Absolute(margin)), None).unwrap();
        let (mut evidence, mut past) = (Vec::new(), Past::default());
        for (t, c) in strata {
            let rule = rule.scaled(None, centre_of(rule.kind, &past));
            let weighed = weigh(&rule, None, *t, *c).unwrap();
            assert_eq!(weighed.increment.is_empty(), past == Past::default());
            let again =
                weigh_counts(&rule, counted(&weighed.events_treatment, *t), counted(&weighed.events_control, *c));
            assert_eq!(again.unwrap(), weighed.increment);
            evidence = gather(&evidence, &weighed.increment, false).unwrap();
            past = next_past(rule.kind, past, *c);
        }
        log_e(rule.kind, &evidence).unwrap()
    }

    #[test]
    fn absolute_margins_give_the_evidence_of_the_tests() {
        for (label, harm) in [("increase", Harm::Increase), ("decrease", Harm::Decrease)] {
            let side = |n, events| Side { n, events, ..Side::default() };
            let counts = |k: u64| (side(100 + k, 6 + k % 5), side(900, 60 + k % 7));
            let strata: Vec<_> = (0..50).map(counts).collect();
            let margin = Margin::Absolute(0.02);
            let question = Question { margin, ..question(harm, 0.0, 1.0) };
            let arms = |(t, c): &(Side, Side)| Arms { n_t: t.n, y_t: t.events, n_c: c.n, y_c: c.events };
            let expected = answer::proportion(&strata.iter().map(arms).collect::<Vec<_>>(), &question).unwrap();
            let found = gathered("proportion", label, 0.02, &strata);
            assert!((found - with_reserve(expected.log_e, 0.0)).abs() < 1e-12, "{found} {}", expected.log_e);
            let over = |(t, c): &(Side, Side)| Counts {
                exposure_t: t.exposure(),
                count_t: t.events,
                exposure_c: c.exposure(),
                count_c: c.events,
            };
            let expected = answer::rate(&strata.iter().map(over).collect::<Vec<_>>(), &question).unwrap();
            let found = gathered("rate", label, 0.02, &strata);
            assert!((found - with_reserve(expected.log_e, 0.0)).abs() < 1e-12, "{found} {}", expected.log_e);
            // A mean's line needs no past but the centre.
            let means: Vec<_> = (1..=20).map(|k| (values(40 + k, 0.25), values(400, 0.2))).collect();
            let (mut evidence, mut centre) = (Vec::new(), None);
            for (t, c) in &means {
                let rule = Rule::new("mean", "control", label, None, Some(margin), None).unwrap();
                let side = |m| Side { moments: Some(m), ..Side::default() };
                let weighed = weigh(&rule.scaled(Some(2.0), centre), None, side(t), side(c)).unwrap();
                evidence = gather(&evidence, &weighed.increment, false).unwrap();
                centre = next_centre(centre, Some(c));
            }
            let expected = answer::mean(&means, 2.0, &question).unwrap();
            let found = log_e(MetricKind::Mean, &evidence).unwrap();
            assert!((found - with_reserve(expected.log_e, 0.0)).abs() < 1e-12, "{found} {}", expected.log_e);
        }
    }
}
