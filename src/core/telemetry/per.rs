//! The denominator of a rate or a ratio: its rows, written as a filter with two additional keys.

use serde_json::Value;

use super::{Filter, Signal};
use crate::error::{Error, Kind, Result};

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
    /// [`Kind::InvalidParameter`] naming the key and what it should be.
    pub fn parse(json: &Value) -> Result<Self> {
        let mut rest = json.clone();
        let (mut signal, mut sum_values) = (None, false);
        if let Value::Object(map) = &mut rest {
            signal = map.remove("signal").as_ref().map(read_signal).transpose()?;
            sum_values = map.remove("sum_values").as_ref().map(read_boolean).transpose()?.unwrap_or(false);
        }
        Ok(Self { signal, filter: Filter::parse(&rest)?, sum_values })
    }
}

fn read_signal(value: &Value) -> Result<Signal> {
    value.as_str().and_then(|label| Signal::from_label(label).ok()).ok_or_else(|| {
        wrong(format!("key \"signal\" of a denominator must be metric, log, span or event, got {value}"))
    })
}

fn read_boolean(value: &Value) -> Result<bool> {
    let message = || format!("key \"sum_values\" of a denominator must be true or false, got {value}");
    value.as_bool().ok_or_else(|| wrong(message()))
}

fn wrong(message: String) -> Error {
    Error::new(Kind::InvalidParameter, message)
        .hint("For example {\"signal\": \"span\", \"name\": \"POST /checkout\"}: one for each such span.")
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
