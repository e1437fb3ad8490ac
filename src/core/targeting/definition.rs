//! A flag as it stands in an environment: its definition, and the form that is compiled for evaluating.

use serde_json::{Map, Value};

use super::clock::reads_time;
use super::{Bucketing, Rule, WEIGHT_TOTAL};
use crate::Result;

/// Largest integer that every client can hold: 2^53 - 1, above which a float skips integers.
const MAX_SAFE_INTEGER: f64 = 9_007_199_254_740_991.0;

/// The type of a flag's values, and the type that a caller asks for; OpenFeature's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueType {
    /// True or false.
    Boolean,
    /// A text.
    String,
    /// A whole number within 2^53 - 1.
    Integer,
    /// Any number.
    Number,
    /// An object.
    Object,
}

impl ValueType {
    const ALL: [Self; 5] = [Self::Boolean, Self::String, Self::Integer, Self::Number, Self::Object];

    /// Its name in SQL and in exported documents.
    pub fn label(self) -> &'static str {
        match self {
            Self::Boolean => "boolean",
            Self::String => "string",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Object => "object",
        }
    }

    /// The type of that name.
    pub fn from_label(label: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.label() == label)
    }

    /// Whether a value is of the type, or can be without loss: flagd's ADR numeric-coercion (2026-06-08) lets 3.0
    /// be an integer and 3 a number, but 3.14 no integer, and no integer be one that a float cannot hold.
    pub fn fits(self, value: &Value) -> bool {
        match self {
            Self::Boolean => value.is_boolean(),
            Self::String => value.is_string(),
            Self::Object => value.is_object() || value.is_array(),
            Self::Integer => value.as_f64().is_some_and(|number| number.fract() == 0.0) && safe(value),
            Self::Number => value.is_number() && safe(value),
        }
    }
}

/// Whether a number is the same in every client: floats always, integers within 2^53 - 1.
fn safe(value: &Value) -> bool {
    let number = value.as_f64().unwrap_or_default();
    number.fract() != 0.0 || number.abs() <= MAX_SAFE_INTEGER
}

/// The split of a live rollout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// Variant under test.
    pub treatment: String,
    /// Variant it is compared with.
    pub control: String,
    /// The treatment's share, in 1/[`WEIGHT_TOTAL`].
    pub weight: u32,
}

impl Split {
    /// A split that serves the treatment to a share given in percent.
    pub fn new(treatment: String, control: String, percent: f64) -> Self {
        let weight = (percent / 100.0 * f64::from(WEIGHT_TOTAL)).round().clamp(0.0, f64::from(WEIGHT_TOTAL));
        Self { treatment, control, weight: weight as u32 }
    }
}

/// Another flag that must serve a variant before this one does anything but its default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prerequisite {
    /// The other flag's key.
    pub flag: String,
    /// The variant it must serve.
    pub variant: String,
}

/// A flag as it stands in an environment, before it is compiled.
#[derive(Debug, Clone, PartialEq)]
pub struct Definition {
    /// Its key.
    pub key: String,
    /// The type of its values.
    pub value_type: ValueType,
    /// Whether it is enabled.
    pub enabled: bool,
    /// Values by variant.
    pub variants: Map<String, Value>,
    /// Served when nothing else decides.
    pub default_variant: Option<String>,
    /// JsonLogic; none and `{}` are the same.
    pub targeting: Option<Value>,
    /// How keys are put into buckets.
    pub bucketing: Bucketing,
    /// The split of a live rollout: it takes the place of the default variant.
    pub split: Option<Split>,
    /// All must hold, else the default variant is served.
    pub prerequisites: Vec<Prerequisite>,
    /// Goes with every answer.
    pub metadata: Map<String, Value>,
    /// The JSON Schema that its values are held to; evaluating does not read it.
    pub value_schema: Option<Value>,
}

impl Definition {
    /// The targeting rule, if there is one.
    pub(super) fn rule(&self) -> Option<&Value> {
        self.targeting.as_ref().filter(|rule| !rule.is_null() && rule.as_object().is_none_or(|map| !map.is_empty()))
    }
}

/// A flag compiled for evaluating: keep it as long as its definition holds.
#[derive(Debug, Clone)]
pub struct Flag {
    pub(super) definition: Definition,
    /// Values by variant, in the order of their names: a map of two takes six times the memory.
    variants: Box<[(String, Value)]>,
    /// The flag's own over the flag set's.
    pub(super) metadata: Map<String, Value>,
    /// A rule that cannot be compiled is an answer too: PARSE_ERROR.
    pub(super) rule: Option<Result<Rule>>,
    reads_time: bool,
}

impl Flag {
    /// Compiles a definition, with the segments and the metadata of its flag set.
    pub fn new(mut definition: Definition, segments: &Map<String, Value>, set_metadata: &Map<String, Value>) -> Self {
        let rule = definition.rule().map(|rule| Rule::compile(rule, segments, definition.bucketing, &definition.key));
        let reads_time = definition.rule().is_some_and(|rule| reads_time(rule, segments));
        let mut metadata = set_metadata.clone();
        metadata.extend(std::mem::take(&mut definition.metadata));
        // Kept otherwise, or not needed: a session has thousands of flags.
        let variants = std::mem::take(&mut definition.variants).into_iter().collect();
        (definition.targeting, definition.value_schema) = (None, None);
        Self { definition, variants, metadata, rule, reads_time }
    }

    /// What it was compiled from, but for variants, rule, schema and metadata, which it keeps otherwise or not at all.
    pub fn definition(&self) -> &Definition {
        &self.definition
    }

    /// Whether its own rule may read the time, so that its answer may change although it does not. Those that it needs are
    /// asked themselves.
    pub fn reads_time(&self) -> bool {
        self.reads_time
    }

    /// Whether everybody gets the same answer.
    pub fn is_static(&self) -> bool {
        let Definition { enabled, split, prerequisites, .. } = &self.definition;
        !enabled || (self.rule.is_none() && split.is_none() && prerequisites.is_empty())
    }

    /// A variant's name and value.
    pub(super) fn variant(&self, name: &str) -> Option<(&str, &Value)> {
        let place = self.variants.binary_search_by(|(known, _)| known.as_str().cmp(name)).ok()?;
        self.variants.get(place).map(|(name, value)| (name.as_str(), value))
    }

    /// What goes with its answers.
    pub fn metadata(&self) -> &Map<String, Value> {
        &self.metadata
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn numbers_are_given_only_without_loss() {
        let fits = |value: Value| (ValueType::Integer.fits(&value), ValueType::Number.fits(&value));
        assert_eq!(fits(json!(3)), (true, true));
        assert_eq!(fits(json!(3.0)), (true, true));
        assert_eq!(fits(json!(3.5)), (false, true));
        assert_eq!(fits(json!(9_007_199_254_740_991_i64)), (true, true));
        assert_eq!(fits(json!(9_007_199_254_740_992_i64)), (false, false));
        assert_eq!(fits(json!(-9_007_199_254_740_993_i64)), (false, false));
        assert_eq!(fits(json!(u64::MAX)), (false, false));
        assert_eq!(fits(json!("3")), (false, false));
        assert_eq!(fits(json!(true)), (false, false));
    }
}
