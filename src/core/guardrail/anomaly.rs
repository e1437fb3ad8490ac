//! The verdict of an anomaly guardrail: is the treatment unlike the control, or without a control the series unusual.

use super::sighting::Sighting;
use super::standing::Standing;

/// Days of the past without which no time of day has a usual value (as `core::anomaly::seasonal` wants).
pub(super) const WARM_UP: f64 = 7.0;

/// What a series lacks to be judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lack {
    /// A point since the rollout began.
    Point,
    /// A past that says what is usual.
    Past,
    /// Data in the newest point.
    Data,
    /// Data at this time of other days.
    OtherDays,
    /// A point in this stage.
    StagePoint,
}

/// An alarm. Like a threshold it waits for its sample.
pub(super) fn is_breach(s: &Standing, a: &Sighting) -> bool {
    a.score.is_some_and(|score| score >= a.line) && s.status.n_treatment >= s.rule.min_sample
}

/// Why the series cannot be judged.
pub(super) fn lack(a: &Sighting) -> Option<Lack> {
    if !a.has_begun {
        Some(Lack::Point)
    } else if a.score.is_none() && a.days.unwrap_or(0.0) < WARM_UP {
        Some(Lack::Past)
    } else if a.value.is_none() {
        Some(Lack::Data)
    } else if a.score.is_none() {
        Some(Lack::OtherDays)
    } else if !a.in_stage {
        Some(Lack::StagePoint)
    } else {
        None
    }
}

/// An alarm that still waits for its sample; or evidence half of the way.
pub(super) fn is_uncertain(a: &Sighting) -> bool {
    a.score.is_some_and(|score| score >= a.line / 2.0)
}
