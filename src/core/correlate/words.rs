//! Findings in words, and as JSON.
//!
//! What is here: what a segment is called and the form by which its rows can be found again. What is not: numbers.

use serde_json::{Map, Value, json};

use super::attribute::Known;
use crate::telemetry::Scalar;

fn plain(value: &Scalar) -> String {
    match value {
        Scalar::Text(text) => text.clone(),
        Scalar::Number(x) => x.to_string(),
        Scalar::Bool(bool) => bool.to_string(),
    }
}

/// "country = DE", "payload >= 21000", "plan = none".
fn part(name: &str, known: &Known) -> String {
    match known {
        Known::None => format!("{name} = none"),
        Known::Other => format!("{name} = one of the rest"),
        Known::Value(value) => format!("{name} = {}", plain(value)),
        Known::Range(from, below) if from.is_infinite() => format!("{name} < {below}"),
        Known::Range(from, below) if below.is_infinite() => format!("{name} >= {from}"),
        Known::Range(from, below) => format!("{name} from {from} to below {below}"),
    }
}

/// A segment in words.
pub fn segment(parts: &[(&str, &Known, bool)]) -> String {
    let parts: Vec<String> = parts.iter().map(|(name, known, _)| part(name, known)).collect();
    parts.join(" and ")
}

fn condition(known: &Known, is_masked: bool) -> Value {
    match known {
        Known::None | Known::Other => Value::Null,
        Known::Value(Scalar::Text(text)) if is_masked => json!({ "template": text }),
        Known::Value(Scalar::Text(text)) => json!(text),
        Known::Value(Scalar::Number(x)) => json!(x),
        Known::Value(Scalar::Bool(bool)) => json!(bool),
        Known::Range(from, below) => {
            let bounds = [("from", from), ("below", below)];
            bounds
                .iter()
                .filter(|(_, x)| x.is_finite())
                .map(|(key, x)| ((*key).to_owned(), json!(x)))
                .collect::<Map<_, _>>()
                .into()
        }
    }
}

/// A segment as JSON: `{"service": "pay", "attributes": {"country": "DE"}, "flags": {"dark": "on"}}`. Where all values are
/// plain it is a metric's filter (but for `flags`); `{"from": 3, "below": 7}` is a range of numbers, `{"template": "/o/<n>"}`
/// all texts of a template (`mask::template`), null the absence of an attribute.
pub fn predicate(parts: &[(&str, &Known, bool)]) -> Value {
    let mut document = Map::new();
    for (name, known, is_masked) in parts {
        let condition = condition(known, *is_masked);
        let (group, key) = match name.strip_prefix("flag:") {
            Some(flag) => (Some("flags"), flag),
            None if matches!(*name, "service" | "name") => (None, *name),
            None => (Some("attributes"), *name),
        };
        match group {
            None => drop(document.insert(key.to_owned(), condition)),
            Some(group) => {
                if let Value::Object(inner) = document.entry(group).or_insert_with(|| json!({})) {
                    inner.insert(key.to_owned(), condition);
                }
            }
        }
    }
    Value::Object(document)
}

/// A share of events as people read it: "4.93 %".
pub fn percent(share: f64) -> String {
    let percent = 100.0 * share;
    let decimals = if percent >= 10.0 { 1 } else { 2 };
    format!("{percent:.decimals$} %")
}
