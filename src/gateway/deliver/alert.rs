//! Whether a row is a problem, or the end of one, for receivers that keep problems until they are over.

use std::time::Duration;

use serde_json::Value;

use super::news::News;

/// Warnings, steps back and rollbacks are over by themselves: what they were about has been acted on.
const PASSING: Duration = Duration::from_secs(3600);

/// A problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alert {
    /// It begins, and lasts until it is told to be over.
    Lasts(Severity),
    /// It begins, and is over after that time at the latest.
    Passes(Severity, Duration),
    /// It is over.
    Over,
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// Users were harmed, or nobody watches over them.
    Critical,
    /// Somebody should look.
    Warning,
}

impl Severity {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Critical, Self::Warning];

    /// Of what has an end of its own: it is critical unless the row says less (a ramp that waits, a health rule). Its end has
    /// the severity with which it began, or a receiver that tells problems apart by it would keep it for ever.
    pub fn of_lasting(news: &News) -> Self {
        let is_less = news.field("severity") == Self::Warning.label() || news.field("event") == "over";
        if is_less { Self::Warning } else { Self::Critical }
    }

    /// Its name, which is the same for Alertmanager and PagerDuty.
    pub fn label(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::Warning => "warning",
        }
    }
}

impl Alert {
    /// What a row says; none where it is no problem and ends none. A rollout's problem is over when the rollout goes on, or
    /// when a person has acted on it.
    pub fn of(news: &News) -> Option<Self> {
        if news.kind == "health" {
            return Some(if news.field("state") == "ok" {
                Self::Over
            } else {
                Self::Lasts(Severity::of_lasting(news))
            });
        }
        if news.kind != "decision" || news.is_shadow() {
            return None;
        }
        let own = news.field("actor") == "flagscope";
        match (own, news.field("action")) {
            (_, "start" | "approve") => None,
            // A health rule is told to be over.
            (true, "warn") if news.lasting().is_some() => Some(Self::Lasts(Severity::Warning)),
            (true, "rollback" | "disable") => Some(Self::Passes(Severity::Critical, PASSING)),
            (true, "warn" | "step_back") => Some(Self::Passes(Severity::Warning, PASSING)),
            (true, "hold" | "pause") => Some(Self::Lasts(Severity::Warning)),
            _ => Some(Self::Over),
        }
    }

    /// How bad it is; none: it is over.
    pub fn severity(self) -> Option<Severity> {
        match self {
            Self::Lasts(severity) | Self::Passes(severity, _) => Some(severity),
            Self::Over => None,
        }
    }
}

/// When it happened, as the database wrote it.
pub fn time(news: &News) -> String {
    let named = if news.kind == "health" { "since" } else { "recorded_at" };
    news.payload.get(named).and_then(Value::as_str).unwrap_or_default().to_owned()
}
