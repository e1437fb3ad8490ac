//! Why a record was rejected, and where it stands in its request.
//!
//! Not `crate::Error`: a fault never leaves `decode` as an error, and it learns its path on the way out, so that a
//! good record pays nothing for the path.

use super::tree::Tree;
use std::fmt;

/// A payload is a stranger's text: a message quotes no more of it than this.
const QUOTED_CHARS: usize = 60;

/// How many unknown fields a message names.
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

    /// An object has none of the fields that are `wanted` of it, but these others. How many records that cost, if any,
    /// nobody can say: unknown fields are to be ignored, and an empty object is a good one.
    pub(super) fn not_understood(others: &[&str], wanted: &[&str]) -> Self {
        let list = |keys: &[&str], and: &str| {
            let keys: Vec<_> = keys.iter().map(|key| quoted(&Tree::Text((*key).into()))).collect();
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

    /// Whether a record is lost for it.
    pub(super) fn costs_a_record(&self) -> bool {
        self.costs_a_record
    }

    /// `found` is not what the field demands.
    pub(super) fn unlike(wanted: &str, found: &Tree) -> Self {
        match found {
            Tree::Broken(reason) => Self::new(format!("cannot be read: {reason}")),
            found => Self::new(format!("not {wanted}: {}", quoted(found))),
        }
    }

    /// The same fault, seen from the object that has it in the field `key`.
    pub(super) fn at(self, key: &str) -> Self {
        self.under(key.to_owned())
    }

    /// The same fault, seen from the object that has it in an element of the list `key`.
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

fn quoted(found: &Tree) -> String {
    let text = found.shown();
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
        assert_eq!(Fault::unlike("a string", &json!(5).into()).to_string(), "not a string: 5");
        assert_eq!(Fault::unlike("a string", &json!({"a": 1}).into()).to_string(), "not a string: an object");
        let long = Fault::unlike("an id", &json!("ü".repeat(500)).into()).to_string();
        assert_eq!(long.chars().count(), "not an id: ".len() + QUOTED_CHARS + 3);
    }
}
