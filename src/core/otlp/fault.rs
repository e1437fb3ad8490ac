//! Why a record was rejected, and its place in the request.
//!
//! Not `crate::Error`: a fault never leaves `decode` as an error, and its path is composed on the way out, so that good
//! records do not pay for it.

use serde_json::Value;
use std::fmt;

/// The longest quote of client input in a message.
const QUOTED_CHARS: usize = 60;

/// How many unknown fields a message lists.
const MOST_NAMED: usize = 3;

/// The reason, and the path from the request to the offending field.
#[derive(Debug, Clone)]
pub(super) struct Fault {
    path: String,
    reason: String,
    costs_a_record: bool,
}

pub(super) type Result<T> = std::result::Result<T, Fault>;

impl Fault {
    pub(super) fn new(reason: impl Into<String>) -> Self {
        Self { path: String::new(), reason: reason.into(), costs_a_record: true }
    }

    /// An object has none of the `wanted` fields, but other ones. How many records that costs, if any, is unknown:
    /// unknown fields must be ignored, and an empty object is valid.
    pub(super) fn not_understood(others: &[&str], wanted: &[&str]) -> Self {
        let list = |keys: &[&str], and: &str| {
            let keys: Vec<_> = keys.iter().map(|key| quoted(&Value::from(*key))).collect();
            keys.join(and)
        };
        let mut reason = format!("not understood: {}", list(&others[..others.len().min(MOST_NAMED)], ", "));
        if others.len() > MOST_NAMED {
            reason += ", ...";
        }
        reason += &format!("; expected {}", list(wanted, " or "));
        if others.iter().any(|key| key.contains('_')) {
            reason += " (OTLP/JSON has names in lowerCamelCase)";
        }
        Self { costs_a_record: false, ..Self::new(reason) }
    }

    /// Whether a record is lost because of it.
    pub(super) fn costs_a_record(&self) -> bool {
        self.costs_a_record
    }

    /// `found` does not have the type that the field requires.
    pub(super) fn unlike(wanted: &str, found: &Value) -> Self {
        Self::new(format!("not {wanted}: {}", quoted(found)))
    }

    /// The same fault, located in the field `key` of an outer object.
    pub(super) fn at(self, key: &str) -> Self {
        self.under(key.to_owned())
    }

    /// The same fault, located in an element of the list `key` of an outer object.
    pub(super) fn within(self, key: &str, index: usize) -> Self {
        self.under(format!("{key}[{index}]"))
    }

    fn under(mut self, step: String) -> Self {
        self.path = match self.path.as_str() {
            "" => step,
            path if path.starts_with('[') => step + path,
            path => step + "." + path,
        };
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.reason)
    }
}

fn quoted(found: &Value) -> String {
    let text = match found {
        Value::Object(_) => return "an object".to_owned(),
        Value::Array(_) => return "an array".to_owned(),
        other => other.to_string(),
    };
    match text.char_indices().nth(QUOTED_CHARS) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn path_reads_from_the_request_inwards() {
        let fault = Fault::new("bad").at("traceId").within("spans", 2).within("resourceSpans", 0).within("", 4);
        assert_eq!(fault.to_string(), "[4].resourceSpans[0].spans[2].traceId: bad");
        assert_eq!(Fault::new("bad").to_string(), "bad");
    }

    #[test]
    fn quotes_are_short() {
        assert_eq!(Fault::unlike("a string", &json!(5)).to_string(), "not a string: 5");
        assert_eq!(Fault::unlike("a string", &json!({"a": 1})).to_string(), "not a string: an object");
        let long = Fault::unlike("an id", &json!("ü".repeat(500))).to_string();
        assert_eq!(long.chars().count(), "not an id: ".len() + QUOTED_CHARS + 3);
    }
}
