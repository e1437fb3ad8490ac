//! The rows of a predicate, found again: its JSON form (`words::predicate`) held against a row's values.
//!
//! What is here: reading and matching. What is not: searching, which works on codes.

use serde_json::{Map, Value};

use super::{Value as Said, mask};
use crate::error::{Error, Kind, Result};
use crate::telemetry::Scalar;

/// What a value must be.
#[derive(Debug, Clone, PartialEq)]
enum Wanted {
    Absent,
    Equal(Scalar),
    Template(String),
    Range(f64, f64),
}

/// Conditions that must all hold.
#[derive(Debug, Clone, PartialEq)]
pub struct Conditions(Vec<(String, Wanted)>);

fn wrong(what: &str, got: &Value) -> Error {
    Error::new(Kind::InvalidParameter, format!("{what}, got {got}")).hint(
        "A predicate is like {\"service\": \"pay\", \"attributes\": {\"country\": \"DE\", \"items\": {\"from\": 3, \
         \"below\": 7}, \"route\": {\"template\": \"/orders/<n>\"}, \"plan\": null}, \"flags\": {\"dark\": \"on\"}}.",
    )
}

fn wanted(value: &Value) -> Result<Wanted> {
    Ok(match value {
        Value::Null => Wanted::Absent,
        Value::Bool(bool) => Wanted::Equal(Scalar::Bool(*bool)),
        Value::String(text) => Wanted::Equal(Scalar::Text(text.clone())),
        Value::Number(x) => Wanted::Equal(Scalar::Number(x.as_f64().unwrap_or(f64::NAN))),
        Value::Object(inner) => match inner.get("template") {
            Some(Value::String(template)) if inner.len() == 1 => Wanted::Template(template.clone()),
            _ => range(inner).ok_or_else(|| wrong("a condition on an attribute cannot be read", value))?,
        },
        Value::Array(_) => return Err(wrong("an attribute is compared with a text, a number or a boolean", value)),
    })
}

fn range(inner: &Map<String, Value>) -> Option<Wanted> {
    let bound = |key: &str, otherwise: f64| inner.get(key).map_or(Some(otherwise), Value::as_f64);
    let known = inner.keys().all(|key| matches!(key.as_str(), "from" | "below")) && !inner.is_empty();
    known.then_some(Wanted::Range(bound("from", f64::NEG_INFINITY)?, bound("below", f64::INFINITY)?))
}

impl Conditions {
    /// Reads the JSON form; the empty object is every row.
    ///
    /// # Errors
    /// [`Kind::InvalidParameter`] naming what cannot be read.
    pub fn parse(json: &Value) -> Result<Self> {
        let Value::Object(document) = json else { return Err(wrong("a predicate must be a JSON object", json)) };
        let mut conditions = Vec::new();
        for (key, value) in document {
            match (key.as_str(), value) {
                ("service" | "name", _) => conditions.push((key.clone(), wanted(value)?)),
                ("attributes" | "flags", Value::Object(inner)) => {
                    let prefix = if key == "flags" { "flag:" } else { "" };
                    for (name, value) in inner {
                        conditions.push((format!("{prefix}{name}"), wanted(value)?));
                    }
                }
                ("attributes" | "flags", _) => return Err(wrong(&format!("\"{key}\" must be a JSON object"), value)),
                _ => return Err(wrong(&format!("a predicate has no key \"{key}\""), json)),
            }
        }
        Ok(Self(conditions))
    }

    /// Do all hold for a row, whose values `each` gives to what it is called with (`Question::each_value`). Of a name
    /// that comes twice the last value counts.
    pub fn hold(&self, each: impl FnOnce(&mut dyn FnMut(&str, Said<'_>))) -> bool {
        let mut met: Vec<bool> = self.0.iter().map(|(_, wanted)| *wanted == Wanted::Absent).collect();
        each(&mut |name, value| {
            for (met, (_, wanted)) in met.iter_mut().zip(&self.0).filter(|(_, (known, _))| known == name) {
                *met = wanted.is_met_by(value);
            }
        });
        met.into_iter().all(|met| met)
    }
}

impl Wanted {
    fn is_met_by(&self, value: Said<'_>) -> bool {
        match (self, value) {
            (Self::Equal(wanted), value) => value.is(wanted),
            (Self::Template(wanted), Said::Text(text)) => mask::template(text) == *wanted,
            (Self::Range(from, below), Said::Number(x)) => (*from..*below).contains(&x),
            _ => false,
        }
    }
}
