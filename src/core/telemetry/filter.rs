//! Filters: which rows a metric matches, written as a small JSON object in which every condition must hold.

use regex::Regex;
use serde_json::Value;

use super::Row;
use crate::error::{Error, Kind, Result};

/// The keys of a filter, as they are listed in errors.
const KEYS: &str = "name, name_matches, service, is_error, severity_at_least, value_above, value_below, attributes";

/// Limit of a compiled name pattern; a backend keeps one for each metric.
const PATTERN_BYTES: usize = 1 << 20;

/// An attribute's value to compare with: a JSON scalar.
#[derive(Debug, Clone, PartialEq)]
pub enum Scalar {
    /// A text.
    Text(String),
    /// A number, compared as a double.
    Number(f64),
    /// A boolean.
    Bool(bool),
}

/// A compiled filter; the default one matches every row.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    name: Option<String>,
    name_matches: Option<Regex>,
    service: Option<String>,
    is_error: Option<bool>,
    severity_at_least: Option<i16>,
    value_above: Option<f64>,
    value_below: Option<f64>,
    attributes: Vec<(String, Scalar)>,
}

impl Filter {
    /// Compiles a filter from its JSON form; says which key is wrong and what it should be.
    pub fn parse(json: &Value) -> Result<Self> {
        let Value::Object(map) = json else {
            return Err(wrong("a filter", "a JSON object", json));
        };
        let mut filter = Self::default();
        for (key, value) in map {
            match key.as_str() {
                "name" => filter.name = Some(text(key, value)?),
                "name_matches" => filter.name_matches = Some(pattern(&text(key, value)?)?),
                "service" => filter.service = Some(text(key, value)?),
                "is_error" => filter.is_error = Some(boolean(key, value)?),
                "severity_at_least" => filter.severity_at_least = Some(severity(value)?),
                "value_above" => filter.value_above = Some(number(key, value)?),
                "value_below" => filter.value_below = Some(number(key, value)?),
                "attributes" => filter.attributes = attributes(value)?,
                other => return Err(unknown(other)),
            }
        }
        Ok(filter)
    }

    /// The one name that a row must have to match.
    pub fn exact_name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Whether every condition holds; a condition on something the row lacks does not hold.
    pub fn matches(&self, row: &impl Row) -> bool {
        self.name.as_ref().is_none_or(|name| name == row.name())
            && self.name_matches.as_ref().is_none_or(|pattern| pattern.is_match(row.name()))
            && self.service.as_ref().is_none_or(|service| row.service() == Some(service))
            // A row that does not say is not an error: most SDKs mark failures only.
            && self.is_error.is_none_or(|wanted| row.is_error().unwrap_or(false) == wanted)
            && self.severity_at_least.is_none_or(|least| row.severity().is_some_and(|s| s >= least))
            && self.value_above.is_none_or(|limit| row.value().is_some_and(|v| v > limit))
            && self.value_below.is_none_or(|limit| row.value().is_some_and(|v| v < limit))
            && self.attributes.iter().all(|(key, value)| row.has_attribute(key, value))
    }
}

fn wrong(what: &str, wanted: &str, got: &Value) -> Error {
    Error::new(Kind::InvalidParameter, format!("{what} must be {wanted}, got {got}"))
        .hint(format!("A filter is a JSON object of conditions that must all hold; its keys are: {KEYS}."))
}

fn unknown(key: &str) -> Error {
    Error::new(Kind::InvalidParameter, format!("a filter has no key \"{key}\""))
        .hint(format!("Its keys are: {KEYS}."))
}

fn text(key: &str, value: &Value) -> Result<String> {
    value.as_str().map(str::to_owned).ok_or_else(|| wrong(&format!("filter key \"{key}\""), "a text", value))
}

fn boolean(key: &str, value: &Value) -> Result<bool> {
    value.as_bool().ok_or_else(|| wrong(&format!("filter key \"{key}\""), "true or false", value))
}

fn number(key: &str, value: &Value) -> Result<f64> {
    let number = value.as_f64().filter(|n| n.is_finite());
    number.ok_or_else(|| wrong(&format!("filter key \"{key}\""), "a number", value))
}

fn severity(value: &Value) -> Result<i16> {
    let severity = value.as_i64().and_then(|n| i16::try_from(n).ok()).filter(|n| (1..=24).contains(n));
    severity.ok_or_else(|| wrong("filter key \"severity_at_least\"", "a severity number from 1 to 24", value))
}

fn pattern(source: &str) -> Result<Regex> {
    regex::RegexBuilder::new(source).size_limit(PATTERN_BYTES).build().map_err(|problem| {
        let short = problem.to_string().lines().last().unwrap_or_default().trim().to_owned();
        Error::new(
            Kind::InvalidParameter,
            format!("filter key \"name_matches\" is no regular expression: \"{source}\": {short}"),
        )
        .hint("The syntax is that of Rust's regex crate: no look-around, no back-references.")
    })
}

fn attributes(value: &Value) -> Result<Vec<(String, Scalar)>> {
    let Value::Object(map) = value else {
        return Err(wrong("filter key \"attributes\"", "a JSON object of scalars", value));
    };
    map.iter().map(|(key, value)| Ok((key.clone(), scalar(key, value)?))).collect()
}

fn scalar(key: &str, value: &Value) -> Result<Scalar> {
    match value {
        Value::String(text) => Ok(Scalar::Text(text.clone())),
        Value::Bool(flag) => Ok(Scalar::Bool(*flag)),
        Value::Number(_) => Ok(Scalar::Number(number(key, value)?)),
        other => Err(wrong(&format!("attribute \"{key}\""), "a text, a number or a boolean", other)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Signal;
    use super::*;
    use serde_json::json;

    struct Span;

    impl Row for Span {
        fn signal(&self) -> Signal {
            Signal::Span
        }
        fn name(&self) -> &str {
            "POST /checkout"
        }
        fn value(&self) -> Option<f64> {
            Some(0.25)
        }
        fn service(&self) -> Option<&str> {
            Some("checkout")
        }
        fn severity(&self) -> Option<i16> {
            None
        }
        fn is_error(&self) -> Option<bool> {
            None
        }
        fn has_attribute(&self, key: &str, value: &Scalar) -> bool {
            key == "http.status" && *value == Scalar::Number(200.0)
        }
    }

    fn matches(json: Value) -> bool {
        Filter::parse(&json).unwrap().matches(&Span)
    }

    #[test]
    fn every_condition_must_hold() {
        assert!(matches(json!({})));
        assert!(matches(json!({"name": "POST /checkout", "service": "checkout", "is_error": false})));
        assert!(!matches(json!({"name": "POST /checkout", "service": "cart"})));
        assert!(matches(json!({"name_matches": "^POST /"})));
        assert!(!matches(json!({"name_matches": "^GET /"})));
        assert!(matches(json!({"value_above": 0.2, "value_below": 0.3})));
        assert!(!matches(json!({"value_above": 0.25})));
        assert!(!matches(json!({"is_error": true})));
        assert!(matches(json!({"attributes": {"http.status": 200}})));
        assert!(!matches(json!({"attributes": {"http.status": 200, "http.route": "/"}})));
    }

    #[test]
    fn what_the_row_lacks_does_not_match() {
        assert!(!matches(json!({"severity_at_least": 1})));
    }

    #[test]
    fn errors_name_the_key_and_the_value() {
        let message = |json: Value| Filter::parse(&json).unwrap_err().message;
        assert_eq!(message(json!([1])), "a filter must be a JSON object, got [1]");
        assert_eq!(message(json!({"nme": 1})), "a filter has no key \"nme\"");
        assert_eq!(message(json!({"is_error": 1})), "filter key \"is_error\" must be true or false, got 1");
        assert_eq!(
            message(json!({"severity_at_least": 25})),
            "filter key \"severity_at_least\" must be a severity number from 1 to 24, got 25"
        );
        assert_eq!(
            message(json!({"attributes": {"a": [1]}})),
            "attribute \"a\" must be a text, a number or a boolean, got [1]"
        );
        assert!(
            message(json!({"name_matches": "("})).starts_with("filter key \"name_matches\" is no regular expression")
        );
        assert!(message(json!({"name_matches": "(a{1000}){1000}"})).contains("size limit"));
    }
}
