//! Flag evaluations: they arrive in several forms (log event, span event, whole span; old names or new) and leave as
//! one kind of row, named `feature_flag.evaluation`, with the names of semantic conventions 1.44.0.

use super::row::Row;
use super::value::{named, scalar_text};
use crate::telemetry::Signal;
use serde_json::{Map, Value};

/// The name of every flag evaluation's row.
pub const NAME: &str = "feature_flag.evaluation";

/// The span event's name up to semantic conventions 1.30.
const OLD_NAME: &str = "feature_flag";

const KEY: &str = "feature_flag.key";
const VARIANT: &str = "feature_flag.result.variant";
const OLD_VARIANT: &str = "feature_flag.variant";
const VALUE: &str = "feature_flag.result.value";
const REASON: &str = "feature_flag.result.reason";
const ERROR_TYPE: &str = "error.type";

/// Old name and new one. If both are present, the new one is kept; of two old ones, the first.
const RENAMED: [(&str, &str); 5] = [
    (OLD_VARIANT, VARIANT),
    ("feature_flag.provider_name", "feature_flag.provider.name"),
    ("feature_flag.evaluation.reason", REASON),
    ("feature_flag.evaluation.error.message", "feature_flag.error.message"),
    ("error.message", "feature_flag.error.message"),
];

/// Whether an event of this name is a flag evaluation.
pub(super) fn is_event(name: &str) -> bool {
    name == NAME || name == OLD_NAME
}

/// The flag and variant a record is tagged with, in either vocabulary.
pub(super) fn tagged(attributes: &Map<String, Value>) -> Option<Value> {
    let variant = attributes.get(VARIANT).and_then(named).or_else(|| attributes.get(OLD_VARIANT).and_then(named))?;
    flags(attributes, variant)
}

/// Turns a row into an evaluation: renames the attributes, takes the value out of the body (where conventions before
/// 1.32 put it), and determines the served variant. Without a variant, a scalar value stands for it, except the default
/// that a failed evaluation fell back to, which was not chosen by the flag.
pub(super) fn complete(row: &mut Row, attributes: &mut Map<String, Value>, body: &mut Option<Value>) {
    rename(attributes);
    if let Some(value) = value_of_body(body) {
        attributes.entry(VALUE).or_insert(value);
    }
    if let Some(Value::String(reason)) = attributes.get_mut(REASON) {
        *reason = reason.to_lowercase();
    }
    if let Some(typed) = attributes.get(VALUE).and_then(typed) {
        attributes.insert(VALUE.to_owned(), typed);
    }
    let error = attributes.get(ERROR_TYPE).and_then(named).is_some()
        || attributes.get(REASON).and_then(Value::as_str) == Some("error");
    let value = || attributes.get(VALUE).filter(|_| !error).and_then(scalar_text);
    row.signal = Signal::Event;
    row.name = NAME.to_owned();
    row.is_error = Some(error || row.is_error == Some(true));
    row.flags = tagged(attributes).or_else(|| flags(attributes, value()?));
}

fn flags(attributes: &Map<String, Value>, variant: String) -> Option<Value> {
    let key = attributes.get(KEY).and_then(named)?;
    Some(Value::Object(Map::from_iter([(key, Value::from(variant))])))
}

fn rename(attributes: &mut Map<String, Value>) {
    for (old, new) in RENAMED {
        if let Some(value) = attributes.remove(old) {
            attributes.entry(new).or_insert(value);
        }
    }
}

/// Takes `value` out of a body; a body without anything else is removed.
fn value_of_body(body: &mut Option<Value>) -> Option<Value> {
    let object = body.as_mut()?.as_object_mut()?;
    let value = object.remove("value")?;
    if object.is_empty() {
        *body = None;
    }
    Some(value)
}

/// The value that a JSON text stands for: Python's hook writes every value by `json.dumps`. Text that is not JSON, or
/// that would not be reproduced with the same digits and without NUL, stays a string.
fn typed(value: &Value) -> Option<Value> {
    let text = value.as_str()?;
    let typed: Value = serde_json::from_str(text).ok()?;
    let same = typed.as_number().is_none_or(|number| number.to_string() == text);
    (same && !text.contains("\\u0000")).then_some(typed)
}
