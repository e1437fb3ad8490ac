//! What the newest point of an anomaly's series says.

/// The newest point of a series. Scores are log10 of the points until a false alarm.
#[derive(Debug, Clone)]
pub struct Sighting {
    /// When the point began, in microseconds since 2000 (UTC).
    pub point: i64,
    /// The score that is an alarm.
    pub line: f64,
    /// The metric in the newest point; `None`: no data.
    pub value: Option<f64>,
    /// What it is compared with: its usual value at this time of day, or the control's.
    pub usual: Option<f64>,
    /// Evidence since the rollout began; `None`: not to be judged.
    pub score: Option<f64>,
    /// Is no control left: it is the series of the whole flag, against its own past. Else it is the treatment, against the
    /// control at the same time.
    pub alone: bool,
    /// Since when evidence adds up: since the rollout began, a person resumed it, or no control was left.
    pub counted_since: i64,
    /// Has a whole point passed since the rollout began.
    pub has_begun: bool,
    /// Does the point lie in the present stage.
    pub in_stage: bool,
    /// Length of the series; `None`: it has no point.
    pub days: Option<f64>,
    /// Width of a point.
    pub minutes: f64,
}

/// The score that is an alarm: log10 of how many points of a width there are between two false ones, at most 4
/// (`core::anomaly::detector`).
pub fn alarm_score(every: f64, width: f64) -> f64 {
    (every / width).max(10.0).log10().min(4.0)
}
