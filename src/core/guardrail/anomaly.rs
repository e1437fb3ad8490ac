//! The verdict of an anomaly guardrail: is the series unusual, and is the treatment to blame.
//!
//! An anomaly never acts alone while a control exists (statistics.md A): it is a breach only if the control shows none.

use super::data_state::DataState;
use super::verdict::{Standing, Verdict, clock, number};

/// Days of the past without which no time of day has a usual value (as `core::anomaly::seasonal` wants).
const WARM_UP: f64 = 7.0;

/// What the newest point of the series says. Scores are log10 of the points until a false alarm.
#[derive(Debug, Clone)]
pub struct Sighting {
    /// When the point began, in microseconds since 2000 (UTC).
    pub point: i64,
    /// The score that is an alarm.
    pub line: f64,
    /// The metric in the newest point; `None`: no data.
    pub value: Option<f64>,
    /// Its usual value at this time of day.
    pub usual: Option<f64>,
    /// Evidence since the rollout began; `None`: not to be judged.
    pub score: Option<f64>,
    /// The control's highest one in the last hour of points.
    pub control_score: Option<f64>,
    /// Is no control left.
    pub alone: bool,
    /// Has a whole point passed since the rollout began.
    pub has_begun: bool,
    /// Does the point lie in the present stage.
    pub in_stage: bool,
    /// Length of the series; `None`: it has no point.
    pub days: Option<f64>,
    /// Width of a point.
    pub minutes: f64,
}

/// The score that is an alarm: log10 of how many points of a width there are between two false ones. Above 4 the detector
/// begins anew (`core::anomaly::detector`).
pub fn alarm_score(every: f64, width: f64) -> f64 {
    (every / width).max(10.0).log10().min(4.0)
}

impl Sighting {
    /// The control is unusual too, from half of the line on; `None`: its series cannot tell.
    fn is_shared(&self) -> Option<bool> {
        if self.alone { Some(false) } else { self.control_score.map(|score| score >= self.line / 2.0) }
    }

    /// When the point began, to the minute.
    fn at(&self) -> String {
        let mut text = clock(self.point);
        text.truncate(5);
        text
    }
}

fn told(state: DataState, reason: String) -> Option<Verdict> {
    Some(Verdict { state, reason })
}

/// An alarm that the control does not share. Like a threshold it waits for its sample.
pub(super) fn breach(s: &Standing) -> Option<Verdict> {
    let a = s.anomaly.as_ref()?;
    let line = a.line;
    let score = a.score.filter(|score| *score >= line)?;
    if s.sample < s.breach_sample || a.is_shared() != Some(false) {
        return None;
    }
    let side = if a.alone { "" } else { ", and not with the control" };
    told(DataState::Breached, format!("{}: score {}, the line is {}{side}", words(s, a), number(score), number(line)))
}

/// Why the series cannot be judged.
pub(super) fn missing(s: &Standing) -> Option<Verdict> {
    let a = s.anomaly.as_ref()?;
    let reason = if !a.has_begun {
        format!("the first {} minutes of the rollout are not over yet", number(a.minutes))
    } else if a.score.is_none() && a.days.unwrap_or(0.0) < WARM_UP {
        let days = number(a.days.unwrap_or(0.0));
        format!("the past of {} has {days} days; what is usual takes {WARM_UP}", s.subject())
    } else if a.value.is_none() {
        format!("no data in the {} minutes from {} UTC", number(a.minutes), a.at())
    } else if a.score.is_none() {
        format!("too few data at {} UTC on other days to say what is usual", a.at())
    } else if !a.in_stage {
        format!("the first {} minutes of this stage are not over yet", number(a.minutes))
    } else {
        return None;
    };
    told(DataState::NotEnough, reason)
}

/// An alarm that is not, or may not be, the treatment's doing; or evidence half of the way.
pub(super) fn uncertain(s: &Standing) -> Option<Verdict> {
    let a = s.anomaly.as_ref()?;
    let line = a.line;
    let score = a.score.filter(|score| *score >= line / 2.0)?;
    let rest = match a.is_shared() {
        _ if score < line => "it may be becoming unusual".to_owned(),
        Some(true) => {
            format!("but the control is unusual, too (score {})", number(a.control_score.unwrap_or(f64::NAN)))
        }
        _ => "but whether the control is unusual, too, is not known".to_owned(),
    };
    told(
        DataState::Inconclusive,
        format!("{}: score {}, the line is {}; {rest}", words(s, a), number(score), number(line)),
    )
}

/// Nothing unusual.
pub(super) fn clear(s: &Standing, a: &Sighting) -> String {
    let (score, line) = (a.score.unwrap_or(f64::NAN), a.line);
    format!("{}: score {}, the line is {}", words(s, a), number(score), number(line))
}

fn words(s: &Standing, a: &Sighting) -> String {
    let [value, usual] = [a.value, a.usual].map(|x| x.map_or_else(|| "unknown".to_owned(), |x| s.amount(x)));
    format!("{} is {value} where {usual} is usual", s.subject())
}

#[cfg(test)]
mod tests {
    use super::super::rule::{Comparison, Test};
    use super::super::verdict::{tests::standing, verdict};
    use super::*;

    fn sighting() -> Sighting {
        Sighting {
            value: Some(0.08),
            usual: Some(0.012),
            score: Some(5.1),
            control_score: Some(0.2),
            alone: false,
            has_begun: true,
            in_stage: true,
            days: Some(14.0),
            minutes: 10.0,
            point: 51_000_000_000,
            line: 3.0,
        }
    }

    fn words_of(a: Sighting) -> (&'static str, String) {
        let s = Standing {
            test: Test::Anomaly,
            comparison: Comparison::Baseline,
            value: a.score,
            anomaly: Some(a),
            ..standing()
        };
        let verdict = verdict(&s);
        (verdict.state.label(), verdict.reason)
    }

    #[test]
    fn an_anomaly_of_the_treatment_is_a_breach() {
        let reason = "errors is 0.08 where 0.012 is usual: score 5.1, the line is 3, and not with the control";
        assert_eq!(words_of(sighting()), ("breached", reason.into()));
        let alone = Sighting { alone: true, control_score: None, ..sighting() };
        assert_eq!(
            words_of(alone),
            ("breached", "errors is 0.08 where 0.012 is usual: score 5.1, the line is 3".into())
        );
    }

    #[test]
    fn an_anomaly_that_the_control_shares_only_holds() {
        let shared = Sighting { control_score: Some(1.5), ..sighting() };
        let reason = "errors is 0.08 where 0.012 is usual: score 5.1, the line is 3; but the control is unusual, too (score 1.5)";
        assert_eq!(words_of(shared), ("inconclusive", reason.into()));
        let unknown = Sighting { control_score: None, ..sighting() };
        assert_eq!(words_of(unknown).0, "inconclusive");
        let half = Sighting { score: Some(1.5), ..sighting() };
        assert_eq!(words_of(half).0, "inconclusive");
    }

    #[test]
    fn a_past_too_short_is_never_ok() {
        let young = Sighting { score: None, days: Some(2.34), ..sighting() };
        assert_eq!(words_of(young), ("not_enough", "the past of errors has 2.34 days; what is usual takes 7".into()));
        let new = Sighting { has_begun: false, score: None, value: None, ..sighting() };
        assert_eq!(words_of(new).1, "the first 10 minutes of the rollout are not over yet");
        let silent = Sighting { value: None, score: None, ..sighting() };
        assert_eq!(words_of(silent), ("not_enough", "no data in the 10 minutes from 14:10 UTC".into()));
        let sparse = Sighting { score: None, ..sighting() };
        assert_eq!(words_of(sparse).0, "not_enough");
        let earlier = Sighting { score: Some(0.1), in_stage: false, ..sighting() };
        assert_eq!(words_of(earlier).0, "not_enough");
    }

    #[test]
    fn what_is_usual_is_ok() {
        let usual = Sighting { value: Some(0.0125), score: Some(-0.3), ..sighting() };
        assert_eq!(
            words_of(usual),
            ("ok", "errors is 0.0125 where 0.012 is usual: score -0.3, the line is 3".into())
        );
    }
}
