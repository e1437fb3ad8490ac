//! One trace.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::read::{list, number, text};

/// One trace.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct TracePage {
    /// Its id.
    pub trace_id: String,
    /// When it was read.
    #[serde(deserialize_with = "number")]
    pub at: Option<f64>,
    /// Its spans with their logs and events below them, in the order of trace().
    #[serde(deserialize_with = "list")]
    pub spans: Vec<Span>,
    /// How many rows it has, of which the first ones are in `spans`.
    pub rows: i64,
    /// Rollouts of its flags.
    #[serde(deserialize_with = "list")]
    pub rollouts: Vec<i64>,
}

/// A row of a trace: a span, a log, an event or a measurement.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct Span {
    /// How deep it is in the tree; 0: a root.
    pub depth: i64,
    /// span, log, event or metric.
    pub signal: String,
    /// Its name.
    #[serde(deserialize_with = "text")]
    pub name: String,
    /// When it began.
    #[serde(deserialize_with = "number")]
    pub at: Option<f64>,
    /// Seconds since the trace began.
    #[serde(deserialize_with = "number")]
    pub after: Option<f64>,
    /// How long a span took, in seconds.
    #[serde(deserialize_with = "number")]
    pub duration: Option<f64>,
    /// The part of it that was not its children's.
    #[serde(deserialize_with = "number")]
    pub self_duration: Option<f64>,
    /// Whether it failed.
    pub is_error: Option<bool>,
    /// Service that reported it.
    #[serde(deserialize_with = "text")]
    pub service: String,
    /// Whom it was for.
    #[serde(deserialize_with = "text")]
    pub subject: String,
    /// Flags that were active, with their variants.
    pub flags: Option<Value>,
    /// Text of a log.
    #[serde(deserialize_with = "text")]
    pub body: String,
    /// What went wrong: messages of exceptions.
    #[serde(deserialize_with = "list")]
    pub problems: Vec<String>,
    /// Everything else that was sent with it.
    pub attributes: Option<Value>,
}
