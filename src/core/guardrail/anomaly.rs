//! The verdict of an anomaly guardrail: is the treatment unlike the control, or without a control the series unusual.

use crate::anomaly::detector::least_points;

use super::sighting::Sighting;
use super::standing::Standing;

/// Days of the past without which no time of day has a usual value (as `core::anomaly::seasonal` wants).
pub(super) const WARM_UP: f64 = 7.0;

const DAY: f64 = 86_400e6;

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

/// The points judged so far, and how many it takes at the least, where there are too few for any alarm: such a silence is
/// not health.
pub(super) fn too_new(a: &Sighting) -> Option<(u32, u32)> {
    const DAYS: f64 = 14.0; // as long as residuals are kept (`core::anomaly::seasonal`)
    let width = a.minutes * 60e6;
    let judged = ((a.point.saturating_sub(a.counted_since) as f64 / width).floor() + 1.0).clamp(0.0, 1e9) as u32;
    let wanted = least_points(a.line, a.days.unwrap_or(0.0).min(DAYS) * DAY / width);
    (judged < wanted).then_some((judged, wanted))
}

/// An alarm that still waits for its sample; or evidence half of the way.
pub(super) fn is_uncertain(a: &Sighting) -> bool {
    a.score.is_some_and(|score| score >= a.line / 2.0)
}
