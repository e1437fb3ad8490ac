//! Definitions to flagd's document.

use serde_json::{Map, Value, json};

use super::OWN;
use super::inline::{Scope, flat};
use crate::targeting::{Bucketing, Definition, Problem, ValueType};

/// A document, and what could not be put into it.
#[derive(Debug, Clone, PartialEq)]
pub struct Written {
    /// flags.json.
    pub document: Value,
    /// Flags left out (with an error), and what to know about the others (without).
    pub problems: Vec<Problem>,
}

/// Writes the flags of an environment; see the module for what it keeps, and how.
pub fn write(definitions: &[Definition], segments: &Map<String, Value>, metadata: &Map<String, Value>) -> Written {
    let scope = Scope { definitions, segments };
    let (mut flags, mut own, mut problems) = (Map::new(), Map::new(), Vec::new());
    for definition in definitions {
        match scope.rule(definition) {
            Ok(rule) => {
                let kept = kept(definition, rule.as_ref());
                own.extend((!kept.is_empty()).then(|| (definition.key.clone(), Value::Object(kept))));
                flags.insert(definition.key.clone(), flag(definition, rule));
            }
            Err(problem) => problems.push(problem),
        }
    }
    problems.extend(bucketing_notes(definitions));
    let mut document = Map::from_iter([("flags".to_owned(), Value::Object(flags))]);
    let mut ours = Map::new();
    if !segments.is_empty() {
        let flat = flat(segments);
        ours.extend((flat != *segments).then(|| ("$evaluators".to_owned(), Value::Object(segments.clone()))));
        document.insert("$evaluators".to_owned(), Value::Object(flat));
    }
    if !metadata.is_empty() {
        document.insert("metadata".to_owned(), Value::Object(scalars(metadata)));
    }
    ours.extend((!own.is_empty()).then(|| ("flags".to_owned(), Value::Object(own))));
    document.extend((!ours.is_empty()).then(|| (OWN.to_owned(), Value::Object(ours))));
    Written { document: Value::Object(document), problems }
}

fn flag(definition: &Definition, rule: Option<Value>) -> Value {
    let state = if definition.enabled { "ENABLED" } else { "DISABLED" };
    let mut flag = Map::from_iter([
        ("state".to_owned(), json!(state)),
        ("variants".to_owned(), Value::Object(definition.variants.clone())),
    ]);
    flag.extend(definition.default_variant.as_ref().map(|name| ("defaultVariant".to_owned(), json!(name))));
    flag.extend(rule.or_else(|| definition.targeting.clone()).map(|rule| ("targeting".to_owned(), rule)));
    if !definition.metadata.is_empty() {
        flag.insert("metadata".to_owned(), Value::Object(scalars(&definition.metadata)));
    }
    Value::Object(flag)
}

/// flagd's metadata has no other values, and Python's core refuses a document that has.
fn scalars(metadata: &Map<String, Value>) -> Map<String, Value> {
    let scalar = |value: &Value| value.is_string() || value.is_number() || value.is_boolean();
    metadata.iter().filter(|(_, value)| scalar(value)).map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// What flagd's form of the flag does not say.
fn kept(definition: &Definition, rule: Option<&Value>) -> Map<String, Value> {
    let mut kept = Map::new();
    if inferred_type(&definition.variants) != Some(definition.value_type) {
        kept.insert("type".to_owned(), json!(definition.value_type.label()));
    }
    if definition.bucketing != Bucketing::default() || puts_into_buckets(definition) {
        kept.insert("bucketing".to_owned(), json!(definition.bucketing.label()));
    }
    kept.extend(definition.value_schema.as_ref().map(|schema| ("schema".to_owned(), schema.clone())));
    if rule != definition.rule() {
        kept.insert("targeting".to_owned(), json!(definition.targeting));
    }
    if let Some(split) = &definition.split {
        let split = json!({"treatment": split.treatment, "control": split.control, "weight": split.weight});
        kept.insert("split".to_owned(), split);
    }
    if !definition.prerequisites.is_empty() {
        let list = definition.prerequisites.iter();
        let list: Vec<_> = list.map(|needed| json!({"flag": needed.flag, "variant": needed.variant})).collect();
        kept.insert("prerequisites".to_owned(), Value::Array(list));
    }
    if scalars(&definition.metadata).len() < definition.metadata.len() {
        kept.insert("metadata".to_owned(), Value::Object(definition.metadata.clone()));
    }
    kept
}

/// Which released clients put users into other buckets: each has one algorithm for all its flags (as of November 2026).
fn bucketing_notes(definitions: &[Definition]) -> Vec<Problem> {
    let using = |bucketing| {
        let uses = move |flag: &&Definition| flag.bucketing == bucketing && puts_into_buckets(flag);
        definitions.iter().filter(uses).map(|flag| flag.key.as_str()).collect::<Vec<_>>()
    };
    let note = |bucketing: Bucketing, others: &str| {
        let flags = using(bucketing);
        let first = flags.first()?;
        let many =
            if flags.len() > 1 { format!("{} flags split", flags.len()) } else { "one flag splits".to_owned() };
        let message = format!(
            "{many} users by bucketing {} (such as \"{first}\"); {others}: about half of its users get another variant there",
            bucketing.label()
        );
        let hint = "Where such clients ask, set the bucketing of the flag that all of them know.".into();
        Some(Problem { path: "/flags".to_owned(), message, hint, error: None })
    };
    let others_of_v2 =
        "openfeature-flagd-core 2.0.0 for Python and flagd-evaluation-engine 0.1.0 for Rust know v3 alone";
    let others_of_v3 = "flagd up to 0.16.1 with all that asks it, @openfeature/flagd-core 4.0.1 for JavaScript and \
        openfeature-flagd-core 1.0.0 for Python know v2 alone";
    [note(Bucketing::V2, others_of_v2), note(Bucketing::V3, others_of_v3)].into_iter().flatten().collect()
}

fn puts_into_buckets(definition: &Definition) -> bool {
    let in_rule = |rule: &Value| rule.to_string().contains("\"fractional\":");
    definition.split.is_some() || definition.rule().is_some_and(in_rule)
}

/// The type that all the values are of, if there is one: whole numbers are integers.
pub(super) fn inferred_type(variants: &Map<String, Value>) -> Option<ValueType> {
    use ValueType::{Boolean, Integer, Number, Object, String};
    [Boolean, String, Integer, Number, Object]
        .into_iter()
        .find(|kind| variants.values().all(|value| kind.fits(value)))
}
