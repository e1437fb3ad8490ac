//! All flags and rollouts, and the health of the judging.

use serde::{Deserialize, Serialize};

use super::read::{list, number, text};

/// All flags and their rollouts.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct Overview {
    /// When it was read.
    #[serde(deserialize_with = "number")]
    pub at: Option<f64>,
    /// Each flag in each environment.
    #[serde(deserialize_with = "list")]
    pub flags: Vec<FlagRow>,
    /// What is wrong with the judging itself.
    #[serde(deserialize_with = "list")]
    pub health: Vec<Health>,
}

/// A flag in an environment.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct FlagRow {
    /// Key of the flag.
    pub flag: String,
    /// Key of the environment.
    pub environment: String,
    /// Whether it is on; else callers get their own default.
    pub enabled: bool,
    /// Whether it is retired.
    pub archived: bool,
    /// Variant that is served where nothing else is said.
    #[serde(deserialize_with = "text")]
    pub variant: String,
    /// When it was last changed.
    #[serde(deserialize_with = "number")]
    pub since: Option<f64>,
    /// Its live rollout, else its last one.
    pub rollout: Option<RolloutRow>,
}

/// A rollout as a row of the overview.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct RolloutRow {
    /// Number of the rollout.
    pub id: i64,
    /// draft, running, paused, held, rolled_back or completed.
    pub status: String,
    /// Variant that is rolled out.
    pub treatment: String,
    /// Stage that it is in; 0: not started.
    pub stage: i64,
    /// How many stages its plan has.
    pub stages: i64,
    /// Share of users that it serves, 0 to 100.
    #[serde(deserialize_with = "number")]
    pub percent: Option<f64>,
    /// What it waits for; nothing when it is over.
    #[serde(deserialize_with = "text")]
    pub waiting_for: String,
    /// Whether a person must approve its stage now.
    pub needs_approval: bool,
    /// Since when it is as it is.
    #[serde(deserialize_with = "number")]
    pub since: Option<f64>,
    /// Name of its worst guardrail; empty: it has none.
    #[serde(deserialize_with = "text")]
    pub guardrail: String,
    /// State of that guardrail.
    #[serde(deserialize_with = "text")]
    pub guardrail_state: String,
    /// Why it could not be decided; empty: nothing is wrong.
    #[serde(deserialize_with = "text")]
    pub problem: String,
    /// The last decision: start, advance, rollback ...
    #[serde(deserialize_with = "text")]
    pub last_title: String,
    /// Why it was made.
    #[serde(deserialize_with = "text")]
    pub last_reason: String,
}

/// A rule of health and what it says.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct Health {
    /// Its name.
    pub name: String,
    /// ok, warning or critical.
    pub state: String,
    /// What was seen, in words.
    #[serde(deserialize_with = "text")]
    pub reason: String,
}
