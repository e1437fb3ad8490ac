//! One rollout.

use serde::{Deserialize, Serialize};

use super::guardrail::{Guardrail, Metric};
use super::overview::Health;
use super::read::{list, number, text};

/// Everything about one rollout.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct RolloutPage {
    /// When it was read.
    #[serde(deserialize_with = "number")]
    pub at: Option<f64>,
    /// The rollout itself.
    pub rollout: Rollout,
    /// The stages of its plan, in order.
    #[serde(deserialize_with = "list")]
    pub stages: Vec<Stage>,
    /// The share that it served, as steps: each point holds until the next one.
    #[serde(deserialize_with = "list")]
    pub ramp: Vec<RampPoint>,
    /// Its decisions, the first one first.
    #[serde(deserialize_with = "list")]
    pub decisions: Vec<Decision>,
    /// Its guardrails, the worst first.
    #[serde(deserialize_with = "list")]
    pub guardrails: Vec<Guardrail>,
    /// What its guardrails measure.
    #[serde(deserialize_with = "list")]
    pub metrics: Vec<Metric>,
    /// Where the harm is, as the worker found out.
    #[serde(deserialize_with = "list")]
    pub findings: Vec<Finding>,
    /// Its health rules: split, crossing, traffic, rows.
    #[serde(deserialize_with = "list")]
    pub health: Vec<Health>,
    /// Who was told what, the newest first.
    #[serde(deserialize_with = "list")]
    pub messages: Vec<Sent>,
    /// Traces worth a look.
    #[serde(deserialize_with = "list")]
    pub traces: Vec<TraceExample>,
    /// What else rollout_report() says of its guardrails, as sentences.
    #[serde(deserialize_with = "list")]
    pub notes: Vec<String>,
}

/// A rollout.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct Rollout {
    /// Its number.
    pub id: i64,
    /// Key of the flag.
    pub flag: String,
    /// What the flag is for.
    #[serde(deserialize_with = "text")]
    pub description: String,
    /// Key of the environment.
    pub environment: String,
    /// Variant that is rolled out.
    pub treatment: String,
    /// Variant that it is compared with.
    pub control: String,
    /// draft, running, paused, held, rolled_back or completed.
    pub status: String,
    /// Stage that it is in; 0: not started.
    pub stage: i64,
    /// Share of users that are served the treatment, 0 to 100.
    #[serde(deserialize_with = "number")]
    pub percent: Option<f64>,
    /// Whether the flag is on.
    pub enabled: bool,
    /// What it waits for; empty: it is over.
    #[serde(deserialize_with = "text")]
    pub waiting_for: String,
    /// Whether a person must approve its stage now.
    pub needs_approval: bool,
    /// Since when it is as it is.
    #[serde(deserialize_with = "number")]
    pub since: Option<f64>,
    /// When it was made.
    #[serde(deserialize_with = "number")]
    pub created_at: Option<f64>,
    /// When it was started.
    #[serde(deserialize_with = "number")]
    pub started_at: Option<f64>,
    /// When its present stage began.
    #[serde(deserialize_with = "number")]
    pub stage_started_at: Option<f64>,
    /// When it was completed or rolled back.
    #[serde(deserialize_with = "number")]
    pub ended_at: Option<f64>,
    /// Until when guardrails may still roll it back after completion.
    #[serde(deserialize_with = "number")]
    pub follow_up_until: Option<f64>,
    /// Why it could not be decided; empty: nothing is wrong.
    #[serde(deserialize_with = "text")]
    pub problem: String,
    /// Chance that a healthy rollout is ever stopped.
    #[serde(deserialize_with = "number")]
    pub alpha: Option<f64>,
    /// The rollout that it repeats.
    pub restart_of: Option<i64>,
}

/// A stage of a plan.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct Stage {
    /// Its number, from 1.
    pub ordinal: i64,
    /// Share of users, 0 to 100.
    #[serde(deserialize_with = "number")]
    pub percent: Option<f64>,
    /// When it was first entered.
    #[serde(deserialize_with = "number")]
    pub entered_at: Option<f64>,
    /// What must be true before it ends, in words.
    #[serde(deserialize_with = "text")]
    pub conditions: String,
    /// Whether a person must approve it.
    pub approval_needed: bool,
    /// Who did.
    #[serde(deserialize_with = "text")]
    pub approved_by: String,
    /// When.
    #[serde(deserialize_with = "number")]
    pub approved_at: Option<f64>,
}

/// From when on which share was served.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct RampPoint {
    /// From this time on ...
    #[serde(deserialize_with = "number")]
    pub at: Option<f64>,
    /// ... this share of users, 0 to 100.
    #[serde(deserialize_with = "number")]
    pub percent: Option<f64>,
}

/// A decision.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct Decision {
    /// Its number.
    pub id: i64,
    /// When it took effect.
    #[serde(deserialize_with = "number")]
    pub at: Option<f64>,
    /// start, advance, approve, pause, resume, complete, warn, hold, step_back, rollback or disable.
    pub action: String,
    /// A shadow rule would have acted; nothing was changed.
    pub shadow: bool,
    /// info, warning or critical.
    pub severity: String,
    /// What was done, in a few words.
    pub title: String,
    /// Why, in words.
    #[serde(deserialize_with = "text")]
    pub reason: String,
    /// Who decided.
    pub actor: String,
    /// A guardrail or the ramp decided, no person.
    pub automatic: bool,
    /// Share before, 0 to 100.
    #[serde(deserialize_with = "number")]
    pub from_percent: Option<f64>,
    /// Share after.
    #[serde(deserialize_with = "number")]
    pub to_percent: Option<f64>,
    /// The guardrail that wanted it; empty: none.
    #[serde(deserialize_with = "text")]
    pub guardrail: String,
    /// What explain_decision() says; empty where it is not given.
    #[serde(deserialize_with = "text")]
    pub explanation: String,
}

/// Something that goes together with the harm.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct Finding {
    /// The decision that it explains.
    pub decision_id: i64,
    /// Its place.
    pub rank: i64,
    /// segment, symptom, span, log, change or note.
    pub kind: String,
    /// It in words.
    pub sentence: String,
    /// Share of the harm, 0 to 1.
    #[serde(deserialize_with = "number")]
    pub share: Option<f64>,
    /// Chance of such a finding without it, corrected for all that was tried.
    #[serde(deserialize_with = "number")]
    pub p_value: Option<f64>,
    /// Examples: ids of traces.
    #[serde(deserialize_with = "list")]
    pub traces: Vec<String>,
}

/// A notification.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct Sent {
    /// Its number.
    pub id: i64,
    /// What happened: started, advanced, rolled_back, why ...
    #[serde(deserialize_with = "text")]
    pub event: String,
    /// info, warning or critical.
    #[serde(deserialize_with = "text")]
    pub severity: String,
    /// It in words.
    #[serde(deserialize_with = "text")]
    pub sentence: String,
    /// When it was written.
    #[serde(deserialize_with = "number")]
    pub at: Option<f64>,
    /// When every sink had it; nothing: not yet.
    #[serde(deserialize_with = "number")]
    pub delivered_at: Option<f64>,
    /// What became of it at each sink.
    #[serde(deserialize_with = "list")]
    pub deliveries: Vec<Delivery>,
}

/// A notification at a sink.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct Delivery {
    /// Name of the sink.
    pub sink: String,
    /// When the sink was done with it.
    #[serde(deserialize_with = "number")]
    pub ended_at: Option<f64>,
    /// Why it failed; empty: it did not.
    #[serde(deserialize_with = "text")]
    pub problem: String,
}

/// A trace that shows what happened.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct TraceExample {
    /// Its id.
    pub trace_id: String,
    /// When it began.
    #[serde(deserialize_with = "number")]
    pub at: Option<f64>,
    /// Name of the operation.
    #[serde(deserialize_with = "text")]
    pub name: String,
    /// Service that reported it.
    #[serde(deserialize_with = "text")]
    pub service: String,
    /// Variant that was served.
    #[serde(deserialize_with = "text")]
    pub variant: String,
    /// How long it took, in seconds.
    #[serde(deserialize_with = "number")]
    pub duration: Option<f64>,
    /// Whether it failed.
    pub is_error: bool,
    /// What it said when it failed.
    #[serde(deserialize_with = "text")]
    pub message: String,
}
