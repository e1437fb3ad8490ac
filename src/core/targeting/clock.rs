//! Whether a rule looks at the clock: then its answer is not the same a second later, although nothing has changed.

use serde_json::{Map, Value};

/// What a rule reads of the context: `$flagd.timestamp` is the time of the evaluation.
const TIME: &str = "$flagd.timestamp";

/// Whether a rule may read the time, itself or through a segment. A name that is computed may be any, and an empty one is
/// the whole context.
pub(super) fn reads_time(rule: &Value, segments: &Map<String, Value>) -> bool {
    reads(rule) || segments.values().any(reads)
}

fn reads(rule: &Value) -> bool {
    match rule {
        Value::Array(items) => items.iter().any(reads),
        Value::Object(entries) => {
            entries.iter().any(|(name, argument)| (name == "var" && names_time(argument)) || reads(argument))
        }
        _ => false,
    }
}

fn names_time(argument: &Value) -> bool {
    match argument {
        Value::Array(items) => items.first().is_none_or(names_time),
        Value::String(name) => name.is_empty() || TIME.starts_with(name.as_str()),
        Value::Number(_) | Value::Bool(_) => false,
        Value::Null | Value::Object(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_may_read_the_time_is_found() {
        let none = Map::new();
        for rule in [
            json!({"<": [{"var": "$flagd.timestamp"}, 5]}),
            json!({"if": [{"==": [{"var": ["$flagd", 1]}, null]}, "on"]}),
            json!({"in": ["a", {"var": ""}]}),
            json!({"==": [{"var": []}, 1]}),
            json!({"==": [{"var": {"cat": ["$flagd", ".timestamp"]}}, 1]}),
        ] {
            assert!(reads_time(&rule, &none), "{rule}");
        }
        for rule in [
            json!({"==": [{"var": "plan"}, "$flagd.timestamp"]}),
            json!({"fractional": [{"cat": [{"var": "$flagd.flagKey"}, {"var": "email"}]}, ["on", 1], ["off", 1]]}),
            json!({"map": [[1], {"+": [{"var": 0}, 1]}]}),
        ] {
            assert!(!reads_time(&rule, &none), "{rule}");
        }
        let segments = Map::from_iter([("late".to_owned(), json!({">": [{"var": "$flagd.timestamp"}, 5]}))]);
        assert!(reads_time(&json!({"if": [{"$ref": "late"}, "on"]}), &segments));
    }
}
