//! The denominator of a rate or a ratio: its rows, written as a filter with two additional keys.

use serde_json::Value;

use super::{Filter, Problem, Signal};
use crate::error::{Error, Kind, Result};
use crate::names;

/// The rows of a denominator.
#[derive(Debug, Clone)]
pub struct Per {
    /// Their signal; `None`: that of the metric.
    pub signal: Option<Signal>,
    /// Which of them.
    pub filter: Filter,
    /// Whether each row counts its value (seconds, a counter's increment) instead of 1.
    pub sum_values: bool,
}

impl Per {
    /// Reads the JSON form: a filter with the additional keys `signal` and `sum_values`.
    ///
    /// # Errors
    /// The first thing that is wrong with it, where it stands, and what it should be.
    pub fn parse(json: &Value) -> Result<Self> {
        let (per, problems) = read(json);
        match problems.into_iter().find(|problem| problem.error.is_some()) {
            Some(problem) => Err(Error::from(problem)),
            None => Ok(Self { filter: Filter::parse(&rest(json))?, ..per }),
        }
    }

    /// Everything that is wrong with the JSON form, and what works but is hardly meant.
    pub fn check(json: &Value) -> Vec<Problem> {
        let mut problems = read(json).1;
        problems.extend(Filter::check(&rest(json)));
        problems
    }
}

/// The keys of a filter alone.
fn rest(json: &Value) -> Value {
    let mut rest = json.clone();
    if let Value::Object(map) = &mut rest {
        map.retain(|key, _| !matches!(key.as_str(), "signal" | "sum_values"));
    }
    rest
}

/// What stands beside the filter.
fn read(json: &Value) -> (Per, Vec<Problem>) {
    let mut problems = Vec::new();
    let mut wrong = |key: &str, wanted: &str, got: &Value| {
        let message =
            format!("key \"{key}\" of a denominator must be {wanted}, got {}", names::shown(&got.to_string()));
        let hint =
            "For example {\"signal\": \"span\", \"name\": \"POST /checkout\"}: one for each such span.".to_owned();
        problems.push(Problem { path: format!("/{key}"), message, hint, error: Some(Kind::InvalidParameter) });
    };
    let mut per = Per { signal: None, filter: Filter::default(), sum_values: false };
    if let Some(label) = json.get("signal") {
        per.signal = label.as_str().and_then(|label| Signal::from_label(label).ok());
        if per.signal.is_none() {
            wrong("signal", "metric, log, span or event", label);
        }
    }
    match json.get("sum_values") {
        Some(Value::Bool(sums)) => per.sum_values = *sums,
        Some(other) => wrong("sum_values", "true or false", other),
        None => {}
    }
    (per, problems)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_denominator_is_a_filter_with_signal_and_sum() {
        let per = Per::parse(&json!({"signal": "span", "name": "pay", "sum_values": true})).unwrap();
        assert_eq!((per.signal, per.filter.exact_name(), per.sum_values), (Some(Signal::Span), Some("pay"), true));
        let plain = Per::parse(&json!({})).unwrap();
        assert_eq!((plain.signal, plain.sum_values), (None, false));
    }

    #[test]
    fn errors_name_the_key_and_the_value() {
        let message = |json: Value| Per::parse(&json).unwrap_err().message;
        assert_eq!(
            message(json!({"signal": "trace"})),
            "key \"signal\" of a denominator must be metric, log, span or event, got \"trace\""
        );
        assert_eq!(
            message(json!({"sum_values": 1})),
            "key \"sum_values\" of a denominator must be true or false, got 1"
        );
        assert_eq!(message(json!({"nme": 1})), "a filter has no key \"nme\"");
        assert_eq!(message(json!(1)), "a filter must be a JSON object, got 1");
    }
}
